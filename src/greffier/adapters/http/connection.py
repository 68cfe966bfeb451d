"""One keep-alive connection to the origin, carrying one exchange at a time."""

import asyncio
import contextlib
from collections.abc import Callable

import httptools

from greffier.adapters.http.exchange import Exchange
from greffier.adapters.http.faults import Fault, HttpError

_MAX_HEADER_BYTES = 65_536
_MAX_HEADERS = 256
_OK = 200
_SWITCHING = 101
_KEPT_HEADERS = frozenset(
    {
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-request-id",
        b"request-id",
        b"x-should-retry",
        b"x-amz-object-lock-mode",
        b"x-amz-object-lock-retain-until-date",
    }
)


class Connection(asyncio.Protocol):
    """Parses answers (RFC 9112) and hands them to the exchange in progress.

    Bytes that no request asked for close the connection, so that a smuggled second answer never meets the next caller.
    """

    __slots__ = (
        "_exchange",
        "_header_bytes",
        "_header_count",
        "_on_lost",
        "_parser",
        "_transport",
        "_unframed",
        "idle_since",
        "reusable",
        "used",
    )

    def __init__(self, on_lost: Callable[["Connection"], None]) -> None:
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._header_bytes = 0
        self._header_count = 0
        self._unframed = True
        self.reusable = False
        self.used = False
        self.idle_since = 0.0

    # What the client asks.

    def send(self, message: bytes, exchange: Exchange) -> None:
        """Send a request; its answer goes to ``exchange``."""
        self._exchange = exchange
        self._header_bytes = self._header_count = 0
        self._unframed = True
        self.reusable = False
        if self._transport is None:
            exchange.fail(HttpError(Fault.CLOSED_UNANSWERED))
        else:
            self._transport.write(message)

    def release(self) -> None:
        """The exchange is over; whatever comes now is nobody's."""
        self._exchange = None
        self.used = True

    def drop(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Hold the peer back: the reader is slower."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Let the peer send again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = transport  # type: ignore[assignment] # TCP and TLS transports both read and write

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        self.reusable = False
        exchange = self._exchange
        if exchange is not None and not exchange.complete:
            if exc is None and exchange.status and self._unframed:
                exchange.receive_end()  # a body without a length ends with the connection (RFC 9112 section 6.3)
            else:
                exchange.fail(HttpError(Fault.CLOSED_MIDWAY if exchange.touched else Fault.CLOSED_UNANSWERED))
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        exchange = self._exchange
        if exchange is None or exchange.complete:
            self.drop()
            return
        exchange.touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            exchange.fail(HttpError(Fault.NOT_HTTP))
            self.drop()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """An answer begins; a second one to the same request is an attack or a bug."""
        if self._exchange is None or self._exchange.complete:
            self.drop()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header arrived."""
        exchange = self._exchange
        if exchange is None or exchange.complete:
            return
        self._header_bytes += len(name) + len(value)
        self._header_count += 1
        if self._header_bytes > _MAX_HEADER_BYTES or self._header_count > _MAX_HEADERS:
            exchange.fail(HttpError(Fault.HEADERS_TOO_LARGE))
            return
        name = name.lower()
        if name in _KEPT_HEADERS:
            exchange.headers[name] = value.decode("latin-1")
        elif name in {b"content-length", b"transfer-encoding"}:
            self._unframed = False
        elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            exchange.fail(HttpError(Fault.ENCODED, "a content coding nobody asked for"))

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        status = self._parser.get_status_code()
        exchange = self._exchange
        if exchange is None or exchange.complete:
            return
        if status == _SWITCHING:
            exchange.fail(HttpError(Fault.NOT_HTTP, "the server switched protocols"))
        elif status >= _OK:
            exchange.receive_headers(status)

    def on_body(self, body: bytes) -> None:
        """A piece of a body arrived."""
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.receive_body(body)

    def on_message_complete(self) -> None:
        """An answer is complete; interim answers (1xx) are not the one we wait for."""
        if self._exchange is not None and self._parser.get_status_code() >= _OK and not self._exchange.complete:
            self.reusable = self._parser.should_keep_alive()
            self._exchange.receive_end()


class Tunnel(asyncio.Protocol):
    """Asks a forward proxy for a tunnel (CONNECT, RFC 9110 section 9.3.6)."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._size = 0

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The proxy closed the connection."""
        self._settle(0)

    def data_received(self, data: bytes) -> None:
        """Bytes of the proxy's answer arrived."""
        self._size += len(data)
        if self._size > _MAX_HEADER_BYTES:
            self._settle(0)
            return
        with contextlib.suppress(httptools.HttpParserUpgrade):
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError:
                self._settle(0)

    def on_headers_complete(self) -> None:
        """The proxy has answered."""
        self._settle(self._parser.get_status_code())

    def _settle(self, status: int) -> None:
        if not self.answer.done():
            self.answer.set_result(status)
