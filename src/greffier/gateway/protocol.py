"""uvicorn's HTTP/1.1 protocol with the bounds it lacks: on the size and the time of a request's head.

Give `with_head_timeout` to ``uvicorn.Config(http=...)``. What cannot be parsed is answered by us and not with a
framework's text, and an offer to upgrade to HTTP/2 is ignored (RFC 9110 section 7.8) instead of losing the body: Java's
HTTP client makes it on every first request.
"""

import asyncio
from typing import Any

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from greffier.core.errors import Code
from greffier.core.ids import new_id
from greffier.core.rulings import Deny
from greffier.gateway.errors import render

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0

_RULE = "gateway.http"
_MALFORMED = Deny(Code.INVALID_REQUEST, _RULE, "The bytes received are not an HTTP/1.1 request", "Check the client.")
_TOO_LARGE = Deny(
    Code.INVALID_REQUEST, _RULE, f"Request line and headers exceed {MAX_HEAD_BYTES} bytes", "Send fewer headers."
)
_NO_HOST = Deny(
    Code.INVALID_REQUEST,
    _RULE,
    "An HTTP/1.1 request names its host once (RFC 9112 section 3.2)",
    "Send one Host header.",
)

_CHUNKED_SINCE = "1.1"


class _Refused(Exception):  # noqa: N818 - a signal to ourselves through the parser's callbacks
    def __init__(self, ruling: Deny) -> None:
        super().__init__(ruling.reason)
        self.ruling = ruling


class GatewayProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        head_timeout_s: Seconds from the connection's start, or a later request's first byte, to the end of its head.
    """

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True  # of a request that has begun, or of one still to come
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller connected."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller left."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
            if b"pgrade" in data or b"PGRADE" in data:
                data = _without_upgrade(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # CONNECT; the application has been asked and refuses the method
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.ruling if isinstance(cause, _Refused) else _MALFORMED)
            return
        if self._in_head and self._head_bytes:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_too_slow)

    def on_headers_complete(self) -> None:
        """A request's head is complete; the application is called."""
        if self._head_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                raise _Refused(_TOO_LARGE)
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() == _CHUNKED_SINCE):
            raise _Refused(_NO_HOST)  # a proxy before us may have taken it for another host's
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()
        if self.scope["http_version"] != _CHUNKED_SINCE:
            _end_with_the_connection(self.cycle)

    def on_message_complete(self) -> None:
        """A request is complete; what follows is another's head."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        """Close without a word, as nginx does: whoever dribbles headers is no caller of ours."""
        self._head_timer = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()
        else:  # an answer is still on its way to this caller
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_too_slow)

    def _refuse(self, ruling: Deny) -> None:
        """Answer what never became a whole request, and close. An answer under way is cut off instead of mixed up."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        broken_off = cycle is not None and cycle.more_body and not cycle.response_started and not self.pipeline
        if cycle is not None and broken_off:  # its body cannot be read on, so the application has nobody to answer
            cycle.disconnected = True
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or broken_off:
            request_id = new_id("req")
            rendered = render("problem", ruling, request_id)
            headers = [
                *rendered.headers,
                (b"x-request-id", request_id.encode("ascii")),
                (b"content-length", b"%d" % len(rendered.body)),
                (b"connection", b"close"),
            ]
            lines = b"".join(b"%s: %s\r\n" % header for header in headers)
            self.transport.write(STATUS_LINE[rendered.status] + lines + b"\r\n" + rendered.body)
        self.transport.close()


def with_head_timeout(seconds: float) -> type[GatewayProtocol]:
    """The protocol class for ``uvicorn.Config(http=...)``, with this much time for a request's head."""
    return type("GatewayProtocol", (GatewayProtocol,), {"head_timeout_s": seconds})


def _end_with_the_connection(cycle: RequestResponseCycle) -> None:
    """Send an answer of unknown length as it is, without chunks: HTTP/1.0 has none (RFC 9112 section 6.1).

    uvicorn would frame it in chunks whatever the caller's version. It closes the connection after it as it is.
    """
    send = cycle.send

    async def send_bare(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.body":
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.chunked_encoding = False
    cycle.send = send_bare  # type: ignore[method-assign]


def _without_upgrade(data: bytes) -> bytes:
    """Rename the ``Upgrade`` header of a head that is wholly in ``data``, so that the parser goes on to the body."""
    end = data.find(b"\r\n\r\n")
    place = data[: max(end, 0)].lower().find(b"\r\nupgrade:")
    return data if place < 0 else data[: place + 2] + b"x-ignored-" + data[place + 2 :]
