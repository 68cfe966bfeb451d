# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every sink keeps to, whatever stands behind it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from greffier.audit.sinks import Parcel, Sink, SinkUnavailable

_PATIENCE_S = 15.0


class Receiver(Protocol):
    """A sink's peer, as tests see it."""

    def sink(self) -> Sink:
        """A sink that delivers to it."""
        ...

    async def received(self, at_least: int) -> list[str]:
        """The events it holds, in order, waiting a moment until there are so many."""
        ...

    async def stop(self) -> None:
        """Go away."""
        ...

    async def start(self) -> None:
        """Come back."""
        ...


def parcel(number: int, text: str = "") -> Parcel:
    """An event whose text says which one it is."""
    data = f'{{"event":"e{number:06}","text":"{text}"}}'.encode()
    return Parcel(f"evt_{number:06}", number, 1_795_467_240_123 + number, "GW-2001", 1, "acme", data)


def wrapped(parcels: list[Parcel]) -> list[str]:
    """The texts of parcels."""
    return [one.data.decode() for one in parcels]


class SinkContract:
    """Subclass it and provide the fixture ``receiver``."""

    @pytest.fixture
    async def sink(self, receiver: Receiver) -> AsyncIterator[Sink]:
        """A sink, closed afterwards."""
        sink = receiver.sink()
        yield sink
        await sink.close()

    async def test_a_peer_that_is_there_passes_the_probe(self, sink: Sink) -> None:
        await sink.probe()
        await sink.probe()

    async def test_everything_arrives_in_order(self, sink: Sink, receiver: Receiver) -> None:
        sent = [parcel(number) for number in range(300)]
        for start in range(0, 300, 100):
            await sink.send(sent[start : start + 100])
        assert await receiver.received(300) == wrapped(sent)

    async def test_texts_arrive_as_they_were(self, sink: Sink, receiver: Receiver) -> None:
        sent = [parcel(1, "Grüße, 世界 🦉 ] = | %s {{x}} <13>"), parcel(2, "x" * 7000), parcel(3)]
        await sink.send(sent)
        assert await receiver.received(3) == wrapped(sent)

    async def test_a_peer_that_is_away_is_said_to_be(self, sink: Sink, receiver: Receiver) -> None:
        await sink.send([parcel(1)])
        await receiver.stop()
        with pytest.raises(SinkUnavailable):
            await sink.send([parcel(2)])
        with pytest.raises(SinkUnavailable):
            await receiver.sink().probe()

    async def test_closing_is_final_and_harmless(self, receiver: Receiver) -> None:
        sink = receiver.sink()
        await sink.close()
        await sink.send([parcel(1)])
        await sink.close()
        await sink.close()
        assert await receiver.received(1) == wrapped([parcel(1)])


class RestartingSinkContract(SinkContract):
    """For sinks whose peer can come back where it was, with what it had."""

    async def test_it_goes_on_when_the_peer_is_back(self, sink: Sink, receiver: Receiver) -> None:
        await sink.send([parcel(1)])
        await receiver.stop()
        with pytest.raises(SinkUnavailable):
            await sink.send([parcel(2)])
        await receiver.start()
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    await sink.send([parcel(2), parcel(3)])
                    break
                except SinkUnavailable:
                    await asyncio.sleep(0.1)
        assert set(await receiver.received(3)) == set(wrapped([parcel(1), parcel(2), parcel(3)]))
