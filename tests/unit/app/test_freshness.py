import pytest

from greffier.app.timekeeping import time_source
from greffier.config.settings import InForceSettings
from greffier.core.clock import TimeSource
from greffier.core.context import RISK_CLASSES, RiskClass
from greffier.core.rulings import Deny
from greffier.pipeline.freshness import STALE, UNSYNCHRONISED, UNVERIFIED, Expiry, Freshness
from greffier.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def freshness(clock: ManualClock) -> Freshness:
    return Freshness(clock)


def test_a_bound_for_everyone_holds_whatever_the_risk_and_ends_with_a_confirmation(
    clock: ManualClock, freshness: Freshness
) -> None:
    bounded, unbounded = Expiry(freshness, InForceSettings(), max_age_s=60), Expiry(freshness, InForceSettings())
    clock.advance(60)
    assert not bounded.passed()
    clock.advance(1)
    assert bounded.passed()
    assert not unbounded.passed()
    freshness.confirm()
    assert not bounded.passed()
    clock.advance(86_401)
    assert unbounded.passed(), "nothing serves for ever unconfirmed"


@pytest.mark.parametrize(("risk", "bound"), [("high", 300), ("limited", 3600), ("minimal", 86_400)])
def test_how_long_an_unconfirmed_configuration_serves_depends_on_the_risk(
    clock: ManualClock, freshness: Freshness, risk: RiskClass, bound: int
) -> None:
    expiry = Expiry(freshness, InForceSettings())
    clock.advance(bound)
    assert expiry.refusal(risk) is None
    clock.advance(1)
    assert expiry.refusal(risk) is STALE
    freshness.confirm()
    assert expiry.refusal(risk) is None


@pytest.mark.parametrize(("risk", "bound"), [("high", 0), ("limited", 0), ("minimal", 900)])
def test_a_bad_signature_stops_high_and_limited_risk_at_once(
    clock: ManualClock, freshness: Freshness, risk: RiskClass, bound: int
) -> None:
    expiry = Expiry(freshness, InForceSettings())
    freshness.distrust()
    if bound:
        assert expiry.refusal(risk) is None
        clock.advance(bound - 1)
        freshness.distrust()
        assert expiry.refusal(risk) is None, "seen again, it does not begin anew"
        clock.advance(1)
    assert expiry.refusal(risk) is UNVERIFIED
    freshness.confirm()
    assert expiry.refusal(risk) is None


@pytest.mark.parametrize("source", ["unsynchronised", "unknown"])
def test_a_clock_that_nobody_vouches_for_stops_high_risk_only_and_only_where_something_is_at_stake(
    freshness: Freshness, source: TimeSource
) -> None:
    freshness.time_source = source
    signed = Expiry(freshness, InForceSettings())
    rulings: list[Deny | None] = [signed.refusal(risk) for risk in RISK_CLASSES]
    assert rulings == [UNSYNCHRONISED, None, None]
    marked = Expiry(freshness, InForceSettings(unsynchronised_clock="mark"))
    development = Expiry(freshness, InForceSettings(), development=True)
    assert [marked.refusal("high"), development.refusal("high")] == [None, None]


def test_the_kernel_is_asked() -> None:
    assert time_source() in {"synchronised", "unsynchronised", "unknown"}
