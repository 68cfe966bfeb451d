"""Workers, lost answers, a server that forgets: whatever the order, no more is admitted than there is."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.exceptions import TimeoutError as RedisTimeoutError

from greffier.adapters.limits.valkey import ValkeyLimitState
from greffier.limits.ports import Account, Hold
from greffier.testing.clock import ManualClock
from greffier.testing.redis_server import RedisServer, running_server

WORKERS = 3
LIMITS = {"requests": 60, "tokens": 600, "concurrent": 9, "spend": 500}
_EXAMPLES = count()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    yield from running_server()


class FlakyAnswers:
    """Stands between a worker and the script; can lose the answer after the server has done its work."""

    def __init__(self, script: object) -> None:
        self.script = script
        self.lose_next = False

    async def __call__(self, **arguments: object) -> object:
        answer = await self.script(**arguments)  # type: ignore[operator]
        if self.lose_next:
            self.lose_next = False
            raise RedisTimeoutError("the answer was lost on the way")
        return answer


class SharedCeilings(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        example = next(_EXAMPLES)
        until_ms = 4_000_000_000_000
        self.accounts = {
            kind: Account(f"acme/{example}:{kind}", kind, limit, "r", until_ms if kind == "spend" else 0)  # type: ignore[arg-type]
            for kind, limit in LIMITS.items()
        }
        self.workers = [
            ValkeyLimitState(self.url, self.clock, lease_ms=1000, on_unavailable="deny", timeout_s=10)
            for _ in range(WORKERS)
        ]
        self.flaky: list[FlakyAnswers] = []
        for worker in self.workers:
            self.flaky.append(FlakyAnswers(worker._lease))
            worker._lease = self.flaky[-1]  # type: ignore[assignment]
        self.open: list[list[tuple[Hold, int]]] = [[] for _ in self.workers]
        self.charged = 0
        self.requests = 0

    def teardown(self) -> None:
        for worker in self.workers:
            self.loop.run_until_complete(worker.close())
        self.loop.close()

    @rule(
        places=st.lists(st.integers(0, WORKERS - 1), min_size=1, max_size=8),
        tokens=st.integers(0, 20),
        spend=st.sampled_from((0, 1, 30, 200)),
    )
    def reserve(self, places: list[int], tokens: int, spend: int) -> None:
        amounts = {"requests": 1, "tokens": tokens, "concurrent": 1, "spend": spend}
        demands = [(account, amounts[kind]) for kind, account in self.accounts.items()]
        for place in places:
            held = self.loop.run_until_complete(self.workers[place].reserve(demands))
            if isinstance(held, Hold):
                self.open[place].append((held, spend))
                self.requests += 1

    @rule(place=st.integers(0, WORKERS - 1), part=st.floats(0, 1))
    def settle(self, place: int, part: float) -> None:
        if self.open[place]:
            hold, spend = self.open[place].pop(0)
            used = int(spend * part)
            self.workers[place].settle(hold, tokens=None, spend=used)
            self.workers[place].settle(hold, tokens=0, spend=0)
            self.charged += used

    @rule(place=st.integers(0, WORKERS - 1))
    def lose_the_next_answer(self, place: int) -> None:
        self.flaky[place].lose_next = True

    @rule(seconds=st.sampled_from((0.2, 1.5, 6.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(place=st.integers(0, WORKERS - 1))
    def tend(self, place: int) -> None:
        worker = self.workers[place]

        async def give_back() -> None:
            if not worker._resting():
                await asyncio.gather(worker._give_back(), return_exceptions=True)

        self.loop.run_until_complete(give_back())

    @invariant()
    def money_is_never_overspent_and_never_lost(self) -> None:
        aside = sum(spend for holds in self.open for _, spend in holds)
        used = sum(
            worker._wallets[self.accounts["spend"].key].used
            for worker in self.workers
            if self.accounts["spend"].key in worker._wallets
        )
        assert used == self.charged + aside
        assert used <= LIMITS["spend"]

    @invariant()
    def slots_are_never_exceeded(self) -> None:
        assert sum(len(holds) for holds in self.open) <= LIMITS["concurrent"]

    @invariant()
    def requests_are_never_exceeded(self) -> None:
        assert self.requests <= LIMITS["requests"] + 20  # the server's own clock refills one a second


def test_no_order_of_events_admits_more_than_there_is(server: RedisServer) -> None:
    class Machine(SharedCeilings):
        url = server.url

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
