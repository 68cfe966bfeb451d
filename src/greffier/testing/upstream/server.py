"""The scripted upstream's HTTP/1.1 server: an asyncio protocol on httptools, quick enough for benchmarks."""

import asyncio
import contextlib
import ssl
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httptools
import msgspec

from greffier.testing.upstream.answers import Answer, bad_script, prepare, send
from greffier.testing.upstream.script import Script, last_user_text, read_script


class Captured(msgspec.Struct):
    """A request as it arrived.

    Attributes:
        method: HTTP method.
        path: Path and query, as sent.
        headers: Names in lower case.
        body: Raw bytes.
        json: The parsed body, or None.
        aborted: The client closed the connection before the answer was complete.
        answered: The whole answer was written.
        peer_cert: Whether the client showed a TLS certificate.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: Any = None
    aborted: bool = False
    answered: bool = False
    peer_cert: bool = False


class ScriptedUpstream:
    """A model server on 127.0.0.1; use it as an async context manager.

    Args:
        port: TCP port; 0 takes a free one.
        api_key: When given, requests without it (bearer, ``x-api-key`` or ``api-key``) get 401.
        tls: Server-side TLS context; ``base_url`` is then ``https``.
        capture: Keep requests in ``requests``; switch off for long runs.
    """

    def __init__(
        self, port: int = 0, *, api_key: str = "", tls: ssl.SSLContext | None = None, capture: bool = True
    ) -> None:
        self._port = port
        self._api_key = api_key
        self._tls = tls
        self._capture = capture
        self._queue: deque[Script] = deque()
        self._server: asyncio.Server | None = None
        self._repeats: Counter[str] = Counter()
        self.connections: set[_Connection] = set()
        self.connections_made = 0
        self.requests: list[Captured] = []

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT/v1``, as an OpenAI SDK wants it."""
        return self.origin + "/v1"

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``, as an Anthropic SDK wants it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def queue(self, *scripts: Script) -> None:
        """Order the next answers; they come before markers in messages."""
        self._queue.extend(scripts)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: It did not in time.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the condition is arbitrary, and this is a test helper
                await asyncio.sleep(0.005)

    async def start(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, ssl=self._tls, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.drop()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def take(self, request: Captured) -> Answer:
        """Record a request and decide what to answer."""
        if self._capture:
            self.requests.append(request)
        if self._api_key and self._api_key not in _offered_keys(request.headers):
            return prepare(Script(status=401), request.path, request.json, "")
        user = last_user_text(request.json)
        try:
            script = self._queue.popleft() if self._queue else read_script(user)
        except (ValueError, msgspec.ValidationError) as error:
            return bad_script(str(error))
        if script.statuses:
            steps = [int(step) for step in script.statuses.split(",")]
            script = msgspec.structs.replace(script, status=steps[min(self._repeats[user], len(steps) - 1)])
            self._repeats[user] += 1
        return prepare(script, request.path, request.json, user)


def _offered_keys(headers: dict[str, str]) -> set[str]:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return {bearer, headers.get("x-api-key", ""), headers.get("api-key", "")}


class _Connection(asyncio.Protocol):
    """One client connection; answers requests one after the other."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Captured] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._current: Captured | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # TCP and TLS transports are both readable and writable
        self._upstream.connections.add(self)
        self._upstream.connections_made += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._upstream.connections.discard(self)
        self._writable.set()
        if self._current is not None and not self._current.answered:
            self._current.aborted = True
        if self._task is not None:
            self._task.cancel()

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.drop()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        method = self._parser.get_method().decode()
        request = Captured(method, self._url.decode("latin-1"), self._headers, body)
        with contextlib.suppress(msgspec.DecodeError):
            request.json = msgspec.json.decode(body) if body else None
        if self._transport is not None:
            request.peer_cert = bool(self._transport.get_extra_info("peercert"))
        self._reset()
        self._waiting.append(request)
        if self._task is None:
            self._next()

    def _next(self) -> None:
        while self._waiting and self._transport is not None and not self._transport.is_closing():
            request = self._current = self._waiting.popleft()
            answer = self._upstream.take(request)
            if answer.at_once is None:
                self._task = asyncio.create_task(self._answer(request, answer))
                return
            request.answered = True
            self._transport.write(answer.at_once)
            if answer.close:
                self._transport.close()

    async def _answer(self, request: Captured, answer: Answer) -> None:
        transport = self._transport
        if transport is None:
            return
        if await send(answer, transport, self._writable):
            request.answered = True
        self._task = None
        if answer.close:
            transport.close()
        else:
            self._next()
