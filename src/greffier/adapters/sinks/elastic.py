"""A sink for Elasticsearch's bulk API, and for OpenSearch, which has the same."""

from collections.abc import Sequence
from typing import Any

import msgspec

from greffier.adapters.http import HttpClient
from greffier.adapters.sinks.web import Post, shown
from greffier.audit.sinks import Parcel, SinkRejected, SinkUnavailable

_OK = 200
_CREATED = (200, 201)
_CONFLICT = 409
_BUSY = 429
_SERVER_ERRORS = 500


class ElasticSink:
    """Creates documents under the events' own ids: one that is delivered twice is there once.

    The bulk API answers 200 while single items fail. 409 means that the event is there already; 429 and 5xx that the
    batch must be sent again; any other error, such as a mapping that does not fit, that it never will be taken.

    Args:
        client: For the cluster's origin; closed with the sink.
        index: Index or data stream.
        secret: API key, or empty.
    """

    def __init__(self, client: HttpClient, index: str, secret: str) -> None:
        headers = [("content-type", "application/x-ndjson")]
        if secret:
            headers.append(("authorization", f"ApiKey {secret}"))
        self._client = client
        self._bulk = Post(client, "POST", "/_bulk", headers)
        self._root = Post(client, "GET", "/", headers)
        self._index = index

    async def probe(self) -> None:
        """See `Sink.probe`."""
        answer = await self._root(b"")
        if answer.status != _OK:
            raise SinkUnavailable(f"the cluster answered {answer.status}")

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`."""
        lines = []
        for parcel in parcels:
            lines += [msgspec.json.encode({"create": {"_index": self._index, "_id": parcel.id}}), parcel.data]
        answer = await self._bulk(b"\n".join(lines) + b"\n")
        told = answer.json()
        if answer.status != _OK:
            raise SinkUnavailable(f"the cluster answered {answer.status}: {shown(told.get('error', ''))}")
        items = told.get("items", [])
        if len(items) != len(parcels):
            raise SinkUnavailable(f"the cluster answered for {len(items)} of {len(parcels)} events")
        results = [_result(item) for item in items]
        for status, reason in results:
            if status == _BUSY or status >= _SERVER_ERRORS or not status:
                raise SinkUnavailable(f"the cluster cannot take events now ({status}): {reason}")
        refused = {
            parcel.id: f"{status}: {reason}"
            for parcel, (status, reason) in zip(parcels, results, strict=True)
            if status not in _CREATED and status != _CONFLICT
        }
        if refused:
            raise SinkRejected(refused)

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._client.close()


def _result(item: Any) -> tuple[int, str]:
    made = item.get("create", {}) if isinstance(item, dict) else {}
    error = made.get("error", "")
    reason = f"{error.get('type', '')}: {error.get('reason', '')}" if isinstance(error, dict) else error
    return int(made.get("status", 0)), shown(reason)
