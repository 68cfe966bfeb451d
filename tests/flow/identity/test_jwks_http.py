"""The key fetcher against servers that fail, lie and attack."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from greffier.adapters.idp.jwks import HttpJwksSource
from greffier.identity.jwks import read_keys
from greffier.identity.ports import JwksLocation, JwksUnavailable
from greffier.testing.issuer import MemoryIssuer

JWKS = MemoryIssuer().jwks()
Answers = dict[str, bytes]
Script = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    def __init__(self, base: str) -> None:
        self.base = base
        self.answers: Answers = {}
        self.script: Script | None = None
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            path = request.split(b" ")[1].decode().partition("?")[0]
            if self.script is not None:
                await self.script(path, writer)
            else:
                writer.write(self.answers.get(path, answer(b"", "404 Not Found")))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    scripted = Server("")
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    scripted.base = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield scripted
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as started:
        yield started


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[HttpJwksSource]:
    made = HttpJwksSource(tmp_path, timeout_s=20, max_bytes=20_000)  # patient, for a busy test machine
    yield made
    await made.close()


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[HttpJwksSource]:
    made = HttpJwksSource(tmp_path, timeout_s=0.4, max_bytes=20_000)
    yield made
    await made.close()


async def failure(source: HttpJwksSource, location: JwksLocation) -> str:
    with pytest.raises(JwksUnavailable) as caught:
        await source.fetch(location)
    return str(caught.value)


def metadata(issuer: str, uri: str) -> bytes:
    return answer(json.dumps({"issuer": issuer, "jwks_uri": uri}).encode())


async def test_a_pinned_address_needs_no_discovery(server: Server, source: HttpJwksSource) -> None:
    server.answers["/keys"] = answer(JWKS)
    location = JwksLocation("https://elsewhere.example", f"{server.base}/keys")
    assert read_keys(await source.fetch(location))
    (request,) = server.requests
    assert b"accept-encoding: identity" in request.lower()
    assert b"authorization" not in request.lower()


async def test_openid_discovery(server: Server, source: HttpJwksSource) -> None:
    for issuer in (server.base, f"{server.base}/", f"{server.base}/realms/acme"):
        path = issuer.removeprefix(server.base).rstrip("/")
        server.answers[f"{path}/.well-known/openid-configuration"] = metadata(issuer, f"{server.base}/keys")
        server.answers["/keys"] = answer(JWKS)
        assert await source.fetch(JwksLocation(issuer)) == JWKS


async def test_oauth_metadata_where_there_is_no_openid(server: Server, source: HttpJwksSource) -> None:
    issuer = f"{server.base}/tenant1"
    server.answers["/.well-known/oauth-authorization-server/tenant1"] = metadata(issuer, f"{server.base}/keys")
    server.answers["/keys"] = answer(JWKS)
    assert await source.fetch(JwksLocation(issuer)) == JWKS


async def test_metadata_of_another_issuer(server: Server, source: HttpJwksSource) -> None:
    server.answers["/.well-known/openid-configuration"] = metadata("https://other.example", f"{server.base}/keys")
    server.answers["/keys"] = answer(JWKS)
    assert "another issuer" in await failure(source, JwksLocation(server.base))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "uri",
    [
        "http://idp.example.test/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/keys",
        "http://[::ffff:10.0.0.1]/keys",
        "http://0.0.0.0/keys",
        "http://localhost.evil.test/keys",
        "http://127.0.0.1.evil.test/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "https://user:secret@idp.example.test/keys",
        "https:///keys",
        "https://[::1/keys",
        "https://idp.example.test:99999/keys",
        "//idp.example.test/keys",
        "/keys",
        "",
        "javascript:alert(1)",
    ],
)
async def test_addresses_that_are_never_asked(server: Server, source: HttpJwksSource, uri: str) -> None:
    server.answers["/.well-known/openid-configuration"] = metadata(server.base, uri)
    message = await failure(source, JwksLocation(server.base))
    assert "secret" not in message
    assert len(server.requests) == 1
    if uri:
        await failure(source, JwksLocation("https://pinned.example", uri))


async def test_metadata_without_usable_keys_address(server: Server, source: HttpJwksSource) -> None:
    for body in (b"{}", b"[]", b"<html>", b"[" * 10_000, json.dumps({"issuer": server.base, "jwks_uri": 1}).encode()):
        server.answers["/.well-known/openid-configuration"] = answer(body)
        await failure(source, JwksLocation(server.base))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(server: Server, source: HttpJwksSource, status: str) -> None:
    server.answers["/keys"] = answer(b"", status, f"location: {server.base}/other")
    server.answers["/other"] = answer(JWKS)
    assert status[:3] in await failure(source, JwksLocation(server.base, f"{server.base}/keys"))
    server.answers["/.well-known/openid-configuration"] = answer(b"", status, f"location: {server.base}/other")
    assert status[:3] in await failure(source, JwksLocation(server.base))
    assert not any(b"/other" in request for request in server.requests)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "503 Busy", "401 No", "204 No Content"])
async def test_answers_that_are_not_200(server: Server, source: HttpJwksSource, status: str) -> None:
    server.answers["/keys"] = answer(b"", status)
    assert status[:3] in await failure(source, JwksLocation(server.base, f"{server.base}/keys?token=hush"))


async def test_a_document_that_is_too_large(server: Server, source: HttpJwksSource) -> None:
    server.answers["/keys"] = answer(b" " * 20_001)
    assert "20000 bytes" in await failure(source, JwksLocation(server.base, f"{server.base}/keys"))


async def test_a_document_without_end(server: Server, source: HttpJwksSource) -> None:
    sent = 0

    async def endless(_path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while sent < 100_000_000:
            writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
            sent += 4096
            await writer.drain()

    server.script = endless
    assert "20000 bytes" in await failure(source, JwksLocation(server.base, f"{server.base}/keys"))
    assert sent < 50_000_000


async def test_a_compressed_bomb_is_not_unpacked(server: Server, source: HttpJwksSource) -> None:
    server.answers["/keys"] = answer(gzip.compress(b" " * 10_000_000), "200 OK", "content-encoding: gzip")
    assert "compressed" in await failure(source, JwksLocation(server.base, f"{server.base}/keys"))


@pytest.mark.parametrize("drip", [True, False])
async def test_a_server_that_does_not_come_to_an_end(server: Server, hasty: HttpJwksSource, drip: bool) -> None:
    async def slow(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            if drip:
                writer.write(b" ")
                await writer.drain()
            await asyncio.sleep(0.05)

    server.script = slow
    assert "in time" in await failure(hasty, JwksLocation(server.base, f"{server.base}/keys"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http(server: Server, source: HttpJwksSource, raw: bytes) -> None:
    server.answers["/keys"] = raw
    await failure(source, JwksLocation(server.base, f"{server.base}/keys"))


async def test_nobody_there(source: HttpJwksSource) -> None:
    async with serving() as gone:
        base = gone.base
    assert "cannot be connected to" in await failure(source, JwksLocation(base, f"{base}/keys?token=hush"))
    assert "hush" not in await failure(source, JwksLocation(base, f"{base}/keys?token=hush"))


def certify(folder: Path, name: str, host: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signed itself, as a private authority's would look to us."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca_file = folder / f"{name}.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.key").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, folder / f"{name}.key")
    return ca_file, context


async def test_a_private_authority_is_trusted_where_named_and_nowhere_else(
    source: HttpJwksSource, tmp_path: Path
) -> None:
    _, tls = certify(tmp_path, "ours", "127.0.0.1")
    certify(tmp_path, "other", "127.0.0.1")
    async with serving(tls) as server:
        server.answers["/.well-known/openid-configuration"] = metadata(server.base, f"{server.base}/keys")
        server.answers["/keys"] = answer(JWKS)
        assert await source.fetch(JwksLocation(server.base, ca_file="ours.pem")) == JWKS
        for location in (JwksLocation(server.base), JwksLocation(server.base, ca_file="other.pem")):
            assert "not trusted" in await failure(source, location)
        for missing in ("missing.pem", "ours.key"):
            assert missing in await failure(source, JwksLocation(server.base, ca_file=missing))


async def test_a_certificate_for_another_host(source: HttpJwksSource, tmp_path: Path) -> None:
    _, tls = certify(tmp_path, "wrong-host", "127.0.0.2")
    async with serving(tls) as server:
        server.answers["/keys"] = answer(JWKS)
        location = JwksLocation(server.base, f"{server.base}/keys", "wrong-host.pem")
        assert "not trusted" in await failure(source, location)


async def test_a_proxy_is_used_where_named_and_never_taken_from_the_environment(
    server: Server, source: HttpJwksSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/keys"] = answer(JWKS)
    async with serving() as proxy:
        proxy.answers[f"{server.base}/keys"] = answer(JWKS, "200 OK", "x-from: proxy")
        monkeypatch.setenv("HTTP_PROXY", proxy.base)
        await source.fetch(JwksLocation(server.base, f"{server.base}/keys"))
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        monkeypatch.setenv("CORPORATE_PROXY", proxy.base)
        for named in (proxy.base, "env:CORPORATE_PROXY"):
            await source.fetch(JwksLocation(server.base, f"{server.base}/keys", proxy=named))
        assert (len(server.requests), len(proxy.requests)) == (1, 2)
    location = JwksLocation(server.base, f"{server.base}/keys", proxy=proxy.base)
    assert "proxy" in await failure(source, location)
    location = JwksLocation(server.base, f"{server.base}/keys", proxy="env:NOT_SET")
    assert "NOT_SET" in await failure(source, location)


async def test_one_bound_for_discovery_and_keys_together(server: Server, hasty: HttpJwksSource) -> None:
    async def slow(_path: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(answer(b"", "404 Not Found"))
        await writer.drain()

    server.script = slow
    assert "in time" in await failure(hasty, JwksLocation(server.base))
