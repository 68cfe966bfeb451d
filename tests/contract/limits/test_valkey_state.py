import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from greffier.adapters.limits.valkey import ValkeyLimitState
from greffier.core.clock import SystemClock
from greffier.limits.ports import Hold, Shortage
from greffier.testing.contracts.limit_state import LimitStateContract, PassTime, account, short, take
from greffier.testing.redis_server import RedisServer, running_server

PATIENT_S = 5.0  # tests on a busy machine must not mistake it for an outage


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    yield from running_server()


class Workers:
    """Several workers over one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[ValkeyLimitState] = []

    def one(self, lease_ms: int = 60_000) -> ValkeyLimitState:
        state = ValkeyLimitState(self.url, SystemClock(), lease_ms=lease_ms, timeout_s=PATIENT_S)
        self.all.append(state)
        return state


@pytest.fixture
async def workers(server: RedisServer) -> AsyncIterator[Workers]:
    workers = Workers(server.url)
    yield workers
    for state in workers.all:
        await state.close()


class TestValkeyLimitState(LimitStateContract):
    @pytest.fixture
    def state(self, workers: Workers) -> ValkeyLimitState:
        return workers.one()

    @pytest.fixture
    def pass_time(self) -> PassTime:
        return asyncio.sleep


async def test_workers_share_one_ceiling(workers: Workers) -> None:
    """Bifrost keeps limits per replica: N replicas grant N times the cap."""
    first, second = workers.one(), workers.one()
    requests = account("requests", 10)
    for _ in range(5):
        await take(first, (requests, 1))
        await take(second, (requests, 1))
    await short(first, (requests, 1))
    await short(second, (requests, 1))


@pytest.mark.parametrize(("kind", "limit"), [("requests", 90), ("tokens", 900), ("spend", 1000), ("concurrent", 90)])
async def test_no_interleaving_of_workers_takes_more_than_there_is(workers: Workers, kind: str, limit: int) -> None:
    states = [workers.one() for _ in range(3)]
    wanted = account(kind, limit)
    amount = 1 if kind in {"requests", "concurrent"} else 7

    async def caller(state: ValkeyLimitState) -> int:
        got = 0
        for _ in range(20):
            got += amount if isinstance(await state.reserve([(wanted, amount)]), Hold) else 0
        return got

    taken = sum(await asyncio.gather(*(caller(state) for state in states for _ in range(4))))
    assert taken <= limit
    # What is leased and not used may be stuck with a worker for a while: at most a chunk each, less than a request.
    assert taken >= limit - len(states) * (limit // 20 + amount)


async def test_a_large_ceiling_is_leased_in_chunks(workers: Workers) -> None:
    state = workers.one()
    tokens = account("tokens", 1_000_000)
    await take(state, (tokens, 10))
    asked = 0
    ask = state._ask

    async def counting(pairs: object) -> Shortage | None:
        nonlocal asked
        asked += 1
        return await ask(pairs)  # type: ignore[arg-type]

    state._ask = counting  # type: ignore[method-assign]
    for _ in range(1000):
        await take(state, (tokens, 10))
    assert asked == 0


async def test_what_one_worker_leased_and_left_is_there_for_the_others(workers: Workers) -> None:
    first, second = workers.one(lease_ms=50), workers.one()
    spend = account("spend", 1000)
    await take(first, (spend, 1))  # leases fifty
    for _ in range(100):
        if isinstance(await second.reserve([(spend, 999)]), Hold):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the lease never came back")
    await short(second, (spend, 1))


async def test_a_worker_that_ends_gives_back_what_it_did_not_use(workers: Workers) -> None:
    first, second = workers.one(), workers.one()
    spend, running = account("spend", 1000), account("concurrent", 1)
    hold = await take(first, (spend, 10), (running, 1))
    first.settle(hold, tokens=0, spend=5)
    await first.close()
    await take(second, (spend, 995), (running, 1))
    await short(second, (spend, 1))


async def test_a_restarted_worker_does_not_count_the_journal_twice(workers: Workers) -> None:
    first = workers.one()
    spend = account("spend", 100)
    first.settle(await take(first, (spend, 60)), tokens=0, spend=60)
    await first.close()
    again = workers.one()
    again.restore(spend, 60)
    await take(again, (spend, 40))
    await short(again, (spend, 1))


async def test_tenants_have_separate_keys(workers: Workers, server: RedisServer) -> None:
    state = workers.one()
    await take(state, (account("requests", 5, "mine"), 1))
    assert await state._redis.exists("greffier:{acme}:limit:mine:requests") == 1
