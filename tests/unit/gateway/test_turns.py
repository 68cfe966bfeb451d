"""Requests that arrive together begin one per turn of the event loop, in the order of their arrival."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from greffier.gateway.turns import Turns

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


class Ticker:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.turn = 0
        self._tick()

    def _tick(self) -> None:
        self.turn += 1
        self._next = asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> None:
        self._next.cancel()


def test_one_request_begins_per_turn_in_order(run: Run) -> None:
    async def scenario() -> None:
        turns, ticker = Turns(), Ticker()
        began: list[tuple[int, int]] = []

        async def request(number: int) -> None:
            await turns.begin()
            began.append((number, ticker.turn))

        await asyncio.gather(*(request(number) for number in range(5)))
        ticker.stop()
        assert [number for number, _ in began] == [0, 1, 2, 3, 4]
        assert len({turn for _, turn in began}) == 5

    run(scenario())


def test_who_is_under_way_finds_one_newcomer_before_it_at_most(run: Run) -> None:
    async def scenario() -> None:
        turns = Turns()
        steps: list[str] = []

        async def request(name: str) -> None:
            await turns.begin()
            steps.append(f"{name} begins")
            await asyncio.sleep(0)  # its admission is durable, its answer has come: ready again at once
            steps.append(f"{name} goes on")

        await asyncio.gather(*(request(name) for name in "abcd"))
        for name in "abcd":
            between = steps[steps.index(f"{name} begins") + 1 : steps.index(f"{name} goes on")]
            assert sum(step.endswith("begins") for step in between) <= 1

    run(scenario())


def test_a_caller_who_left_while_waiting_takes_no_turn(run: Run) -> None:
    async def scenario() -> None:
        turns = Turns()
        await turns.begin()
        waiting = [asyncio.ensure_future(turns.begin()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 5)

    run(scenario())


def test_nobody_waits_where_nobody_else_begins(run: Run) -> None:
    async def scenario() -> None:
        turns = Turns()
        for _ in range(3):
            with pytest.raises(StopIteration):  # done without giving the loop away
                turns.begin().send(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    run(scenario())
