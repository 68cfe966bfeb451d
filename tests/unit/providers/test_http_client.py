"""The outbound client against servers that misbehave below the level of any API."""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from greffier.adapters.http import BadUrl, Fault, HttpClient, HttpError, Origin, Proxy, tls_context
from greffier.adapters.http.origin import is_forbidden
from greffier.core.deployment import Timeouts
from greffier.testing.upstream import Script, ScriptedUpstream

QUICK = Timeouts(connect_s=1.0, first_token_s=0.5, total_s=1.0)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def client(url: str, **options: object) -> HttpClient:
    return HttpClient(Origin.parse(url), timeouts=QUICK, **options)  # type: ignore[arg-type]


async def post(http: HttpClient, body: bytes = b"{}") -> tuple[int, bytes]:
    exchange = await http.request(http.head("POST", "/chat/completions", []), body)
    return exchange.status, exchange.body()


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """A server that answers with whatever bytes the test wants."""

    running: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answers(*replies: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(reply)
            await writer.drain()
        await reader.read()

    return handle


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Fault.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\ncontent-length: nine\r\n\r\n", Fault.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Fault.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Fault.NOT_HTTP),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", Fault.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", Fault.ENCODED),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"\r\n", Fault.HEADERS_TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", Fault.HEADERS_TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"y" * 2000, Fault.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 2000, Fault.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", Fault.TOTAL_TIMEOUT),
        (b"", Fault.FIRST_BYTE_TIMEOUT),
        (b"HTTP/1.1 200 OK\r\nx: y", Fault.FIRST_BYTE_TIMEOUT),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_bad_answers(reply: bytes, fault: Fault) -> None:
    async with raw_server(answers(reply)) as url:
        with pytest.raises(HttpError) as caught:
            await post(client(url, max_answer_bytes=1000))
        assert caught.value.fault is fault


async def test_interim_answers_are_skipped() -> None:
    async with raw_server(answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK)) as url:
        assert await post(client(url)) == (200, b"ok")


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        writer.write_eof()
        await reader.read()

    async with raw_server(handle) as url:
        assert await post(client(url)) == (200, b"all of it")


async def test_a_smuggled_second_answer_never_meets_the_next_request() -> None:
    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    async with raw_server(answers(OK + poison, OK, OK)) as url:
        http = client(url)
        for _ in range(3):
            assert await post(http) == (200, b"ok")


async def test_bytes_that_arrive_while_idle_close_the_connection() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        await writer.drain()
        await reader.read()

    async with raw_server(handle) as url:
        http = client(url)
        assert await post(http) == (200, b"ok")
        await asyncio.sleep(0.1)
        assert await post(http) == (200, b"ok")


async def test_a_fresh_connection_that_closes_unanswered_is_not_tried_again() -> None:
    tries = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.readuntil(b"\r\n\r\n{}")

    async with raw_server(handle) as url:
        with pytest.raises(HttpError) as caught:
            await post(client(url))
    assert caught.value.fault is Fault.CLOSED_UNANSWERED
    assert tries == 1


async def test_a_kept_connection_closed_under_our_hands_is_replaced_once() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n{}")

    async with raw_server(handle) as url:
        http = client(url)
        for _ in range(4):
            assert await post(http) == (200, b"ok")


async def test_waiting_for_a_connection_is_bounded() -> None:
    patient = Timeouts(connect_s=0.1, first_token_s=5.0, total_s=5.0)
    async with ScriptedUpstream() as upstream:
        upstream.queue(Script(hang=True))
        http = HttpClient(Origin.parse(upstream.base_url), timeouts=patient, max_connections=1)
        first = asyncio.ensure_future(post(http))
        await upstream.until(lambda: len(upstream.requests) == 1)
        with pytest.raises(HttpError) as caught:
            await post(http)
        assert caught.value.fault is Fault.POOL_TIMEOUT
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        status, _ = await post(http, b'{"messages": []}')
        assert status == 200


