"""Where a client may connect: one origin taken from the workspace, and no address that belongs to the machine room."""

import asyncio
import ipaddress
import socket
from base64 import b64encode
from urllib.parse import unquote, urlsplit

import msgspec

from greffier.adapters.http.faults import Fault, HttpError

_PORTS = {"http": 80, "https": 443}
# Metadata services that do not live on link-local addresses: Alibaba Cloud, AWS over IPv6, Oracle Cloud.
_METADATA = frozenset({"100.100.100.200", "fd00:ec2::254", "192.0.0.192"})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BadUrl(ValueError):  # noqa: N818 - named for the condition
    """A URL of the workspace cannot be used. The message names the mistake and never repeats a password."""


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port of a server, with the path prefix of its API.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, lower case, without brackets.
        port: TCP port.
        prefix: Path prefix without a trailing slash, for example ``/v1``.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Read a ``base_url``.

        Raises:
            BadUrl: Not an http(s) URL, or it holds a user name, query, fragment or control characters.
        """
        scheme, host, port, parts = _split(url, ("http", "https"))
        if parts.username is not None or parts.password is not None:
            raise BadUrl("the URL holds a user name or password; give the secret as a reference instead")
        if parts.query or parts.fragment:
            raise BadUrl("the URL holds a query or a fragment; give the path only")
        return cls(scheme, host, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The ``host`` header (RFC 9110 section 7.2): the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Proxy(msgspec.Struct, frozen=True):
    """A forward proxy. Its ``repr`` shows no credentials.

    Attributes:
        host: Name or address.
        port: TCP port.
        authorization: Value of ``proxy-authorization``, or empty.
    """

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Read ``http://[user:password@]host:port``.

        Raises:
            BadUrl: Not such a URL. A proxy that is itself reached over TLS is not supported.
        """
        _, host, port, parts = _split(url, ("http",))
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadUrl("a proxy URL has no path")
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + b64encode(pair.encode()).decode()
        return cls(host, port, authorization)


def _split(url: str, schemes: tuple[str, ...]):  # type: ignore[no-untyped-def] # noqa: ANN202 - SplitResult is generic
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise BadUrl("the URL holds white space, control characters or letters outside ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadUrl("the URL's host or port cannot be read") from None
    if parts.scheme not in schemes or not host:
        raise BadUrl(f"the URL must start with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host")
    return parts.scheme, host, port or _PORTS[parts.scheme], parts


def is_forbidden(address: str) -> bool:
    """Whether an address is link-local, multicast, unspecified or a cloud metadata service.

    Such an address is used only when the workspace names it literally: a DNS name that suddenly points there is the
    classic server-side request forgery (OWASP API7:2023).
    """
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = _wrapped(ip) or ip
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) in _METADATA


def _wrapped(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4 (RFC 3056) or through NAT64 (RFC 6052)."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host, in the resolver's order. The caller connects to exactly these, so DNS is asked once.

    Raises:
        HttpError: The name is unknown, or points to a forbidden address.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HttpError(Fault.NAME_UNKNOWN, f"the name {host} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if any(is_forbidden(address) for address in addresses):
        raise HttpError(Fault.ADDRESS_FORBIDDEN, f"the name {host} points to a link-local or metadata address")
    return addresses
