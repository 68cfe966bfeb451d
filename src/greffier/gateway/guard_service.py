"""The guardrail engine as an HTTP service of its own: ``POST /v1/measure`` and the open paths of a gateway."""

import hmac
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from greffier.core.errors import GreffierError
from greffier.gateway.exchange import JSON, Receive, Scope, Send
from greffier.guardrails.ports import DetectorError
from greffier.guardrails.screen import Guard
from greffier.guardrails.wire import PROTOCOL, MeasureRequest, MeasureResponse, ServiceProblem

log = logging.getLogger(__name__)

MEASURE = "/v1/measure"
_decode = msgspec.json.Decoder(MeasureRequest).decode
_encode = msgspec.json.Encoder().encode

OnMeasured = Callable[[str, int, float], None]
Facts = Callable[[], dict[str, Any]]
Rendered = Callable[[], tuple[str, bytes]]


class GuardServiceApp:
    """An ASGI callable over one guard at a time.

    Args:
        guard: The screens in force.
        revision: Digest of their bundle.
        token: What callers must present as a bearer token; empty lets in whoever reaches the socket.
        max_body_bytes: Largest request.
        max_waiting: Requests in flight from which on further ones are refused.
        facts: What ``/healthz`` tells besides.
        metrics: Content type and body of ``/metrics``.
        on_measured: Told of every call: its result, the number of passages, seconds.
    """

    def __init__(
        self,
        guard: Guard,
        revision: str,
        *,
        token: str = "",
        max_body_bytes: int,
        max_waiting: int,
        facts: Facts,
        metrics: Rendered,
        on_measured: OnMeasured,
    ) -> None:
        self._guard = guard
        self._revision = revision
        self._token = token.encode()
        self._max_body_bytes = max_body_bytes
        self._max_waiting = max_waiting
        self._facts = facts
        self._metrics = metrics
        self._on_measured = on_measured
        self._in_flight = 0
        self.draining = False

    def swap(self, guard: Guard, revision: str) -> None:
        """Measure with other screens from now on; calls in flight keep theirs."""
        self._guard, self._revision = guard, revision

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        place = (scope["method"], scope["path"])
        if place == ("POST", MEASURE):
            self._in_flight += 1
            try:
                await self._measure(scope, receive, send)
            finally:
                self._in_flight -= 1
        elif place == ("GET", "/healthz"):
            await _answer(send, HTTPStatus.OK, {"status": "alive", "protocol": PROTOCOL, **self._facts()})
        elif place == ("GET", "/readyz"):
            status = HTTPStatus.SERVICE_UNAVAILABLE if self.draining else HTTPStatus.OK
            await _answer(send, status, {"status": "draining" if self.draining else "ready"})
        elif place == ("GET", "/metrics"):
            kind, body = self._metrics()
            await _send(send, HTTPStatus.OK, (b"content-type", kind.encode()), body)
        else:
            await _answer(send, HTTPStatus.NOT_FOUND, ServiceProblem("bad_request", "there is nothing at this path"))

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        guard, revision = self._guard, self._revision
        status, count = HTTPStatus.OK, 0
        answer: MeasureResponse | ServiceProblem | None = None
        body = await self._body(receive)
        problem = self._unwanted(scope, body)
        if problem is None and body is not None:
            try:
                request = _decode(body)
                count = len(request.passages)
                if request.v != PROTOCOL:
                    message = f"this service speaks protocol {PROTOCOL}, the gateway {request.v}"
                    problem = HTTPStatus.CONFLICT, ServiceProblem("protocol", message)
                elif request.screen not in guard.screens:
                    message = f"there is no screen '{request.screen[:63]}' here"
                    problem = HTTPStatus.NOT_FOUND, ServiceProblem("unknown_screen", message)
                else:
                    measured = await guard.measure(request.screen, request.passages, scores=request.scores)
                    answer = MeasureResponse(PROTOCOL, revision, measured)
            except msgspec.DecodeError as error:
                problem = HTTPStatus.BAD_REQUEST, ServiceProblem("bad_request", str(error)[:200])
            except (DetectorError, GreffierError) as error:
                log.error("nothing was measured: %s", error)  # noqa: TRY400 - the message says it all
                problem = HTTPStatus.SERVICE_UNAVAILABLE, ServiceProblem("not_measured", "a detector failed")
        if problem is not None:
            status, answer = problem
        self._on_measured("ok" if problem is None else problem[1].error, count, time.perf_counter() - began)
        await _answer(send, status, answer)

    async def _body(self, receive: Receive) -> bytes | None:
        """The body; None if it is too large."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body_bytes:
                return None
            parts.append(part)
            if message["type"] != "http.request" or not message.get("more_body", False):
                return b"".join(parts)

    def _unwanted(self, scope: Scope, body: bytes | None) -> tuple[HTTPStatus, ServiceProblem] | None:
        offered = dict(scope["headers"]).get(b"authorization", b"")
        if self._token and not hmac.compare_digest(offered, b"Bearer " + self._token):
            return HTTPStatus.UNAUTHORIZED, ServiceProblem("unauthorized", "the token is not the one expected here")
        if body is None:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ServiceProblem("bad_request", "the request is too large")
        if self.draining or self._in_flight > self._max_waiting:
            return HTTPStatus.SERVICE_UNAVAILABLE, ServiceProblem("overloaded", "too many requests, or stopping")
        return None


async def _answer(send: Send, status: HTTPStatus, answer: Any) -> None:
    await _send(send, status, JSON, _encode(answer))


async def _send(send: Send, status: HTTPStatus, content_type: tuple[bytes, bytes], body: bytes) -> None:
    headers = [content_type, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
