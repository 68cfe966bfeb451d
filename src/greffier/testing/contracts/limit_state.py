# ruff: noqa: D102, S101, PLR2004 - a test is named after what it proves, and pytest asserts
"""What every `LimitState` must do. Subclass `LimitStateContract` and give it ``state`` and ``pass_time`` fixtures."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count

from greffier.limits.ports import Account, Demand, Hold, LimitState, Shortage

PassTime = Callable[[float], Awaitable[None]]
_NUMBERS = count()


def account(kind: str, limit: int, name: str = "") -> Account:
    """An account nobody else uses. Spend lasts until an hour from now."""
    key = f"acme/{name or next(_NUMBERS)}:{kind}"
    until_ms = int(time.time() * 1000) + 3_600_000 if kind == "spend" else 0
    return Account(key, kind, limit, f"limit:test:{kind}", until_ms)  # type: ignore[arg-type]


async def take(state: LimitState, *demands: Demand) -> Hold:
    """Reserve, expecting success."""
    held = await state.reserve(demands)
    assert isinstance(held, Hold), held
    return held


async def short(state: LimitState, *demands: Demand) -> Shortage:
    """Reserve, expecting a shortage."""
    found = await state.reserve(demands)
    assert isinstance(found, Shortage), found
    return found


class LimitStateContract:
    """Run with ``class TestMyState(LimitStateContract)``.

    ``state`` is an empty state; ``pass_time`` lets that many seconds pass for it. Limits are slow enough that the
    seconds a test itself takes refill nothing.
    """

    async def test_admits_up_to_the_limit_and_then_says_when_to_come_back(self, state: LimitState) -> None:
        requests = account("requests", 3)
        for _ in range(3):
            await take(state, (requests, 1))
        shortage = await short(state, (requests, 1))
        assert shortage.account == requests
        assert shortage.retry_after_ms is not None
        assert 0 < shortage.retry_after_ms <= 20_000
        assert state.level(requests).remaining == 0

    async def test_refills_over_time(self, state: LimitState, pass_time: PassTime) -> None:
        tokens = account("tokens", 60_000)
        await take(state, (tokens, 60_000))
        await short(state, (tokens, 500))
        await pass_time(0.6)
        await take(state, (tokens, 500))

    async def test_debits_all_accounts_or_none(self, state: LimitState) -> None:
        roomy, full = account("requests", 5), account("spend", 10)
        await take(state, (full, 10))
        for _ in range(7):
            assert (await short(state, (roomy, 1), (full, 1))).account == full
        for _ in range(5):
            await take(state, (roomy, 1))
        await short(state, (roomy, 1))

    async def test_more_than_the_ceiling_is_never_possible(self, state: LimitState) -> None:
        for kind in ("tokens", "spend"):
            shortage = await short(state, (account(kind, 100), 101))
            assert shortage.retry_after_ms is None
            assert not shortage.unavailable

    async def test_settling_gives_back_what_was_not_used(self, state: LimitState) -> None:
        tokens, spend = account("tokens", 100), account("spend", 100)
        hold = await take(state, (tokens, 100), (spend, 100))
        state.settle(hold, tokens=40, spend=30)
        await take(state, (tokens, 60), (spend, 70))
        await short(state, (tokens, 10))
        await short(state, (spend, 1))

    async def test_settling_charges_what_was_used_beyond_the_reservation(self, state: LimitState) -> None:
        spend = account("spend", 100)
        state.settle(await take(state, (spend, 10)), tokens=None, spend=90)
        await short(state, (spend, 11))
        await take(state, (spend, 10))

    async def test_settling_twice_is_settling_once(self, state: LimitState) -> None:
        spend, running = account("spend", 100), account("concurrent", 1)
        hold = await take(state, (spend, 100), (running, 1))
        state.settle(hold, tokens=0, spend=60)
        state.settle(hold, tokens=0, spend=0)
        await short(state, (spend, 41))
        await take(state, (spend, 40), (running, 1))
        await short(state, (running, 1))

    async def test_unknown_use_leaves_the_reservation_as_used(self, state: LimitState) -> None:
        spend = account("spend", 100)
        state.settle(await take(state, (spend, 70)), tokens=None, spend=None)
        await short(state, (spend, 31))

    async def test_concurrency_is_free_again_after_settling(self, state: LimitState) -> None:
        running = account("concurrent", 2)
        first = await take(state, (running, 1))
        await take(state, (running, 1))
        assert (await short(state, (running, 1))).retry_after_ms is not None
        state.settle(first, tokens=0, spend=0)
        await take(state, (running, 1))
        await short(state, (running, 1))

    async def test_who_wants_nothing_is_not_stopped(self, state: LimitState) -> None:
        spend = account("spend", 10)
        await take(state, (spend, 10))
        hold = await take(state, (spend, 0))
        state.settle(hold, tokens=0, spend=5)
        await short(state, (spend, 1))

    async def test_past_spend_counts(self, state: LimitState) -> None:
        spend = account("spend", 100)
        state.restore(spend, 95)
        await short(state, (spend, 6))
        await take(state, (spend, 5))

    async def test_money_is_exact_at_nine_digits(self, state: LimitState) -> None:
        spend = account("spend", 999_999_999_999_999)
        await take(state, (spend, 999_999_999_999_998))
        await short(state, (spend, 2))
        await take(state, (spend, 1))

    async def test_tenants_do_not_share_accounts(self, state: LimitState) -> None:
        mine, theirs = Account("acme/x:requests", "requests", 1, "r"), Account("globex/x:requests", "requests", 1, "r")
        await take(state, (mine, 1))
        await take(state, (theirs, 1))
        await short(state, (mine, 1))

    async def test_concurrent_callers_never_take_more_than_there_is(self, state: LimitState) -> None:
        requests, spend = account("requests", 50), account("spend", 300)

        async def caller() -> int:
            got = 0
            for _ in range(5):
                held = await state.reserve([(requests, 1), (spend, 7)])
                if isinstance(held, Hold):
                    got += 1
                    await asyncio.sleep(0)
                    state.settle(held, tokens=0, spend=7)
            return got

        admitted = sum(await asyncio.gather(*(caller() for _ in range(40))))
        assert admitted == 300 // 7

    async def test_a_cancelled_caller_leaves_nothing_debited(self, state: LimitState) -> None:
        running = account("concurrent", 1)
        attempt = asyncio.ensure_future(state.reserve([(running, 1)]))
        await asyncio.sleep(0)
        if attempt.cancel():
            await asyncio.gather(attempt, return_exceptions=True)
        else:
            held = await attempt
            assert isinstance(held, Hold)
            state.settle(held, tokens=0, spend=0)
        await take(state, (running, 1))