async def test_storms_of_cancelled_calls_leak_no_connection() -> None:
    chance = random.Random(7)
    limit = 4
    async with ScriptedUpstream(capture=False) as upstream:
        timeouts = Timeouts(connect_s=5.0, first_token_s=5.0, total_s=10.0)
        http = HttpClient(Origin.parse(upstream.base_url), timeouts=timeouts, max_connections=limit)
        head = http.head("POST", "/chat/completions", [])
        scripts = ["[[delay=5]]", "[[gap=1]] a b c", "[[cut]]", "[[hang]]", "[[status=500]]", "[[close]]"]

        async def one(number: int) -> None:
            stream = number % 2 == 0
            message = {"role": "user", "content": chance.choice(scripts)}
            body = msgspec.json.encode({"messages": [message], "stream": stream})
            with contextlib.suppress(HttpError):
                if stream:
                    exchange = await http.open(head, body)
                    try:
                        while await exchange.read():
                            pass
                    finally:
                        exchange.close()
                else:
                    await http.request(head, body)

        tasks = [asyncio.ensure_future(one(number)) for number in range(200)]
        while pending := [task for task in tasks if not task.done()]:
            await asyncio.sleep(0.002)
            for task in chance.sample(pending, min(3, len(pending))):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(upstream.connections) <= limit
        after = [asyncio.ensure_future(http.request(head, b'{"messages": []}')) for _ in range(limit * 3)]
        assert {exchange.status for exchange in await asyncio.gather(*after)} == {200}
        assert http._slots._value == limit
        await http.close()


async def test_slow_readers_hold_the_sender_back() -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"8000\r\n" + b"x" * 32_768 + b"\r\n")
            await writer.drain()
            sent += 32_768

    async with raw_server(handle) as url:
        http = HttpClient(Origin.parse(url), timeouts=Timeouts(5, 5, 10), max_answer_bytes=1 << 30)
        exchange = await http.open(http.head("POST", "/x", []), b"{}")
        await asyncio.sleep(0.3)
        assert sent < 20_000_000  # what fits into our buffer and the kernel's, not the whole 32 MB
        total = 0
        while data := await exchange.read():
            total += len(data)
            if total > 25_000_000:
                break
        exchange.close()
        assert total > 20_000_000


# Where we connect.


