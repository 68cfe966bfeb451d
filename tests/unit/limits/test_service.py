import asyncio

import msgspec
import pytest

from greffier.core.context import Grant, Principal, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.core.settings import LimitSettings
from greffier.limits.headers import duration
from greffier.limits.memory import LocalLimitState
from greffier.limits.money import micro
from greffier.limits.plan import Share, thin
from greffier.limits.service import NOTHING, Limits, Need, Reservation, SpendEntry, Spent
from greffier.limits.settings import LimitsSettings, SharedLimitsSettings
from greffier.testing.clock import ManualClock

NOON = 1_795_521_600_000  # 2026-11-24T12:00:00Z
CONTEXT = RequestContext(
    request_id="r",
    surface="chat_completions",
    principal=Principal("key:k", "service", "api_key", "k1"),
    tenant="acme",
    use_case="claims",
    purpose=None,
    received_ms=0,
    started=0.0,
)
GRANT = Grant("acme", "claims", "d", "p", "", "minimal", "chat", (), "default")


class Bench:
    def __init__(
        self, settings: LimitsSettings, use_case: LimitSettings | None = None, share: Share | None = None
    ) -> None:
        self.clock = ManualClock(wall_ms=NOON)
        self.state = LocalLimitState(self.clock, hold_ttl_s=100)
        self.limits = Limits(
            settings, {"claims": use_case or LimitSettings()}, self.state, self.clock, share or Share()
        )

    async def take(
        self, tokens: int = 0, cost: int | None = 0, who: RequestContext = CONTEXT, grant: Grant = GRANT
    ) -> Reservation:
        ruling = await self.limits.reserve(who, grant, Need(tokens, cost))
        assert isinstance(ruling, Allow), ruling
        return ruling.value

    async def spend(self, amount: str) -> None:
        reservation = await self.take(cost=micro(amount))
        await self.limits.settle(reservation, Spent(0, micro(amount)))

    async def refused(
        self, tokens: int = 0, cost: int | None = 0, who: RequestContext = CONTEXT, grant: Grant = GRANT
    ) -> Deny:
        ruling = await self.limits.reserve(who, grant, Need(tokens, cost))
        assert isinstance(ruling, Deny), ruling
        return ruling


def by(key: str = "k1") -> RequestContext:
    return msgspec.structs.replace(CONTEXT, principal=Principal("p", "service", "api_key", key))


def of(tenant: str = "acme", use_case: str = "claims", model: str = "chat") -> Grant:
    return msgspec.structs.replace(GRANT, tenant=tenant, use_case=use_case, model=model)


ONE = LimitSettings(requests_per_minute=1)


@pytest.mark.parametrize(
    ("settings", "use_case", "rule", "free"),
    [
        (LimitsSettings(per_key=ONE), None, "limit:key:requests_per_minute", (by("k2"), GRANT)),
        (LimitsSettings(), ONE, "limit:use_case:requests_per_minute", (CONTEXT, of(use_case="hr"))),
        (LimitsSettings(tenants={"acme": ONE}), None, "limit:tenant:requests_per_minute", (CONTEXT, of("globex"))),
        (LimitsSettings(models={"chat": ONE}), None, "limit:model:requests_per_minute", (CONTEXT, of(model="other"))),
        (LimitsSettings(models={"chat": ONE}), None, "limit:model:requests_per_minute", (CONTEXT, of("globex"))),
    ],
)
async def test_every_scope_binds_and_binds_only_itself(
    settings: LimitsSettings, use_case: LimitSettings | None, rule: str, free: tuple[RequestContext, Grant]
) -> None:
    bench = Bench(settings, use_case)
    await bench.take()
    refusal = await bench.refused()
    assert refusal.rule == rule
    assert refusal.code is Code.RATE_LIMIT_EXCEEDED
    assert refusal.retry_after_s == 60
    await bench.take(who=free[0], grant=free[1])


async def test_a_wider_scope_is_never_skipped_because_a_narrower_one_has_room() -> None:
    """LiteLLM skipped the user's budget whenever the key belonged to a team."""
    roomy = LimitSettings(spend_per_month="100")
    bench = Bench(LimitsSettings(per_key=roomy, tenants={"acme": LimitSettings(spend_per_month="1")}), roomy)
    await bench.take(cost=micro("1"))
    refusal = await bench.refused(cost=1)
    assert (refusal.code, refusal.rule) == (Code.BUDGET_EXCEEDED, "limit:tenant:spend_per_month")
    assert "Lower max_tokens" in refusal.remedy


