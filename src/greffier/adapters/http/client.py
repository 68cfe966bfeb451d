"""A pooled client for one origin."""

import asyncio
import ssl
from collections.abc import Iterable

from greffier.adapters.http.connection import Connection, Tunnel
from greffier.adapters.http.exchange import Exchange
from greffier.adapters.http.faults import Fault, HttpError
from greffier.adapters.http.origin import Origin, Proxy, resolve
from greffier.core.deployment import Timeouts

_IDLE_S = 30.0
_DRAIN_S = 1.0
_TUNNEL_OK = 200


class BadHeader(ValueError):  # noqa: N818 - named for the condition
    """A secret or path holds what cannot stand in a request. The message does not repeat it."""


class HttpClient:
    """Speaks HTTP/1.1 to one origin, directly or through a forward proxy. Bound to the loop that first uses it.

    It cannot be talked into another host: the origin is fixed, redirects are answers like any other, there are no
    cookies, and the environment's proxy variables are not read.

    Args:
        origin: Where to connect.
        tls: Client context; required for ``https``.
        proxy: Forward proxy, if the way out leads through one.
        socket_path: Unix socket to connect to instead of the origin's host; the origin then only names the server.
        timeouts: For connecting, for the first byte and for the whole exchange.
        max_connections: Most connections at a time; further requests wait at most ``connect_s`` for one.
        max_answer_bytes: Most bytes of a body.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        socket_path: str | None = None,
        timeouts: Timeouts,
        max_connections: int = 256,
        max_answer_bytes: int = 16_777_216,
    ) -> None:
        self._origin = origin
        self._tls = tls if origin.scheme == "https" else None
        self._proxy = proxy
        self._socket_path = socket_path
        self._timeouts = timeouts
        self._max_answer_bytes = max_answer_bytes
        self._slots = asyncio.Semaphore(max_connections)
        self._idle: list[Connection] = []
        self._closed = False

    @property
    def origin(self) -> Origin:
        """Where it connects."""
        return self._origin

    def head(self, method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """Prepare everything of a request but its body, once; `request` and `open` add length and body.

        Args:
            method: HTTP method.
            path: Path below the origin's prefix, with its query.
            headers: Besides ``host`` and ``content-length``.

        Raises:
            BadHeader: A control character in a header would split the request.
        """
        target = self._origin.prefix + path
        lines = [("host", self._origin.authority), ("accept-encoding", "identity"), *headers]
        if self._proxy is not None and self._tls is None:
            target = f"http://{self._origin.authority}{target}"
            if self._proxy.authorization:
                lines.append(("proxy-authorization", self._proxy.authorization))
        text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
        if text.count("\r") != len(lines) + 1 or text.count("\n") != len(lines) + 1 or not text.isascii():
            raise BadHeader("a header or path holds line breaks or letters outside ASCII")
        return text.encode() + b"content-length: "

    async def reach(self) -> None:
        """Connect as a request would (name, proxy, TLS), and hang up.

        Raises:
            HttpError: There is no way there.
        """
        connection = await self._connect()
        connection.drop()

    async def request(self, head: bytes, body: bytes) -> Exchange:
        """Send a request and wait for the whole answer.

        Raises:
            HttpError: The exchange failed.
        """
        connection, exchange = await self._exchange(head, body, streaming=False)
        self._finish(connection)
        return exchange

    async def open(self, head: bytes, body: bytes) -> "StreamedExchange":
        """Send a request and wait for the headers of its answer. The caller closes what it gets.

        Raises:
            HttpError: The exchange failed.
        """
        connection, exchange = await self._exchange(head, body, streaming=True)
        return StreamedExchange(self, connection, exchange)

    async def _exchange(self, head: bytes, body: bytes, *, streaming: bool) -> tuple[Connection, Exchange]:
        message = b"%s%d\r\n\r\n%s" % (head, len(body), body)
        while True:
            connection = await self._acquire()
            exchange = Exchange(
                streaming=streaming,
                max_bytes=self._max_answer_bytes,
                first_byte_s=self._timeouts.first_token_s,
                total_s=self._timeouts.total_s,
                on_fail=connection.drop,
                pause=connection.pause,
                resume=connection.resume,
            )
            try:
                connection.send(message, exchange)
                await exchange.answered()
            except HttpError as error:
                stale = error.fault is Fault.CLOSED_UNANSWERED and connection.used
                self._discard(connection, exchange)
                if not stale:
                    raise
                # The server closed a kept connection while we wrote. It never answered, and asking a model twice has
                # no effect but the answer, so ask again; idle connections run out, then a new one tells the truth.
            except BaseException:
                self._discard(connection, exchange)
                raise
            else:
                return connection, exchange

    async def _acquire(self) -> Connection:
        if self._slots.locked():
            try:
                async with asyncio.timeout(self._timeouts.connect_s):
                    await self._slots.acquire()
            except TimeoutError:
                raise HttpError(Fault.POOL_TIMEOUT, "all connections to the deployment are busy") from None
        else:
            await self._slots.acquire()  # does not suspend
        connection = self._take_idle()
        if connection is None:
            try:
                connection = await self._connect()
            except BaseException:
                self._slots.release()
                raise
        return connection

    def _take_idle(self) -> Connection | None:
        if not self._idle:
            return None
        oldest_allowed = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since >= oldest_allowed:
                return connection
            connection.drop()
        return None

    def _finish(self, connection: Connection) -> None:
        self._slots.release()
        connection.release()
        if connection.reusable and not self._closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.drop()

    def _discard(self, connection: Connection, exchange: Exchange) -> None:
        exchange.abandon()
        self._slots.release()
        connection.release()
        connection.drop()

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                if self._socket_path is not None:
                    return await self._dial_socket(self._socket_path)
                if self._proxy is not None:
                    return await self._connect_through(self._proxy)
                return await self._dial(self._origin.host, self._origin.port, self._tls)
        except TimeoutError:
            raise HttpError(Fault.CONNECT_TIMEOUT) from None

    async def _dial(self, host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        reason = "no address"
        for address in await resolve(host, port):
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self._lost),
                    address,
                    port,
                    ssl=tls,
                    server_hostname=host if tls is not None else None,
                )
            except ssl.SSLError as error:
                raise HttpError(Fault.TLS_FAILED, _tls_reason(error)) from None
            except TimeoutError:
                raise
            except OSError as error:
                reason = error.strerror or type(error).__name__
            else:
                return connection
        raise HttpError(Fault.CONNECT_FAILED, reason)

    async def _dial_socket(self, path: str) -> Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: Connection(self._lost), path
            )
        except TimeoutError:
            raise
        except OSError as error:
            raise HttpError(Fault.CONNECT_FAILED, error.strerror or type(error).__name__) from None
        return connection

    async def _connect_through(self, proxy: Proxy) -> Connection:
        if self._tls is None:
            return await self._dial(proxy.host, proxy.port, None)
        transport, tunnel = await _dial_tunnel(proxy)
        try:
            return await self._secure(transport, tunnel, proxy, self._tls)
        except ssl.SSLError as error:
            transport.abort()
            raise HttpError(Fault.TLS_FAILED, _tls_reason(error)) from None
        except TimeoutError:
            transport.abort()
            raise
        except OSError:
            transport.abort()
            raise HttpError(Fault.PROXY_FAILED, "the tunnel broke") from None
        except BaseException:
            transport.abort()
            raise

    async def _secure(
        self, transport: asyncio.Transport, tunnel: Tunnel, proxy: Proxy, tls: ssl.SSLContext
    ) -> Connection:
        host = self._origin.host
        target = f"{f'[{host}]' if ':' in host else host}:{self._origin.port}"
        lines = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n"
        if proxy.authorization:
            lines += f"proxy-authorization: {proxy.authorization}\r\n"
        transport.write(lines.encode() + b"\r\n")
        status = await tunnel.answer
        if status != _TUNNEL_OK:
            raise HttpError(Fault.PROXY_FAILED, f"the proxy answered {status or 'nothing usable'}")
        connection = Connection(self._lost)
        secured = await asyncio.get_running_loop().start_tls(transport, connection, tls, server_hostname=host)
        if secured is None:
            raise HttpError(Fault.PROXY_FAILED, "the tunnel was closed")
        connection.connection_made(secured)
        return connection

    async def close(self) -> None:
        """Close idle connections now, and busy ones as soon as their exchange is over.

        A configuration may be replaced while requests of the old one are under way; they are not broken off.
        """
        self._closed = True
        for connection in list(self._idle):
            connection.drop()
        self._idle.clear()


async def _dial_tunnel(proxy: Proxy) -> tuple[asyncio.Transport, Tunnel]:
    loop = asyncio.get_running_loop()
    reason = "no address"
    for address in await resolve(proxy.host, proxy.port):
        try:
            return await loop.create_connection(Tunnel, address, proxy.port)
        except TimeoutError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
    raise HttpError(Fault.PROXY_FAILED, reason)


def _tls_reason(error: ssl.SSLError) -> str:
    return (
        error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason or "handshake failed"
    )


class StreamedExchange:
    """A streamed answer that holds its connection until it is closed."""

    __slots__ = ("_client", "_connection", "_exchange", "_open")

    def __init__(self, client: HttpClient, connection: Connection, exchange: Exchange) -> None:
        self._client = client
        self._connection = connection
        self._exchange = exchange
        self._open = True

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._exchange.status

    @property
    def headers(self) -> dict[bytes, str]:
        """Those headers that callers need, names in lower case."""
        return self._exchange.headers

    def begun(self) -> None:
        """The first token arrived: from here on only the total deadline counts."""
        self._exchange.begun()

    async def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            HttpError: The exchange failed.
        """
        return await self._exchange.read()

    async def rest(self) -> bytes:
        """Everything that is left, for error bodies.

        Raises:
            HttpError: The exchange failed.
        """
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    def drain(self) -> None:
        """The reader has what it wants; the connection is kept if the answer ends within a moment."""
        if self._open and not self._exchange.complete:
            self._open = False
            self._exchange.drain(self._settle, _DRAIN_S)

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, or close it. May be called twice."""
        if self._open:
            self._open = False
            self._settle()

    def _settle(self) -> None:
        if self._exchange.complete:
            self._client._finish(self._connection)  # noqa: SLF001 - the two classes are one mechanism
        else:
            self._client._discard(self._connection, self._exchange)  # noqa: SLF001 - likewise
