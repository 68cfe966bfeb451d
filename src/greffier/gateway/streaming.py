"""Sends a streamed answer: frames as they come, keep-alive comments in silence, an end to readers that stall."""

import asyncio

from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused
from greffier.gateway.exchange import Exchange, encode_headers
from greffier.gateway.wire.chat_answer import StreamWriter
from greffier.pipeline.answers import ChatStream

_SSE = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would hold frames back otherwise
)


async def send_stream(exchange: Exchange, stream: ChatStream, writer: StreamWriter) -> None:
    """Send an answer as it comes. Headers leave with the first fragment, so an early refusal is a real HTTP error.

    Closes ``stream`` on every path; a caller's hanging up arrives here as a cancellation and reaches the model so.

    Raises:
        Refused: The answer was refused before its first fragment.
    """
    pump = _Pump(exchange, writer)
    try:
        await pump.run(stream)
    finally:
        pump.stop()
        await stream.aclose()


class _Pump:
    """Moves frames to the caller. One timer per stream serves keep-alive and stall detection; no task per frame."""

    __slots__ = ("_exchange", "_last", "_loop", "_ping", "_sending", "_timer", "_writer")

    def __init__(self, exchange: Exchange, writer: StreamWriter) -> None:
        self._exchange = exchange
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._sending = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    async def run(self, stream: ChatStream) -> None:
        exchange, writer = self._exchange, self._writer
        chunks = aiter(stream)
        first = await anext(chunks, None)
        if first is None:
            raise Refused(_cut())
        exchange.writer = writer
        await exchange.start(200, [*_SSE, *encode_headers(stream.headers)])
        self._schedule()
        try:
            await self._send(writer.feed(first))
            async for chunk in chunks:
                await self._send(writer.feed(chunk))
            last = writer.finish() if writer.complete else writer.fail(_cut())
        except Refused as refused:
            last = writer.fail(refused.ruling)
        self._sending = True  # no ping may follow the last frame
        if self._ping is not None and not self._ping.done():
            await asyncio.wait((self._ping,))
        self._last = self._loop.time()
        await exchange.write(last, last=True)

    async def _send(self, frame: bytes) -> None:
        if frame:
            self._sending = True
            self._last = self._loop.time()
            await self._exchange.write(frame, last=False)
            self._sending = False

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._exchange.bounds.ping_interval_s, self._tick)

    def _tick(self) -> None:
        bounds = self._exchange.bounds
        silent = self._loop.time() - self._last
        if self._sending or (self._ping is not None and not self._ping.done()):
            if silent > bounds.stall_timeout_s:
                self._exchange.caller_left()
                return
        elif silent >= bounds.ping_interval_s:
            self._last = self._loop.time()
            self._ping = self._loop.create_task(self._exchange.write(self._writer.ping, last=False))
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()


def _cut() -> Deny:
    return Deny(Code.UPSTREAM_TRUNCATED, "gateway.stream", "The answer ended without a finish reason")
