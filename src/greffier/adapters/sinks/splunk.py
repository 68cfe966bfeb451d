"""A sink for Splunk's HTTP Event Collector, and for whatever else takes its shape."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from greffier.adapters.http import HttpClient
from greffier.adapters.sinks.web import Post, shown
from greffier.audit.sinks import Parcel, SinkRejected, SinkUnavailable

_OK = 200
_BAD_REQUEST = 400
_SUCCESS = 0
_POISON = frozenset({5, 6, 12, 13})  # no data, invalid data format, event field missing or blank
_INDEXED_WITHIN_S = 20.0
_ASK_EVERY_S = 0.1
_MS = 1000


class SplunkSink:
    """Posts batches to ``/services/collector/event``.

    Where the collector hands out acknowledgement ids, a batch is delivered once it says that it was indexed
    (``/services/collector/ack``); otherwise once it answers with code 0.

    Args:
        client: For the collector's origin; closed with the sink.
        token: HEC token.
        format_: Names the source type: ``greffier:ocsf``.
        is_json: Whether parcels hold JSON; text is sent as a string.
    """

    def __init__(self, client: HttpClient, token: str, format_: str, *, is_json: bool) -> None:
        headers = (
            ("authorization", f"Splunk {token}"),
            ("content-type", "application/json"),
            ("x-splunk-request-channel", str(uuid.uuid4())),
        )
        self._client = client
        self._events = Post(client, "POST", "/services/collector/event", headers)
        self._acks = Post(client, "POST", "/services/collector/ack", headers)
        self._health = Post(client, "GET", "/services/collector/health", headers)
        self._source_type = f"greffier:{format_}"
        self._is_json = is_json
        self._host = socket.gethostname()

    async def probe(self) -> None:
        """See `Sink.probe`."""
        answer = await self._health(b"")
        if answer.status != _OK:
            raise SinkUnavailable(f"the collector's health is {answer.status}: {shown(answer.body.decode('latin-1'))}")

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`."""
        answer = await self._events(b"\n".join(self._event(parcel) for parcel in parcels))
        told = answer.json()
        code = told.get("code")
        if answer.status == _OK and code == _SUCCESS:
            if told.get("ackId") is not None:
                await self._indexed(told["ackId"])
            return
        number = told.get("invalid-event-number")
        if answer.status == _BAD_REQUEST and code in _POISON and isinstance(number, int) and number < len(parcels):
            await self._around(parcels, number, f"code {code}: {shown(told.get('text', ''))}")
            return
        raise SinkUnavailable(f"the collector answered {answer.status}, code {code}: {shown(told.get('text', ''))}")

    async def _around(self, parcels: Sequence[Parcel], number: int, reason: str) -> None:
        """Deliver the rest of a batch that holds an event the collector never takes (it took those before it)."""
        reasons = {parcels[number].id: reason}
        if rest := parcels[number + 1 :]:
            try:
                await self.send(rest)
            except SinkRejected as error:
                reasons |= error.reasons
        raise SinkRejected(reasons)

    def _event(self, parcel: Parcel) -> bytes:
        event: Any = msgspec.Raw(parcel.data) if self._is_json else parcel.data.decode()
        return msgspec.json.encode(
            {
                "time": parcel.time_ms / _MS,
                "host": self._host,
                "source": "greffier",
                "sourcetype": self._source_type,
                "fields": {"event_code": parcel.code, "seq": parcel.seq, "event_id": parcel.id},
                "event": event,
            }
        )

    async def _indexed(self, identifier: int) -> None:
        question = msgspec.json.encode({"acks": [identifier]})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_INDEXED_WITHIN_S):
                while True:
                    told = (await self._acks(question)).json()
                    if told.get("acks", {}).get(str(identifier)) is True:
                        return
                    await asyncio.sleep(_ASK_EVERY_S)
        raise SinkUnavailable("the collector took the events and did not index them in time")

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._client.close()
