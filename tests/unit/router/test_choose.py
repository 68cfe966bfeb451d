import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.context import Grant, Obligations, Route
from greffier.core.deployment import Deployment, Price
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.router.choose import Router
from greffier.router.health import HealthBoard
from greffier.router.permit import RouteNeeds
from greffier.router.settings import BreakerSettings, ModelSettings, RetrySettings, TargetSettings
from greffier.testing.clock import ManualClock

GRANT = Grant("acme", "claims", "d", "p", "", "minimal", "chat", (), "default")
ALL = ("public", "personal", "special_category")


def deployment(name: str, **changes: Any) -> Deployment:
    base = Deployment(
        name, "openai_compatible", "m", "external", "eu", ("public", "personal"), Price(1_000_000, 2_000_000)
    )
    return msgspec.structs.replace(base, **changes)


HOME = deployment("home", location="on_premises", region="local", data_classes=ALL, price=Price(0, 0))
CLOUD = deployment("cloud")
STATES = deployment("states", region="us")


class Bench:
    def __init__(self, *found: Deployment, seed: int = 1, sticky: bool = False, **targets: tuple[int, int]) -> None:
        self.clock = ManualClock()
        self.health = HealthBoard(self.clock, random.Random(seed))
        model = ModelSettings(
            targets=tuple(
                TargetSettings(
                    deployment=one.name,
                    weight=targets.get(one.name, (100, 0))[0],
                    priority=targets.get(one.name, (100, 0))[1],
                )
                for one in found
            ),
            sticky=sticky,
            retry=RetrySettings(attempts=4),
            breaker=BreakerSettings(failures=3, cooldown_s=10),
        )
        self.router = Router(
            {"chat": model}, {one.name: one for one in found}, self.health, random.Random(seed), self.clock
        )

    def route(self, grant: Grant = GRANT, **needs: Any) -> Route:
        ruling = self.router.choose(grant, RouteNeeds(**needs))
        assert isinstance(ruling, Allow), ruling
        return ruling.value

    def names(self, grant: Grant = GRANT, **needs: Any) -> list[str]:
        return [one.name for one in self.route(grant, **needs).candidates]

    def refused(self, grant: Grant = GRANT, **needs: Any) -> Deny:
        ruling = self.router.choose(grant, RouteNeeds(**needs))
        assert isinstance(ruling, Deny), ruling
        return ruling

    def break_down(self, name: str) -> None:
        for _ in range(3):
            self.health.report(name, ok=False, latency_s=1)


def bound(**obligations: Any) -> Grant:
    return msgspec.structs.replace(GRANT, obligations=Obligations(**obligations))


def test_health_data_goes_to_our_own_machines_or_nowhere() -> None:
    assert Bench(CLOUD, HOME, STATES).names(data_classes=("special_category",)) == ["home"]
    assert Bench(CLOUD, HOME).names(on_premises_only=True) == ["home"]
    assert Bench(CLOUD, HOME).names(bound(on_premises_only=True)) == ["home"]
    for needs in ({"data_classes": ("special_category",)}, {"on_premises_only": True}):
        refusal = Bench(CLOUD, STATES).refused(**needs)
        assert (refusal.code, refusal.rule) == (Code.NO_PERMITTED_DEPLOYMENT, "route:permitted")


def test_our_machines_being_down_does_not_open_the_others() -> None:
    bench = Bench(CLOUD, HOME)
    bench.break_down("home")
    assert bench.refused(on_premises_only=True).code is Code.NO_HEALTHY_DEPLOYMENT
    assert bench.names() == ["cloud", "home"]


def test_a_single_cause_has_its_own_code() -> None:
    assert Bench(STATES).refused(bound(regions=("eu",))).code is Code.REGION_DENIED
    assert Bench(CLOUD).refused(capabilities=("chat", "video")).code is Code.UNSUPPORTED_PARAMETER
    small = deployment("small", context_tokens=1000)
    assert Bench(small).refused(tokens=1001).code is Code.CONTEXT_LENGTH_EXCEEDED
    assert Bench(small, CLOUD).names(tokens=1001) == ["cloud"]
    assert Bench(CLOUD, cloud=(0, 0)).refused().code is Code.NO_HEALTHY_DEPLOYMENT
    mixed = Bench(STATES, HOME).refused(bound(regions=("eu",)), data_classes=("special_category",))
    assert mixed.code is Code.NO_PERMITTED_DEPLOYMENT


def test_excluded_deployments_are_listed_with_every_reason_for_the_record() -> None:
    route = Bench(HOME, STATES).route(bound(on_premises_only=True, regions=("local",)))
    assert route.excluded == (
        ("states", "external, and the request must stay on our own machines"),
        ("states", "in region us, which the use case does not allow"),
    )


