"""A caller's connection: uvicorn's HTTP/1.1 protocol, with bounds on how long and how large a request's head may be.

uvicorn waits for ever for the end of the headers and keeps whatever comes; a few thousand such connections, or one that
never stops sending, would take the gateway's descriptors or its memory (CWE-400).
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from greffier.core.errors import REFUSALS, Code

MAX_HEAD_BYTES = 65_536


class Connection(HttpToolsProtocol):
    """One connection. Its class says how long it may take to send the head of a request; see `with_head_timeout`."""

    head_timeout_s = 30.0

    _in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Give the first request's head its time."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what is not yet a request."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(
                431, b"Request Header Fields Too Large", f"The headers are larger than {MAX_HEAD_BYTES} bytes."
            )
        elif self._head_timer is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; from here on the gateway keeps the time."""
        self._head_is_over()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in our own words."""
        self._refuse(400, b"Bad Request", msg)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def _head_is_over(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr] # None at first
            self._await_head()  # an answer is still on its way to this caller
        else:
            self.transport.close()

    def _refuse(self, status: int, phrase: bytes, message: str) -> None:
        self._head_is_over()
        refusal = REFUSALS[Code.INVALID_REQUEST]
        error = {"message": message, "type": refusal.openai_type, "param": None, "code": str(Code.INVALID_REQUEST)}
        body = json.dumps({"error": error}).encode()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, phrase, len(body)) + body)
        self.transport.close()


def with_head_timeout(seconds: float) -> type[Connection]:
    """The protocol class uvicorn is to build connections of."""
    return type("Connection", (Connection,), {"head_timeout_s": seconds})