async def test_an_unknown_price_is_refused_or_takes_the_ceiling_and_is_never_zero() -> None:
    assert (await Bench(LimitsSettings()).refused(cost=None)).code is Code.PRICE_UNKNOWN
    budget = LimitSettings(spend_per_day="1")
    bench = Bench(LimitsSettings(unknown_price="ceiling", unknown_price_ceiling="0.6", per_key=budget))
    reservation = await bench.take(cost=None)
    assert reservation.cost_micro == 600_000
    await bench.limits.settle(reservation, Spent(None, None))
    assert (await bench.refused(cost=None)).code is Code.BUDGET_EXCEEDED


def test_a_ceiling_must_be_stated_to_be_used() -> None:
    with pytest.raises(ValueError, match="unknown_price_ceiling"):
        Bench(LimitsSettings(unknown_price="ceiling"))


async def test_headers_tell_the_tightest_ceiling() -> None:
    bench = Bench(
        LimitsSettings(per_key=LimitSettings(requests_per_minute=100, tokens_per_minute=1000)),
        LimitSettings(requests_per_minute=10),
    )
    reservation = await bench.take(tokens=100)
    expected = (
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "9"),
        ("x-ratelimit-reset-requests", "6s"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "900"),
        ("x-ratelimit-reset-tokens", "6s"),
    )
    assert reservation.headers == expected
    assert bench.limits.headers(CONTEXT, GRANT) == expected
    assert (await Bench(LimitsSettings()).take()).headers == ()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (20, "20ms"), (1000, "1s"), (1001, "2s"), (59_999, "1m0s"), (360_000, "6m0s"), (3_600_000, "1h0m0s")],
)
def test_durations_are_written_as_openai_writes_them(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


async def test_a_request_that_can_never_fit_is_told_so() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(tokens_per_minute=100)))
    refusal = await bench.refused(tokens=101)
    assert refusal.code is Code.TOKEN_LIMIT_EXCEEDED
    assert refusal.retry_after_s is None
    assert refusal.final
    assert "max_tokens" in refusal.advice


async def test_budgets_start_anew_with_the_utc_day_and_month() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(spend_per_day="1", spend_per_month="2")))
    await bench.spend("1")
    refusal = await bench.refused(cost=1)
    assert refusal.rule == "limit:key:spend_per_day"
    assert refusal.retry_after_s == 12 * 3600
    bench.clock.advance(12 * 3600)
    await bench.spend("1")
    bench.clock.advance(24 * 3600)
    refusal = await bench.refused(cost=1)
    assert refusal.rule == "limit:key:spend_per_month"
    bench.clock.advance(refusal.retry_after_s or 0)
    await bench.spend("1")


async def test_a_request_across_midnight_is_charged_to_the_day_it_began() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(spend_per_day="1")))
    reservation = await bench.take(cost=micro("1"))
    bench.clock.advance(13 * 3600)
    await bench.limits.settle(reservation, Spent(0, micro("1")))
    await bench.take(cost=micro("1"))


async def test_settling_works_while_the_request_is_being_cancelled() -> None:
    """LiteLLM leaked reservations when callers hung up; a key stayed pinned at its budget."""
    bench = Bench(LimitsSettings(per_key=LimitSettings(concurrent_requests=1, spend_per_day="1")))

    async def request() -> None:
        reservation = await bench.take(cost=micro("1"))
        try:
            await asyncio.Event().wait()
        finally:
            await bench.limits.settle(reservation, Spent(0, micro("0.25")))

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bench.take(cost=micro("0.75"))


async def test_a_leaked_reservation_frees_itself_and_a_late_settlement_still_charges() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(concurrent_requests=1, spend_per_day="1")))
    leaked = await bench.take(cost=micro("1"))
    assert (await bench.refused(cost=0)).code is Code.CONCURRENCY_LIMIT_EXCEEDED
    bench.clock.advance(101)
    second = await bench.take(cost=micro("0.5"))
    await bench.limits.settle(leaked, Spent(0, micro("0.5")))
    await bench.limits.settle(second, Spent(0, micro("0.5")))
    assert (await bench.refused(cost=1)).code is Code.BUDGET_EXCEEDED
    await bench.take(cost=0)