def test_a_drained_deployment_is_no_fallback_either() -> None:
    assert Bench(CLOUD, STATES, states=(0, 0)).names() == ["cloud"]


def test_lower_priority_comes_first_and_the_rest_stand_in() -> None:
    assert Bench(CLOUD, HOME, STATES, cloud=(1, 2), home=(1, 0), states=(1, 1)).names() == ["home", "states", "cloud"]


def test_weights_converge() -> None:
    bench = Bench(CLOUD, HOME, STATES, cloud=(70, 0), home=(20, 0), states=(10, 0))
    rounds = 6000
    first = Counter(bench.names()[0] for _ in range(rounds))
    for name, share in (("cloud", 0.7), ("home", 0.2), ("states", 0.1)):
        assert abs(first[name] / rounds - share) < 0.03


def test_a_sticky_key_stays_and_keys_spread_by_weight() -> None:
    bench = Bench(CLOUD, HOME, STATES, sticky=True, cloud=(70, 0), home=(20, 0), states=(10, 0))
    assert len({tuple(bench.names(sticky_key="alice")) for _ in range(50)}) == 1
    first = Counter(bench.names(sticky_key=f"user {number}")[0] for number in range(4000))
    assert abs(first["cloud"] / 4000 - 0.7) < 0.04
    assert "sticky" in bench.route(sticky_key="alice").why


def test_a_deployment_that_leaves_moves_only_its_own_keys() -> None:
    three, two = Bench(CLOUD, HOME, STATES, sticky=True), Bench(CLOUD, HOME, sticky=True)
    for number in range(500):
        before = three.names(sticky_key=str(number))[0]
        if before != "states":
            assert two.names(sticky_key=str(number))[0] == before


def test_a_sticky_key_is_the_tenants_own() -> None:
    bench = Bench(CLOUD, HOME, sticky=True)
    other = msgspec.structs.replace(GRANT, tenant="globex")
    mine = [bench.names(sticky_key=str(number))[0] for number in range(100)]
    theirs = [bench.names(other, sticky_key=str(number))[0] for number in range(100)]
    assert mine != theirs


def test_open_breakers_come_last() -> None:
    bench = Bench(CLOUD, HOME, cloud=(1, 0), home=(1, 1))
    bench.break_down("cloud")
    assert bench.names() == ["home", "cloud"]


def test_when_all_rest_the_caller_learns_when_to_come_back() -> None:
    bench = Bench(CLOUD, HOME)
    bench.break_down("cloud")
    bench.clock.advance(4)
    bench.break_down("home")
    refusal = bench.refused()
    assert refusal.code is Code.NO_HEALTHY_DEPLOYMENT
    assert refusal.retry_after_s == pytest.approx(6)


def test_one_request_probes_a_rested_deployment_and_the_others_wait() -> None:
    bench = Bench(CLOUD, HOME, cloud=(1, 0), home=(1, 1))
    bench.break_down("cloud")
    bench.clock.advance(10)
    assert bench.names() == ["cloud", "home"]
    assert bench.names() == ["home", "cloud"]
    bench.health.report("cloud", ok=True, latency_s=0.1)
    assert bench.names() == ["cloud", "home"]


def test_a_lone_deployment_is_probed_by_one_request() -> None:
    bench = Bench(CLOUD)
    bench.break_down("cloud")
    bench.clock.advance(10)
    assert bench.names() == ["cloud"]
    assert bench.refused().code is Code.NO_HEALTHY_DEPLOYMENT
    bench.health.report("cloud", ok=False, latency_s=0.1)
    assert bench.refused().retry_after_s == pytest.approx(10)


def test_a_probe_that_never_reports_is_given_up() -> None:
    bench = Bench(CLOUD)
    bench.break_down("cloud")
    bench.clock.advance(10)
    bench.route()
    bench.clock.advance(10)
    bench.route()


def test_a_new_snapshot_keeps_what_was_learnt() -> None:
    bench = Bench(CLOUD, HOME, cloud=(1, 0), home=(1, 1))
    bench.break_down("cloud")
    models = {"chat": ModelSettings(targets=(TargetSettings(deployment="cloud"), TargetSettings(deployment="home")))}
    router = Router(models, {"cloud": CLOUD, "home": HOME}, bench.health, random.Random(1), bench.clock)
    ruling = router.choose(GRANT, RouteNeeds())
    assert isinstance(ruling, Allow)
    assert ruling.value.candidates[0] is HOME


def test_an_unknown_model_is_not_found() -> None:
    assert Bench(CLOUD).refused(msgspec.structs.replace(GRANT, model="nope")).code is Code.MODEL_NOT_FOUND


