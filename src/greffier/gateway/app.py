"""The gateway as one ASGI callable: a table of routes, no framework, no middleware."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

from greffier.core.clock import Clock, SystemClock
from greffier.core.context import Surface
from greffier.core.errors import Code
from greffier.core.ids import new_id
from greffier.core.rulings import Deny, Refused
from greffier.gateway.arrivals import index_headers
from greffier.gateway.errors import Dialect
from greffier.gateway.exchange import Bounds, Exchange, Receive, Scope, Send
from greffier.gateway.ports import Health, Pipelines
from greffier.gateway.routes import MODEL_PREFIX, OPEN_PATHS, REVIEW_PREFIX, ROUTES, Route, meant
from greffier.gateway.surfaces.health import answer_open
from greffier.gateway.surfaces.models import get_model, speaks_anthropic
from greffier.gateway.surfaces.reviews import review_status
from greffier.gateway.turns import Turns

log = logging.getLogger("greffier.gateway")

_RULE = "gateway.route"
_ANTHROPIC = "/v1/messages"
_KEPT_ELSEWHERE = ("/v1/responses/", "/v1/chat/completions/", "/v1/conversations")
_RETRY_AFTER_S = 1.0
_OUT_OF_TIME = Deny(
    Code.DRAINING,
    "gateway.drain",
    "The worker had to stop before the answer was complete",
    retry_after_s=_RETRY_AFTER_S,
)

OnFault = Callable[[str, BaseException], None]
OnAnswer = Callable[[str, int, float], None]


def log_fault(request_id: str, error: BaseException) -> None:
    """Log where an unexpected exception came from. Its message stays out: it may quote content."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed with %s\n%s", request_id, type(error).__name__, frames)


class GatewayApp:
    """Every HTTP request enters here. Answers it in the dialect of its path, whatever happens.

    Args:
        pipelines: The request path of the snapshot in force.
        health: What probes are told.
        bounds: What callers may send, and how long they may take.
        clock: Time.
        on_fault: Told of every unexpected exception, with the request id; by default it is logged without its message.
        on_answer: Told of every answer: path of the route (or ``unmatched``), status (499 for a caller who left),
            seconds.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        health: Health,
        *,
        bounds: Bounds | None = None,
        clock: Clock | None = None,
        on_fault: OnFault = log_fault,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._pipelines = pipelines
        self._health = health
        self._bounds = bounds or Bounds()
        self._clock = clock or SystemClock()
        self._on_fault = on_fault
        self._on_answer = on_answer
        self._draining = False
        self._exchanges: set[Exchange] = set()
        self._turns = Turns()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Requests being answered."""
        return len(self._exchanges)

    def swap(self, pipelines: Pipelines) -> None:
        """Serve new requests under another snapshot; those in flight keep theirs."""
        self._pipelines = pipelines

    def drain(self) -> None:
        """Refuse new requests with ``DRAINING`` and close connections after their answer; health paths still answer."""
        self._draining = True

    def give_up(self) -> None:
        """End what is in flight: the time to drain is over. Callers are told, streams with a last frame."""
        for exchange in tuple(self._exchanges):
            exchange.give_up(_OUT_OF_TIME)

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no request is in flight; say whether that came true in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:  # a WebSocket: refused before it opens
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        method: str = scope["method"]
        if method == "HEAD":  # RFC 9110 section 9.3.2: as GET; the server leaves the body out
            method = "GET"
        if path in OPEN_PATHS and method == "GET":
            await answer_open(path, self._health, send)
            return
        started = self._clock.monotonic()
        route = ROUTES.get(path)
        headers = index_headers(scope["headers"])
        clear: dict[bytes, bytes] = headers if isinstance(headers, dict) else {}
        client = scope.get("client")
        exchange = Exchange(
            receive,
            send,
            request_id=new_id("req"),
            headers=clear,
            dialect=_dialect(path, route, clear),
            surface=route.surface if route is not None else _surface(path),
            peer=client[0] if client else "",
            received_ms=self._clock.wall_ms(),
            started=started,
            bounds=self._bounds,
            closing=self._draining,
            known=self._pipelines.known,
        )
        self._exchanges.add(exchange)
        self._idle.clear()
        try:
            problem = headers if isinstance(headers, Deny) else self._not_now()
            if problem is None:
                await self._turns.begin()
                await self._guarded(exchange, self._serve(exchange, method, path, route))
            else:
                await exchange.refuse(problem)
        finally:
            exchange.close()
            self._exchanges.discard(exchange)
            if not self._exchanges:
                self._idle.set()
            if self._on_answer is not None:
                name = path if route is not None else "unmatched"
                self._on_answer(name, exchange.status or 499, self._clock.monotonic() - started)

    def _not_now(self) -> Deny | None:
        if self._draining:
            return Deny(Code.DRAINING, "gateway.drain", "The worker is shutting down", retry_after_s=_RETRY_AFTER_S)
        if len(self._exchanges) > self._bounds.max_concurrent_requests:
            return Deny(
                Code.OVERLOADED, "gateway.capacity", "Too many requests are in flight", retry_after_s=_RETRY_AFTER_S
            )
        return None

    def _serve(self, exchange: Exchange, method: str, path: str, route: Route | None) -> Awaitable[None]:
        if route is not None:
            if method == route.method:
                return route.handler(exchange, self._pipelines)
            return _wrong_method(exchange, route.method)
        for prefix, answer in _NAMED:
            if path.startswith(prefix) and len(path) > len(prefix):
                if method == "GET":
                    return answer(exchange, self._pipelines, path[len(prefix) :])
                return _wrong_method(exchange, "GET")
        if path in OPEN_PATHS:
            return _wrong_method(exchange, "GET")
        return exchange.refuse(_nothing_there(path))

    async def _guarded(self, exchange: Exchange, serving: Awaitable[None]) -> None:
        """Turn whatever ends a handler early into an answer in the caller's dialect."""
        try:
            await serving
        except Refused as refused:
            if exchange.interruption is None:  # else nobody is listening
                await exchange.refuse(refused.ruling, refused.headers)
        except asyncio.CancelledError:
            why = exchange.interruption
            if why is None:
                raise  # the server itself is stopping
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            if why.code is not Code.CANCELLED:  # else nobody is listening
                await _break_off(exchange, why)
        except Exception as error:  # noqa: BLE001 - the last line: reported, and answered as INTERNAL_ERROR
            self._on_fault(exchange.request_id, error)
            await _break_off(exchange, Deny(Code.INTERNAL_ERROR, "gateway.fault", "The gateway failed"))


