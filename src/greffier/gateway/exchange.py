"""One HTTP request and its answer: reading within bounds, answering once, noticing that the caller hung up."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from greffier.core.context import Arrival, Surface
from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused
from greffier.gateway.arrivals import arrival_of
from greffier.gateway.errors import Dialect, render
from greffier.gateway.ports import Known
from greffier.gateway.rate_headers import in_anthropic_words
from greffier.gateway.wire.chat_answer import StreamWriter

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

JSON = (b"content-type", b"application/json")
_RULE = "gateway.body"
_COMPRESSED = Deny(Code.UNSUPPORTED_MEDIA_TYPE, _RULE, "The body is compressed", "Send it without Content-Encoding.")
_TAKES_PLAIN = (("accept-encoding", "identity"),)  # RFC 9110 section 12.5.3, of an answer with status 415
_WATCH_AFTER_S = 0.05  # most requests are over by then and never pay for a watching task


class Bounds(msgspec.Struct, frozen=True):
    """How much a caller may send and how long the gateway waits; sizes in bytes, times in seconds.

    Attributes:
        max_body_bytes: Largest request body.
        max_json_depth: Deepest nesting of JSON.
        body_timeout_s: Time for the whole body to arrive.
        max_concurrent_requests: Requests in flight per worker.
        ping_interval_s: Silence after which a stream gets a keep-alive comment.
        stall_timeout_s: Time a caller may leave a stream's bytes unread before the answer is given up.
        strangers_body_bytes: How much of a body is read, at most, before its sender is known.
        linger_s: Time to go on reading, and discarding, a body that was refused unread: a connection closed on bytes
            in flight is reset, and the caller might never see why.
    """

    max_body_bytes: int = 33_554_432
    max_json_depth: int = 64
    body_timeout_s: float = 30.0
    max_concurrent_requests: int = 2048
    ping_interval_s: float = 15.0
    stall_timeout_s: float = 60.0
    strangers_body_bytes: int = 65_536
    linger_s: float = 1.0


class Exchange:
    """A request being answered. Lives in one task.

    Attributes:
        request_id: Ours.
        headers: Request headers by lower-case name.
        dialect: How refusals are rendered.
        arrival: What the pipeline learns about the request.
        status: Status sent, 0 before.
        interruption: Why the task was cancelled by us: the caller left, or a bound was passed.
        writer: Writes the frames, once a stream was started.
    """

    __slots__ = (
        "_closing",
        "_known",
        "_loop",
        "_receive",
        "_send",
        "_task",
        "_timer",
        "_unread",
        "_watcher",
        "arrival",
        "bounds",
        "dialect",
        "headers",
        "interruption",
        "request_id",
        "status",
        "writer",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        request_id: str,
        headers: dict[bytes, bytes],
        dialect: Dialect,
        surface: Surface,
        peer: str,
        received_ms: int,
        started: float,
        bounds: Bounds,
        closing: bool,
        known: Known,
    ) -> None:
        self._receive = receive
        self._send = send
        self._closing = closing
        self._known = known
        self._unread = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.request_id = request_id
        self.headers = headers
        self.dialect: Dialect = dialect
        self.bounds = bounds
        self.status = 0
        self.interruption: Deny | None = None
        self.writer: StreamWriter | None = None
        self.arrival: Arrival = arrival_of(
            headers, request_id=request_id, surface=surface, peer=peer, received_ms=received_ms, started=started
        )

    # Reading

    async def body(self) -> bytes:
        """Read the body, within its bounds of size and time.

        Of a sender nobody knows no more than a little is read: the pipeline refuses before it looks at a body.

        Raises:
            Refused: ``UNSUPPORTED_MEDIA_TYPE``, ``REQUEST_TOO_LARGE``; ``REQUEST_TIMEOUT`` arrives as a cancellation.
        """
        declared = self._declared()
        limit, free = self.bounds.max_body_bytes, self.bounds.strangers_body_bytes
        if (declared > free or b"expect" in self.headers) and await self._strange():
            return b""
        self._timer = self._loop.call_later(self.bounds.body_timeout_s, self._too_slow)
        try:
            message = await self._receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                whole = bytes(message.get("body", b""))
                if len(whole) > limit:
                    raise self._too_large()
                return whole
            parts: list[bytes] = []
            size = 0
            while message["type"] == "http.request":
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise self._too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
                if not declared and size > free >= size - len(part) and await self._strange():
                    return b""
                message = await self._receive()
        finally:
            self._timer.cancel()
        self.interruption = self._gone()
        raise Refused(self.interruption)

    def _declared(self) -> int:
        """Bytes of body the head announces, 0 if it does not say; refuses what it announces and we cannot take."""
        headers = self.headers
        media_type = headers.get(b"content-type", b"application/json")
        if media_type != b"application/json" and media_type.split(b";")[0].strip().lower() != b"application/json":
            raise Refused(Deny(Code.UNSUPPORTED_MEDIA_TYPE, _RULE, "The body is not declared as JSON"))
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(_COMPRESSED, _TAKES_PLAIN)
        length = headers.get(b"content-length", b"0")
        declared = int(length[:20]) if length.isdigit() else 0
        if declared > self.bounds.max_body_bytes:
            raise self._too_large()
        return declared

    async def _strange(self) -> bool:
        """Whether the sender is nobody we know; then the rest of the body stays unread."""
        if await self._known(self.arrival):
            return False
        self._closing = self._unread = True
        return True

    def _too_large(self) -> Refused:
        self._closing = self._unread = True  # what is left of the body is not worth keeping
        limit = self.bounds.max_body_bytes
        return Refused(Deny(Code.REQUEST_TOO_LARGE, _RULE, f"The body is larger than {limit} bytes"))

    def _too_slow(self) -> None:
        self._closing = self._unread = True
        waited = self.bounds.body_timeout_s
        self._interrupt(Deny(Code.REQUEST_TIMEOUT, _RULE, f"The body did not arrive within {waited:g} seconds"))

    # Noticing that the caller left

    def watch(self) -> None:
        """From now on a caller's hanging up cancels the task. Call once the body was read."""
        self._timer = self._loop.call_later(_WATCH_AFTER_S, self._start_watching)

    def _start_watching(self) -> None:
        self._watcher = self._loop.create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # a server may repeat the end of the body
        self.caller_left()

    def caller_left(self) -> None:
        """Give the request up: nobody is listening."""
        self._interrupt(self._gone())

    def give_up(self, why: Deny) -> None:
        """Give the request up for a reason of ours; the caller is told."""
        self._interrupt(why)

    def _gone(self) -> Deny:
        return Deny(Code.CANCELLED, "gateway.disconnect", "The caller closed the connection")

    def _interrupt(self, why: Deny) -> None:
        if self.interruption is None:
            self.interruption = why
            if self._task is not None:
                self._task.cancel(None if why.code is Code.CANCELLED else why)  # the record tells a reason of ours

    def close(self) -> None:
        """Stop watching. After this nothing of the exchange cancels the task."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    # Answering

    async def answer(self, body: bytes, headers: Headers = (), *, status: int = 200) -> None:
        """Send a whole JSON answer."""
        wire = [JSON, *encode_headers(headers)]
        await self.send(status, wire, body)

    async def refuse(self, ruling: Deny, headers: Headers = ()) -> None:
        """Send a refusal in the caller's dialect."""
        rendered = render(self.dialect, ruling, self.request_id)
        await self.send(rendered.status, [*rendered.headers, *encode_headers(headers)], rendered.body)

    async def send(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer with the headers every answer has."""
        headers.append((b"content-length", b"%d" % len(body)))
        await self.start(status, headers)
        if not self._unread:
            await self.write(body, last=True)
            return
        await self.write(body, last=False)
        await self._linger()
        await self.write(b"", last=True)

    async def _linger(self) -> None:
        """Discard what the caller still sends until it has read the answer and closes, within bounds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.bounds.linger_s):
                while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
                    pass

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers, with those that every answer has."""
        request_id = self.request_id.encode("ascii")
        headers.append((b"x-request-id", request_id))
        if self.dialect == "anthropic":
            headers += in_anthropic_words(headers, datetime.now(UTC))
            headers.append((b"request-id", request_id))
        if self._closing:
            headers.append((b"connection", b"close"))
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, last: bool) -> None:
        """Send a piece of the body; waits while the caller does not read."""
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})


def encode_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers for the wire; what HTTP does not allow in a value (line breaks, non-ASCII) becomes ``?``."""
    return [(name.encode("ascii"), _value(value)) for name, value in headers]


def _value(value: str) -> bytes:
    if value.isascii() and value.isprintable():
        return value.encode("ascii")
    return "".join(char if " " <= char <= "~" else "?" for char in value).encode("ascii")
