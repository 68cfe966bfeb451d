"""Fetch an issuer's public keys over HTTPS, bounded in size and time, never following a redirect.

Where the keys are is either pinned by the workspace or discovered from the issuer's metadata (OpenID Connect Discovery
section 4; RFC 8414 section 3), which must name the very issuer that was asked (RFC 8414 section 3.3): otherwise one
issuer could pass another's keys off as its own.
"""

import asyncio
import json
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from greffier.adapters.secrets.references import SecretMissing, resolve_value
from greffier.identity.ports import JwksLocation, JwksUnavailable

MAX_BYTES = 262_144
TIMEOUT_S = 5.0
_OK = 200
_NOT_FOUND = 404


class _Way(msgspec.Struct, frozen=True):
    """How a server is reached."""

    trust: ssl.SSLContext
    proxy: str | None


class HttpJwksSource:
    """`JwksSource` over HTTP. Reads neither proxies nor passwords from the environment: the workspace names both."""

    def __init__(self, base: Path, *, timeout_s: float = TIMEOUT_S, max_bytes: int = MAX_BYTES) -> None:
        """Prepare; connections open with the first fetch.

        Args:
            base: Folder in which relative ``ca_file`` paths start: the workspace.
            timeout_s: Seconds for everything one fetch needs, discovery included.
            max_bytes: Largest document accepted.
        """
        self._base = base
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, location: JwksLocation) -> bytes:
        """See `JwksSource.fetch`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                trust = await asyncio.to_thread(self._certificates, location.ca_file)  # reads files
                way = _Way(trust, _resolved(location.proxy))
                uri = location.jwks_uri or await self._discover(location.issuer, way)
                document = await self._get(uri, way)
        except TimeoutError as error:
            raise JwksUnavailable(f"{_shown(location.issuer)} did not answer in time") from error
        if document is None:
            raise JwksUnavailable(f"{_shown(uri)} answered 404")
        return document

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _discover(self, issuer: str, way: _Way) -> str:
        for address in _metadata_addresses(issuer):
            document = await self._get(address, way)
            if document is None:
                continue
            metadata = _object(document, address)
            if metadata.get("issuer") != issuer:
                raise JwksUnavailable(f"{_shown(address)} describes another issuer than {issuer}")
            uri = metadata.get("jwks_uri")
            if not isinstance(uri, str):
                raise JwksUnavailable(f"{_shown(address)} names no jwks_uri")
            return uri
        raise JwksUnavailable(f"{issuer} publishes no metadata; set jwks_uri in the workspace")

    async def _get(self, address: str, way: _Way) -> bytes | None:
        """The document at an address, or None where there is none (404)."""
        _require_safe(address)
        try:
            async with self._open().get(address, ssl=way.trust, proxy=way.proxy, allow_redirects=False) as answer:
                if answer.status == _NOT_FOUND:
                    return None
                if answer.status != _OK:
                    raise JwksUnavailable(f"{_shown(address)} answered {answer.status}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise JwksUnavailable(f"{_shown(address)} sent a compressed document, which we did not ask for")
                return await self._read(answer, address)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise JwksUnavailable(f"{_shown(address)} {_cause(error)}") from error

    async def _read(self, answer: aiohttp.ClientResponse, address: str) -> bytes:
        document = bytearray()
        async for chunk in answer.content.iter_any():
            document += chunk
            if len(document) > self._max_bytes:
                raise JwksUnavailable(f"{_shown(address)} sent more than {self._max_bytes} bytes")
        return bytes(document)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Fetches are minutes apart: a kept connection would only be found dead at the next one.
                connector=aiohttp.TCPConnector(force_close=True, limit=8),
            )
        return self._session

    def _certificates(self, ca_file: str | None) -> ssl.SSLContext:
        if ca_file is None:
            return ssl.create_default_context()
        path = self._base / ca_file
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise JwksUnavailable(f"the ca_file {ca_file} cannot be read as certificates") from error


def _resolved(proxy: str | None) -> str | None:
    try:
        return None if proxy is None else resolve_value(proxy)
    except SecretMissing as error:
        raise JwksUnavailable(f"the proxy is not known: {error}") from error


def _metadata_addresses(issuer: str) -> tuple[str, ...]:
    """OpenID Connect appends the well-known path to the issuer; RFC 8414 inserts its own before the issuer's path."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )


def _require_safe(address: str) -> None:
    """HTTPS only, except on this very machine: whoever can change the keys on their way can sign anything."""
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.username is None and parts.password is None and parts.port != 0 else None
    except ValueError:
        host = None
    if not host:
        raise JwksUnavailable("the address of the issuer or its keys has no proper host, or holds a password")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise JwksUnavailable(f"{_shown(address)} is not https")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _object(document: bytes, address: str) -> dict[str, Any]:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise JwksUnavailable(f"{_shown(address)} is not JSON") from error
    if not isinstance(value, dict):
        raise JwksUnavailable(f"{_shown(address)} is not a JSON object")
    return value


def _shown(address: str) -> str:
    """An address without its query, which might hold a secret."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}{':' + str(parts.port) if parts.port else ''}{parts.path}"


def _cause(error: Exception) -> str:
    """The one table from foreign errors to words."""
    match error:
        case TimeoutError():  # aiohttp's own, for connecting; it is an OSError as well
            return "did not answer in time"
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLError():
            return "has a certificate that is not trusted"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "cannot be reached through the proxy"
        case aiohttp.ClientConnectorError():
            return "cannot be connected to"
        case aiohttp.ClientError() | OSError():
            return f"broke off ({type(error).__name__})"
    return "is not a usable address"
