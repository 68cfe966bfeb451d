"""A sink for Kafka (extra ``kafka``)."""

import asyncio
import logging
import ssl
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from greffier.audit.sinks import Parcel, SinkUnavailable

_CONNECT_S = 10.0
_TOPIC_S = 10.0
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it reports each retry; the shipper says what matters, once


class KafkaSink:
    """Produces with ``acks=all`` and idempotence; the tenant is the key, so that its events keep their order.

    Args:
        servers: ``host:port`` of some brokers.
        topic: Where to; it must exist unless the cluster creates topics.
        tls: Client context; None only on this machine.
        timeout_s: For one delivery.
    """

    def __init__(
        self, servers: Sequence[str], topic: str, tls: ssl.SSLContext | None, *, timeout_s: float = 30.0
    ) -> None:
        self._servers = list(servers)
        self._topic = topic
        self._tls = tls
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def probe(self) -> None:
        """See `Sink.probe`: a broker answers and knows the topic."""
        producer = await self._started()
        try:
            async with asyncio.timeout(_TOPIC_S):
                await producer.partitions_for(self._topic)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._abandon([])
            raise SinkUnavailable(f"Kafka does not serve the topic {self._topic}: {_words(error)}") from error

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`: acknowledged by all replicas in sync."""
        producer = await self._started()
        sent: list[asyncio.Future[object]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                for parcel in parcels:
                    sent.append(await self._produce(producer, parcel))  # noqa: PERF401 - each may wait for room
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._abandon(sent)
            raise SinkUnavailable(f"Kafka does not take events: {_words(error)}") from error
        except asyncio.CancelledError:
            await self._abandon(sent)
            raise

    async def _produce(self, producer: AIOKafkaProducer, parcel: Parcel) -> "asyncio.Future[object]":
        headers = [("event_id", parcel.id.encode()), ("event_code", parcel.code.encode())]
        delivered: asyncio.Future[object] = await producer.send(
            self._topic,
            parcel.data,
            key=parcel.key.encode() or None,
            timestamp_ms=parcel.time_ms,
            headers=headers,
        )
        return delivered

    async def _abandon(self, sent: "list[asyncio.Future[object]]") -> None:
        """Give up what is buffered, which must not be delivered behind the shipper's back.

        An idempotent producer tries for ever, and its `stop` waits for that; there is no public way to give up.
        """
        producer = self._producer
        if producer is not None:
            producer._message_accumulator.fail_all(KafkaError("given up"))  # noqa: SLF001 - see above
            if (task := producer._sender.sender_task) is not None:  # noqa: SLF001 - see above
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.close()
        await asyncio.gather(*sent, return_exceptions=True)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            security_protocol="PLAINTEXT" if self._tls is None else "SSL",
            ssl_context=self._tls,
            request_timeout_ms=int(_CONNECT_S * 1000),
            retry_backoff_ms=100,
            linger_ms=5,
            client_id="greffier",
        )
        try:
            async with asyncio.timeout(_CONNECT_S):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await producer.stop()
            raise SinkUnavailable(f"Kafka at {', '.join(self._servers)} is out of reach: {_words(error)}") from error
        self._producer = producer
        return producer

    async def close(self) -> None:
        """See `Sink.close`."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(2):
                await producer.stop()
        except (KafkaError, TimeoutError, OSError):
            logging.getLogger(__name__).warning("the connection to Kafka did not close in order")


def _words(error: BaseException) -> str:
    return type(error).__name__