@pytest.mark.parametrize(
    ("url", "authority", "prefix"),
    [
        ("http://127.0.0.1:8000/v1/", "127.0.0.1:8000", "/v1"),
        ("https://API.Example.test", "api.example.test", ""),
        ("https://example.test:8443/a/b", "example.test:8443", "/a/b"),
        ("http://[::1]:9/", "[::1]:9", ""),
    ],
)
def test_reads_origins(url: str, authority: str, prefix: str) -> None:
    origin = Origin.parse(url)
    assert (origin.authority, origin.prefix) == (authority, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "file:///etc/passwd",
        "x",
        "http://",
        "http://user:pw@host/",
        "http://host/?q=1",
        "http://host/#f",
        "http://host:99999/",
        "http://ho st/",
        "http://host\r\nx: y/",
        "http://hö.test/",
        "http://[::1/",
    ],
)
def test_refuses_bad_urls_without_repeating_them(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        Origin.parse(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "forbidden"),
    [
        ("169.254.169.254", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("64:ff9b::5db8:d822", False),
        ("100.100.100.200", True),
        ("fd00:ec2::254", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("::", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("93.184.216.34", False),
    ],
)
def test_knows_metadata_addresses(address: str, forbidden: bool) -> None:
    assert is_forbidden(address) is forbidden


async def test_a_name_that_points_to_the_metadata_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rebound(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("127.0.0.1", "169.254.169.254")
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
    with pytest.raises(HttpError) as caught:
        await post(client("http://models.example.test/v1"))
    assert caught.value.fault is Fault.ADDRESS_FORBIDDEN


async def test_an_unknown_name_and_a_closed_port_are_told_apart() -> None:
    with pytest.raises(HttpError) as unknown:
        await post(client("http://no-such-host.invalid/v1"))
    assert unknown.value.fault in {Fault.NAME_UNKNOWN, Fault.CONNECT_TIMEOUT}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(HttpError) as closed:
        await post(client(f"http://127.0.0.1:{port}/v1"))
    assert closed.value.fault is Fault.CONNECT_FAILED


@given(st.text(max_size=20))
def test_headers_cannot_split_the_request(value: str) -> None:
    http = HttpClient(Origin.parse("http://127.0.0.1:1/"), timeouts=QUICK)
    try:
        head = http.head("POST", "/x", [("authorization", value)])
    except ValueError:
        return
    assert head.count(b"\r\n") == 4
    assert head.count(b"\n") == 4


# TLS and proxies.


class Authority:
    """A private certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca_file = folder / f"{name}.pem"
        certificate = self._builder(self._name, self._key.public_key(), ca=True).sign(self._key, hashes.SHA256())
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, str]:
        """A certificate for an address: the file of the certificate, and its key as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), ca=False)
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        file = self._folder / f"{name}.crt"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return file, pem.decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "our-ca")


def server_context(
    authority: Authority, *, address: str = "127.0.0.1", client_ca: Path | None = None
) -> ssl.SSLContext:
    certificate, key = authority.issue("server", address)
    key_file = certificate.with_suffix(".key")
    key_file.write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


async def test_tls_with_our_own_authority(authority: Authority) -> None:
    async with ScriptedUpstream(tls=server_context(authority)) as upstream:
        http = client(upstream.base_url, tls=tls_context(str(authority.ca_file)))
        status, _ = await post(http, b'{"messages": []}')
        assert status == 200
        with pytest.raises(HttpError) as caught:
            await post(client(upstream.base_url, tls=tls_context()))
        assert caught.value.fault is Fault.TLS_FAILED
        await http.close()


async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    async with ScriptedUpstream(tls=server_context(authority, address="127.0.0.2")) as upstream:
        with pytest.raises(HttpError) as caught:
            await post(client(upstream.base_url, tls=tls_context(str(authority.ca_file))))
        assert caught.value.fault is Fault.TLS_FAILED


async def test_mutual_tls_with_the_key_from_memory(authority: Authority) -> None:
    certificate, key = authority.issue("client")
    async with ScriptedUpstream(tls=server_context(authority, client_ca=authority.ca_file)) as upstream:
        http = client(upstream.base_url, tls=tls_context(str(authority.ca_file), str(certificate), key))
        status, _ = await post(http, b'{"messages": []}')
        assert status == 200
        assert upstream.requests[0].peer_cert
        with pytest.raises(HttpError):
            await post(client(upstream.base_url, tls=tls_context(str(authority.ca_file))))
        await http.close()


@asynccontextmanager
async def proxy_server(*, refuse: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """A forward proxy: tunnels CONNECT, and answers absolute-form requests itself."""
    seen: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(head)
        method, target, _ = head.split(" ", 2)
        if refuse:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        elif method == "CONNECT":
            host, _, port = target.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
            finally:
                up_writer.transport.abort()
                await asyncio.gather(up_writer.wait_closed(), return_exceptions=True)
        else:
            writer.write(OK)
            await writer.drain()
            await reader.read()

    async with raw_server(handle) as url:
        yield url.removesuffix("/v1"), seen


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_https_goes_through_a_tunnel_that_sees_no_content(authority: Authority, run: Callable[..., None]) -> None:
    run(tunnelled(authority))


async def tunnelled(authority: Authority) -> None:
    async with ScriptedUpstream(tls=server_context(authority)) as upstream, proxy_server() as (address, seen):
        proxy = Proxy.parse(address.replace("http://", "http://user:p%40ss@"))
        http = client(upstream.base_url, tls=tls_context(str(authority.ca_file)), proxy=proxy)
        for _ in range(2):
            status, _ = await post(http, b'{"messages": []}')
            assert status == 200
        assert len(seen) == 1
        assert seen[0].startswith(f"CONNECT 127.0.0.1:{upstream.port} HTTP/1.1\r\n")
        assert "proxy-authorization: Basic dXNlcjpwQHNz\r\n" in seen[0]
        assert "proxy-authorization" not in upstream.requests[0].headers
        assert "p@ss" not in repr(proxy)
        await http.close()


async def test_http_goes_through_a_proxy_in_absolute_form() -> None:
    async with proxy_server() as (address, seen):
        http = client("http://models.example.test:8000/v1", proxy=Proxy.parse(address))
        assert await post(http) == (200, b"ok")
        assert seen[0].startswith("POST http://models.example.test:8000/v1/chat/completions HTTP/1.1\r\n")
        await http.close()


async def test_a_proxy_that_refuses_is_named(authority: Authority) -> None:
    async with proxy_server(refuse=True) as (address, _):
        http = client(
            "https://models.example.test/v1", tls=tls_context(str(authority.ca_file)), proxy=Proxy.parse(address)
        )
        with pytest.raises(HttpError) as caught:
            await post(http)
        assert caught.value.fault is Fault.PROXY_FAILED
        assert "407" in caught.value.detail


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with raw_server(answers(OK)) as url:
        assert await post(client(url)) == (200, b"ok")