async def _break_off(exchange: Exchange, why: Deny) -> None:
    """Tell the caller why there is no answer, or why a stream ends in its middle."""
    if not exchange.status:
        await exchange.refuse(why)
    elif exchange.writer is not None:
        await exchange.write(exchange.writer.fail(why), last=True)


_NAMED = ((MODEL_PREFIX, get_model), (REVIEW_PREFIX, review_status))
"""Paths that end in the name of a thing."""


def _surface(path: str) -> Surface:
    return "reviews" if path.startswith(REVIEW_PREFIX) else "models"


def _wrong_method(exchange: Exchange, allowed: str) -> Awaitable[None]:
    ruling = Deny(Code.METHOD_NOT_ALLOWED, _RULE, f"This path answers {allowed} only")
    return exchange.refuse(ruling, (("allow", "GET, HEAD" if allowed == "GET" else allowed),))


def _nothing_there(path: str) -> Deny:
    wanted = meant(path)
    remedy = ""
    if wanted is not None:
        base = (
            "the gateway's address without a path" if wanted.startswith(_ANTHROPIC) else "the address followed by /v1"
        )
        remedy = f"The path is {wanted}: set the SDK's base URL to {base}."
    elif path.startswith(_KEPT_ELSEWHERE):
        remedy = "The gateway keeps no answers to fetch, continue or delete: send the whole conversation each time."
    return Deny(Code.ROUTE_NOT_FOUND, _RULE, "There is nothing at this path", remedy)


def _dialect(path: str, route: Route | None, headers: dict[bytes, bytes]) -> Dialect:
    if route is None and (wanted := meant(path)) is not None:
        route = ROUTES[wanted]
    if route is not None and route.dialect is not None:
        return route.dialect
    if path.startswith(_ANTHROPIC):
        return "anthropic"
    if route is not None or path.startswith("/v1/"):
        return "anthropic" if speaks_anthropic(headers) else "openai"
    return "problem"


async def _lifespan(receive: Receive, send: Send) -> None:
    """Whoever composed the app starts and stops its parts; the server only wants to be answered."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
