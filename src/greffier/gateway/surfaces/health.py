"""What needs no credential: probes, metrics, the OpenAPI document. From memory; while draining and at capacity too."""

from http import HTTPStatus

import msgspec

from greffier.core.ids import new_id
from greffier.gateway.exchange import JSON, Send
from greffier.gateway.openapi import openapi_document
from greffier.gateway.ports import Health


async def answer_open(path: str, health: Health, send: Send) -> None:
    """Answer one of the open paths."""
    status = HTTPStatus.OK
    content_type = JSON
    if path == "/metrics":
        kind, body = await health.metrics()
        content_type = (b"content-type", kind.encode("ascii"))
    elif path == "/openapi.json":
        body = openapi_document()
    elif path == "/readyz":
        ready, facts = health.ready()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        body = msgspec.json.encode({"status": "ready" if ready else "not_ready", **facts})
    else:
        body = msgspec.json.encode({"status": "alive", **health.live()})
    request_id = new_id("req").encode("ascii")
    headers = [
        content_type,
        (b"x-request-id", request_id),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