@pytest.mark.parametrize("targets", [("gone",), ("cloud", "cloud")])
def test_targets_that_make_no_sense_stop_the_start(targets: tuple[str, ...]) -> None:
    clock = ManualClock()
    model = ModelSettings(targets=tuple(TargetSettings(deployment=name) for name in targets))
    board = HealthBoard(clock, random.Random(1))
    with pytest.raises(ValueError, match="names the deployment"):
        Router({"chat": model}, {"cloud": CLOUD}, board, random.Random(1), clock)


def test_the_reason_is_one_printable_line_that_names_only_the_chosen() -> None:
    odd = deployment("odd", region="eu\r\nset-cookie: x=ü")
    route = Bench(odd, STATES).route(bound(regions=(odd.region,)))
    assert route.why == "odd: the only permitted deployment; regions eu??set-cookie: x=?; others excluded"
    assert Bench(CLOUD, cloud=(5, 0)).route().why == "cloud: the only permitted deployment"
    assert Bench(CLOUD, HOME, cloud=(5, 0), home=(5, 1)).route().why == "cloud: alone at priority 0"


def test_the_reservation_price_is_the_dearest_of_all_who_may_answer() -> None:
    dear = deployment("dear", price=Price(3_000_000, 1_000_000, cached_micro=4_000_000))
    unknown = deployment("unknown", price=None)
    assert Bench(CLOUD, HOME, dear).router.worst_price(GRANT, RouteNeeds()) == Price(4_000_000, 2_000_000)
    assert Bench(CLOUD, unknown).router.worst_price(GRANT, RouteNeeds()) is None
    assert Bench(HOME, unknown).router.worst_price(bound(on_premises_only=True), RouteNeeds()) == Price(0, 0)


CLASSES = st.lists(st.sampled_from(ALL), max_size=3, unique=True).map(tuple)
REGIONS = st.sampled_from(("eu", "us", "local"))
DEPLOYMENTS = st.lists(
    st.builds(
        deployment,
        st.sampled_from("abcdefgh"),
        location=st.sampled_from(("on_premises", "external")),
        region=REGIONS,
        data_classes=CLASSES,
        capabilities=st.sampled_from((("chat",), ("chat", "tools"), ("embeddings",))),
        context_tokens=st.sampled_from((None, 100, 1000)),
        price=st.none() | st.builds(Price, st.integers(0, 9), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one.name,
)
NEEDS = st.builds(
    RouteNeeds,
    capabilities=st.sampled_from((("chat",), ("chat", "tools"), ())),
    data_classes=CLASSES,
    on_premises_only=st.booleans(),
    tokens=st.sampled_from((0, 101, 1001)),
    sticky_key=st.sampled_from(("", "a", "b")),
)
OBLIGATIONS = st.builds(
    Obligations, on_premises_only=st.booleans(), regions=st.lists(REGIONS, max_size=2, unique=True).map(tuple)
)


@given(
    found=DEPLOYMENTS,
    needs=NEEDS,
    obligations=OBLIGATIONS,
    places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=6, max_size=6),
    events=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.integers(0, 6)), max_size=40),
)
def test_no_candidate_ever_breaks_an_obligation(
    found: list[Deployment],
    needs: RouteNeeds,
    obligations: Obligations,
    places: list[tuple[int, int]],
    events: list[tuple[str, bool, int]],
) -> None:
    """Choice, retry and fallback all come from `candidates`; whatever is down, none of them may see the request."""
    targets: dict[str, Any] = {one.name: place for one, place in zip(found, places, strict=False)}
    bench = Bench(*found, sticky=True, **targets)
    grant = msgspec.structs.replace(GRANT, obligations=obligations)
    for name, ok, seconds in (*events, ("a", True, 0)):
        bench.health.report(name, ok=ok, latency_s=0.1)
        bench.clock.advance(seconds)
        ruling = bench.router.choose(grant, needs)
        if isinstance(ruling, Deny):
            continue
        route = ruling.value
        assert route.candidates
        assert len(set(route.candidates)) == len(route.candidates)
        for one in route.candidates:
            assert one.location == "on_premises" or not (obligations.on_premises_only or needs.on_premises_only)
            assert not obligations.regions or one.region in obligations.regions
            assert set(needs.data_classes) <= set(one.data_classes)
            assert set(needs.capabilities) <= set(one.capabilities)
            assert one.context_tokens is None or needs.tokens <= one.context_tokens
            assert targets[one.name][0] > 0
        # The reservation was made before the screen found anything; it must still cover whoever answers.
        price = bench.router.worst_price(grant, RouteNeeds(capabilities=()))
        for one in route.candidates:
            if price is not None:
                assert one.price is not None
                assert one.price.cost(1000, 1000) <= price.cost(1000, 1000)
