"""A sink for NATS JetStream (extra ``nats``)."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NotFoundError

from greffier.audit.sinks import Parcel, SinkUnavailable

_CONNECT_S = 5
_ACKNOWLEDGED_S = 10.0
_AT_A_TIME = 64


class NatsSink:
    """Publishes to a subject that a stream stores; each event is acknowledged by the stream.

    The event's id is its ``Nats-Msg-Id``: within the stream's window a repeated delivery is stored once.

    Args:
        servers: URLs of servers, ``tls://`` or on this machine ``nats://``.
        subject: Where to; a stream must cover it.
        token: Authentication token, or empty.
        tls: Client context; None only on this machine.
    """

    def __init__(self, servers: Sequence[str], subject: str, token: str, tls: ssl.SSLContext | None) -> None:
        self._servers = list(servers)
        self._subject = subject
        self._token = token
        self._tls = tls
        self._client: Client | None = None
        self._gone = asyncio.Event()

    async def probe(self) -> None:
        """See `Sink.probe`: a server answers and a stream covers the subject."""
        stream = await self._connected()
        try:
            await stream.find_stream_name_by_subject(self._subject)
        except NotFoundError as error:
            raise SinkUnavailable(f"no stream of NATS covers the subject {self._subject}") from error
        except (NatsError, OSError, TimeoutError) as error:
            raise SinkUnavailable(f"JetStream does not answer: {_words(error)}") from error

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`: stored by the stream."""
        stream = await self._connected()
        try:
            for start in range(0, len(parcels), _AT_A_TIME):
                waiting = [
                    await stream.publish_async(self._subject, parcel.data, headers=_headers(parcel))
                    for parcel in parcels[start : start + _AT_A_TIME]
                ]
                await self._acknowledged(waiting)
        except (NatsError, OSError, TimeoutError) as error:
            await self.close()
            raise SinkUnavailable(f"NATS does not store events: {_words(error)}") from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _acknowledged(self, waiting: "list[asyncio.Future[PubAck]]") -> None:
        """Wait for all acknowledgements, or for the end of the connection, which the library does not tell them."""
        acknowledged: asyncio.Future[Any] = asyncio.gather(*waiting)
        gone: asyncio.Future[Any] = asyncio.create_task(self._gone.wait())
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_S):
                await asyncio.wait([acknowledged, gone], return_when=asyncio.FIRST_COMPLETED)
            if not acknowledged.done():
                raise ConnectionClosedError
            acknowledged.result()
        finally:
            gone.cancel()
            acknowledged.cancel()
            await asyncio.gather(acknowledged, gone, return_exceptions=True)

    async def _connected(self) -> JetStreamContext:
        if self._client is None or not self._client.is_connected:
            await self.close()
            self._gone = gone = asyncio.Event()  # of this connection alone
            try:
                async with asyncio.timeout(_CONNECT_S):
                    self._client = await nats.connect(
                        servers=self._servers,
                        token=self._token or None,
                        tls=self._tls,
                        allow_reconnect=False,
                        connect_timeout=_CONNECT_S,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0.1,
                        error_cb=_seen_elsewhere,
                        closed_cb=_set(gone),
                        disconnected_cb=_set(gone),
                        name="greffier",
                    )
            except (NatsError, OSError, TimeoutError) as error:
                self._client = None
                raise SinkUnavailable(f"NATS is out of reach: {_words(error)}") from error
        return self._client.jetstream(timeout=_ACKNOWLEDGED_S)

    async def close(self) -> None:
        """See `Sink.close`."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await client.close()


def _set(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def called() -> None:
        event.set()

    return called


async def _seen_elsewhere(_error: Exception) -> None:
    """Each call raises its own error; the library would log it once more."""


def _headers(parcel: Parcel) -> dict[str, str]:
    return {"Nats-Msg-Id": parcel.id, "Greffier-Code": parcel.code, "Greffier-Seq": str(parcel.seq)}


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
