"""A streamed answer, read event by event."""

from typing import Self

from greffier.adapters.http import HttpClient, HttpError, StreamedExchange
from greffier.adapters.providers.errors import from_fault, from_status, malformed
from greffier.core.errors import Code
from greffier.llm.ports import ProviderError
from greffier.llm.sse import SseError, SseEvent, SseParser

_OK = 200


class EventReader:
    """Reads server-sent events in batches, as they come off the wire.

    Not an async generator: closing a generator that awaits another one leaves the inner one, and its connection, to
    the garbage collector.
    """

    __slots__ = ("_exchange", "_parser")

    def __init__(self, exchange: StreamedExchange) -> None:
        self._exchange = exchange
        self._parser = SseParser()

    @classmethod
    async def open(cls, client: HttpClient, head: bytes, body: bytes) -> Self:
        """Send a request and check that its answer is an event stream.

        Raises:
            ProviderError: The connection failed, an error status, or another content type.
        """
        try:
            exchange = await client.open(head, body)
        except HttpError as error:
            raise from_fault(error) from None
        try:
            complaint = await _complaint(exchange)
        except BaseException:
            exchange.close()
            raise
        if complaint is not None:
            exchange.close()
            raise complaint
        return cls(exchange)

    async def read(self) -> list[SseEvent] | None:
        """The next events, possibly none; None at the end of the stream.

        Raises:
            ProviderError: The connection failed, or an event is too large.
        """
        try:
            data = await self._exchange.read()
            if not data:
                return None
            events = self._parser.feed(data)
        except HttpError as error:
            raise from_fault(error) from None
        except SseError:
            raise ProviderError(
                Code.UPSTREAM_TOO_LARGE, "The model's server sent a larger event than we accept.", retryable=False
            ) from None
        if events:
            self._exchange.begun()
        return events

    def finish(self) -> None:
        """The last event that matters was read: keep the connection if the rest of the answer is empty."""
        self._exchange.drain()

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, or close it."""
        self._exchange.close()


async def _complaint(exchange: StreamedExchange) -> ProviderError | None:
    if exchange.status != _OK:
        try:
            body = await exchange.rest()
        except HttpError as error:
            return from_fault(error)
        return from_status(exchange.status, exchange.headers, body)
    if "text/event-stream" not in exchange.headers.get(b"content-type", "").lower():
        return malformed("something else than an event stream")
    return None
