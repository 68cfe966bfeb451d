"""One request and its answer, as the answer arrives."""

import asyncio
from collections.abc import Callable

from greffier.adapters.http.faults import Fault, HttpError

_HIGH_WATER = 262_144


class Exchange:
    """The answer to one request: status, headers and a bounded body.

    Fed by its connection, read by one coroutine. Two deadlines run: one until the answer has begun, one for the whole.

    Attributes:
        status: HTTP status; 0 until the headers came.
        headers: Those headers that callers need, names in lower case.
        complete: The whole body arrived.
    """

    __slots__ = (
        "_begun",
        "_error",
        "_loop",
        "_max_bytes",
        "_on_end",
        "_on_fail",
        "_parts",
        "_pause",
        "_resume",
        "_size",
        "_streaming",
        "_timer",
        "_total_deadline",
        "_unread",
        "_waiter",
        "complete",
        "headers",
        "status",
        "touched",
    )

    def __init__(
        self,
        *,
        streaming: bool,
        max_bytes: int,
        first_byte_s: float,
        total_s: float,
        on_fail: Callable[[], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self.status = 0
        self.headers: dict[bytes, str] = {}
        self.complete = False
        self.touched = False  # a byte of the answer has arrived
        self._loop = asyncio.get_running_loop()
        self._streaming = streaming
        self._max_bytes = max_bytes
        self._on_fail = on_fail
        self._pause = pause
        self._resume = resume
        self._parts: list[bytes] = []
        self._size = 0
        self._unread = 0
        self._begun = False
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_end: Callable[[], None] | None = None
        now = self._loop.time()
        self._total_deadline = now + total_s
        self._timer = self._loop.call_at(min(now + first_byte_s, self._total_deadline), self._expire)

    # What the connection tells.

    def receive_headers(self, status: int) -> None:
        """The final status and all headers are here."""
        if self._error is not None:
            return
        self.status = status
        if self._streaming:
            self._wake()
        else:
            self._begun = True

    def receive_body(self, data: bytes) -> None:
        """A piece of the body is here."""
        if self._error is not None:
            return
        self._size += len(data)
        if self._size > self._max_bytes:
            self.fail(HttpError(Fault.TOO_LARGE, f"more than {self._max_bytes} bytes"))
            return
        self._parts.append(data)
        if self._streaming:
            self._unread += len(data)
            if self._unread > _HIGH_WATER:
                self._pause()
            self._wake()

    def receive_end(self) -> None:
        """The body is complete."""
        if self._error is None:
            self.complete = True
            self._timer.cancel()
            self._wake()
            if self._on_end is not None:
                self._on_end()

    def fail(self, error: HttpError) -> None:
        """Nothing more will come."""
        if self.complete or self._error is not None:
            return
        self._error = error
        self._timer.cancel()
        self._on_fail()
        self._wake()
        if self._on_end is not None:
            self._on_end()

    def _expire(self) -> None:
        remaining = self._total_deadline - self._loop.time()
        if self._begun and remaining > 0:
            self._timer = self._loop.call_at(self._total_deadline, self._expire)
        elif self._begun or remaining <= 0:
            self.fail(HttpError(Fault.TOTAL_TIMEOUT))
        else:
            self.fail(HttpError(Fault.FIRST_BYTE_TIMEOUT))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the reader asks.

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def answered(self) -> None:
        """Wait for the headers of a streamed answer, or for the whole of a plain one.

        Raises:
            HttpError: The exchange failed.
        """
        while not (self.complete or (self._streaming and self.status)):
            if self._error is not None:
                raise self._error
            await self._wait()

    def body(self) -> bytes:
        """Everything of a plain answer."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def read(self) -> bytes:
        """The next bytes of a streamed answer; empty at its end.

        Raises:
            HttpError: The exchange failed; what arrived before the failure has been returned first.
        """
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        data = self.body()
        self._parts.clear()
        if self._unread > _HIGH_WATER:
            self._resume()
        self._unread = 0
        return data

    def begun(self) -> None:
        """The first token arrived: from here on only the total deadline counts."""
        self._begun = True

    def drain(self, on_end: Callable[[], None], within_s: float) -> None:
        """Nobody reads any more; call ``on_end`` when the body is complete, has failed, or after ``within_s``."""
        self._streaming = False
        self._begun = True
        self._on_end = on_end
        self._timer.cancel()
        self._total_deadline = min(self._total_deadline, self._loop.time() + within_s)
        self._timer = self._loop.call_at(self._total_deadline, self._expire)
        self._resume()

    def abandon(self) -> None:
        """The reader has gone: stop the clock."""
        self._timer.cancel()
