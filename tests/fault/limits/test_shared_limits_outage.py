"""Redis dies, hangs, comes back empty: requests go on within the stated bounds, and none waits long."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from greffier.adapters.limits.valkey import ValkeyLimitState
from greffier.core.clock import SystemClock
from greffier.limits.ports import Account, Hold, LimitState, Shortage
from greffier.testing.contracts.limit_state import account, short, take
from greffier.testing.redis_server import RedisServer, running_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    yield from running_server()


class Workers:
    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[ValkeyLimitState] = []

    def one(self, on_unavailable: str = "local", lease_ms: int = 20) -> ValkeyLimitState:
        state = ValkeyLimitState(
            self.url,
            SystemClock(),
            lease_ms=lease_ms,
            on_unavailable="deny" if on_unavailable == "deny" else "local",
            timeout_s=0.5,
        )
        self.all.append(state)
        return state


@pytest.fixture
async def workers(server: RedisServer) -> AsyncIterator[Workers]:
    workers = Workers(server.url)
    yield workers
    server.thaw()
    for state in workers.all:
        await state.close()


async def drain(state: LimitState, wanted: Account, amount: int = 1, tries: int = 500) -> int:
    taken = 0
    for _ in range(tries):
        held = await state.reserve([(wanted, amount)])
        if isinstance(held, Shortage):
            return taken
        taken += amount
    pytest.fail("the ceiling never bound")


async def acquaint(first: ValkeyLimitState, second: ValkeyLimitState, wanted: Account, amount: int = 1) -> None:
    """Let both use the account once, and learn that there are two."""
    for state in (first, second):
        state.settle(await take(state, (wanted, amount)), tokens=amount, spend=amount)
    for _ in range(200):
        if first._workers == second._workers == 2:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the workers never learnt of each other")


@pytest.mark.parametrize("outage", ["kill", "freeze"])
@pytest.mark.parametrize("kind", ["requests", "spend"])
async def test_an_outage_lets_each_worker_use_its_share_and_no_more(
    server: RedisServer, workers: Workers, outage: str, kind: str
) -> None:
    first, second = workers.one(), workers.one()
    wanted = account(kind, 100)
    await acquaint(first, second, wanted)
    getattr(server, outage)()
    await asyncio.sleep(0.05)
    taken = await drain(first, wanted) + await drain(second, wanted)
    assert taken <= 100 + 2
    assert taken >= 80


async def test_slots_are_shared_out_in_an_outage(server: RedisServer, workers: Workers) -> None:
    first, second = workers.one(), workers.one()
    running = account("concurrent", 10)
    await acquaint(first, second, running)
    server.kill()
    await asyncio.sleep(0.05)
    assert await drain(first, running) + await drain(second, running) == 10


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_deny_refuses_as_soon_as_the_lease_is_over(server: RedisServer, workers: Workers, outage: str) -> None:
    state = workers.one("deny")
    wanted = account("requests", 1000)
    await take(state, (wanted, 1))
    getattr(server, outage)()
    await asyncio.sleep(0.05)
    shortage = await short(state, (wanted, 1))
    assert shortage.unavailable
    assert shortage.retry_after_ms is not None


async def test_a_worker_that_never_saw_the_server_refuses(server: RedisServer, workers: Workers) -> None:
    """It does not know how many others there are, so there would be no bound."""
    server.kill()
    assert (await short(workers.one(), (account("requests", 10), 1))).unavailable


async def test_a_hanging_server_delays_one_request_and_not_the_rest(server: RedisServer, workers: Workers) -> None:
    """A slow Redis is worse than a dead one: a hundred requests must not wait for it one after the other."""
    state = workers.one()
    wanted = account("requests", 100_000)
    await take(state, (wanted, 1))
    server.freeze()
    await asyncio.sleep(0.05)
    calls = 0
    call = state._lease

    async def counting(**arguments: object) -> object:
        nonlocal calls
        calls += 1
        return await call(**arguments)  # type: ignore[arg-type]

    state._lease = counting  # type: ignore[assignment]
    held = await asyncio.gather(*(state.reserve([(wanted, 1)]) for _ in range(200)))
    assert all(isinstance(one, Hold) for one in held)
    assert calls <= 2  # one request, and at most one round of the background task
    assert not state.reachable


async def wait_until_reachable(state: ValkeyLimitState, wanted: Account) -> None:
    for _ in range(200):
        await state.reserve([(wanted, 1)])
        if state.reachable:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the server was never found again")


async def test_money_spent_alone_is_owed_when_the_server_is_back(server: RedisServer, workers: Workers) -> None:
    state, other = workers.one(), workers.one()
    spend = account("spend", 1000)
    await acquaint(state, other, spend, 10)
    server.freeze()
    await asyncio.sleep(0.05)
    hold = await state.reserve([(spend, 300)])
    assert isinstance(hold, Hold)
    state.settle(hold, tokens=0, spend=300)
    server.thaw()
    await wait_until_reachable(state, account("requests", 1000))
    for _ in range(100):
        await asyncio.sleep(0.05)
        await other.reserve([(spend, 681)])
        if other.level(spend).remaining <= 680:
            break
    await short(other, (spend, 681))
    await take(other, (spend, 680))


async def test_a_server_that_comes_back_empty_is_told_what_was_spent(server: RedisServer, workers: Workers) -> None:
    state = workers.one()
    spend = account("spend", 100)
    state.settle(await take(state, (spend, 60)), tokens=0, spend=60)
    server.kill()
    server.start()
    await wait_until_reachable(state, account("requests", 1000))
    await short(state, (spend, 41))
    await take(state, (spend, 40))


async def test_a_long_outage_does_not_turn_into_a_long_silence(server: RedisServer, workers: Workers) -> None:
    """Requests admitted alone and long refilled must not be owed when the server returns."""
    state = workers.one()
    wanted = account("requests", 6000)  # refills one in ten milliseconds
    await take(state, (wanted, 1))
    server.freeze()
    await asyncio.sleep(0.05)
    await drain(state, wanted, amount=1000)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        await state.reserve([(wanted, 1)])
        await asyncio.sleep(0.005)
    server.thaw()
    for _ in range(200):
        await asyncio.sleep(0.05)
        if state.reachable and isinstance(await state.reserve([(wanted, 1)]), Hold):
            return
    pytest.fail("the debt of the outage silenced the worker")


async def test_an_outage_is_logged_once_and_without_the_password(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    state = ValkeyLimitState(f"redis://:hunter2@127.0.0.1:{server.port}/0", SystemClock())
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            await short(state, (account("requests", 10), 1))
    await state.close()
    mine = [record for record in caplog.records if record.name.startswith("greffier")]
    assert len(mine) == 1
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(state)


async def test_closing_ends_where_the_driver_swallows_the_cancellation(server: RedisServer) -> None:
    """Python 3.11's `wait_for` forgets a cancellation that comes together with the answer it waits for."""
    state = ValkeyLimitState(server.url, SystemClock(), lease_ms=20)
    await take(state, (account("requests", 10), 1))
    asking, beat = asyncio.Event(), state._heartbeat

    async def answered_when_cancelled(**arguments: Any) -> object:
        if not state._closed:
            asking.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await beat(**arguments)

    state._heartbeat = answered_when_cancelled  # type: ignore[assignment]
    state._timeout_s = 3600.0  # the cancellation ends the wait, however slow the machine is
    await asyncio.wait_for(asking.wait(), 60)
    await asyncio.wait_for(state.close(), 60)
    assert state._tender is None