async def test_a_request_that_never_ran_costs_nothing_but_its_place() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(requests_per_minute=2, tokens_per_minute=10, spend_per_day="1")))
    await bench.limits.settle(await bench.take(tokens=10, cost=micro("1")), NOTHING)
    await bench.take(tokens=10, cost=micro("1"))
    assert (await bench.refused()).code is Code.RATE_LIMIT_EXCEEDED


async def test_spend_survives_a_restart_by_replay() -> None:
    settings = LimitsSettings(per_key=LimitSettings(spend_per_day="1", spend_per_month="2"))
    bench = Bench(settings)
    day = 86_400_000
    entries = [
        SpendEntry("acme", "k1", "claims", "chat", NOON - 60 * day, micro("50")),  # another month
        SpendEntry("acme", "k1", "claims", "chat", NOON - day, micro("0.75")),  # this month
        SpendEntry("acme", "k1", "claims", "chat", NOON - 1000, micro("0.5")),  # today
        SpendEntry("globex", "k1", "claims", "chat", NOON - 1000, micro("5")),  # another tenant
    ]
    assert bench.limits.replay(entries) == 3
    assert (await bench.refused(cost=micro("0.500001"))).rule == "limit:key:spend_per_day"
    await bench.spend("0.5")
    bench.clock.advance(86_400)
    await bench.spend("0.25")
    assert (await bench.refused(cost=1)).rule == "limit:key:spend_per_month"


def test_the_workers_shares_add_up_to_the_ceiling() -> None:
    for limit in (0, 1, 3, 10, 1001):
        for workers in (1, 2, 3, 7):
            assert sum(Share(index, workers).of(limit) for index in range(workers)) == limit


async def test_a_worker_without_a_share_refuses_and_still_answers_headers() -> None:
    bench = Bench(LimitsSettings(per_key=ONE), share=Share(1, 2))
    refusal = await bench.refused()
    assert (refusal.retry_after_s, refusal.final) == (None, False)  # another worker may have room
    assert bench.limits.headers(CONTEXT, GRANT)[0] == ("x-ratelimit-limit-requests", "0")


async def test_a_worker_does_not_take_its_part_for_the_ceiling() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(tokens_per_minute=300)), share=Share(0, 3))
    refusal = await bench.refused(tokens=101)
    assert not refusal.final  # the ceiling of 300 allows it: another worker may have room
    assert "300, this worker holds 100" in refusal.reason
    assert "limits.shared" in refusal.advice
    assert (await bench.refused(tokens=301)).final
    bench = Bench(LimitsSettings(per_key=LimitSettings(concurrent_requests=1)), share=Share(1, 3))
    assert "this worker holds 0" in (await bench.refused()).reason


def test_ceilings_that_the_workers_cannot_divide_are_named() -> None:
    settings = LimitsSettings(per_key=ONE, models={"big": LimitSettings(requests_per_minute=4)})
    cases = {"claims": LimitSettings(concurrent_requests=2, tokens_per_minute=1)}
    assert thin(settings, cases, 1) == []
    named = thin(settings, cases, 3)
    assert [line.partition(" is less")[0] for line in named] == [
        "requests_per_minute: 1 of each key",
        "concurrent_requests: 2 of the use case claims",
    ]
    shared = SharedLimitsSettings(url="env:LIMITS_URL")
    assert thin(msgspec.structs.replace(settings, shared=shared), cases, 3) == []


async def test_a_new_snapshot_with_other_ceilings_keeps_what_was_counted() -> None:
    bench = Bench(LimitsSettings(per_key=LimitSettings(requests_per_minute=2)))
    await bench.take()
    bench.limits = Limits(LimitsSettings(per_key=ONE), {}, bench.state, bench.clock)
    await bench.refused()
    bench.limits = Limits(LimitsSettings(per_key=LimitSettings(requests_per_minute=3)), {}, bench.state, bench.clock)
    await bench.take()
    await bench.take()
    await bench.refused()


async def test_a_need_below_zero_is_a_mistake_in_the_program() -> None:
    with pytest.raises(ValueError, match="less than nothing"):
        await Bench(LimitsSettings()).limits.reserve(CONTEXT, GRANT, Need(-1, 0))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1", 10**6), ("0.000001", 1), ("12.5", 12_500_000)])
def test_money_is_exact(text: str, value: int) -> None:
    assert micro(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.", "1.1234567", "1e3", ".5", "1,5", "²", "0x1", "1.-5"])
def test_other_spellings_of_money_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        micro(text)
