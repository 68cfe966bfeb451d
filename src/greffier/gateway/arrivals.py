"""From HTTP headers to an `Arrival`. Nothing in them is trusted; everything taken from them is bounded."""

from greffier.core.context import Arrival, Credential, Surface
from greffier.core.errors import Code
from greffier.core.rulings import Deny

RawHeaders = list[tuple[bytes, bytes]]

MAX_HEADERS = 128
MAX_CREDENTIAL = 16 * 1024
_MAX_CORRELATION = 128
_MAX_RETRY_COUNT = 99
_MAX_REVIEW = 64
_TRACE_PARTS = 4
_SINGLE = (b"authorization", b"x-api-key", b"content-length", b"content-type")
_HEX = frozenset("0123456789abcdef")
_RULE = "gateway.headers"


def index_headers(raw: RawHeaders) -> dict[bytes, bytes] | Deny:
    """Headers by lower-case name.

    Denies headers in excess, and repeated headers of those that must not be ambiguous (RFC 9110 section 5.3).
    """
    if len(raw) > MAX_HEADERS:
        return Deny(Code.INVALID_REQUEST, _RULE, f"The request has more than {MAX_HEADERS} headers")
    headers = dict(raw)
    if len(headers) == len(raw):
        return headers
    names = [name for name, _ in raw]
    for name in _SINGLE:
        if names.count(name) > 1:
            return Deny(
                Code.INVALID_REQUEST,
                _RULE,
                f"The header '{name.decode()}' is repeated",
                "Send it once.",
                param=name.decode(),
            )
    return headers


def credential_in(headers: dict[bytes, bytes]) -> Credential | None:
    """The credential offered: ``Authorization: Bearer`` first, else ``x-api-key`` (older Anthropic SDKs)."""
    value = headers.get(b"authorization")
    if value is not None and value[:7].lower() == b"bearer ":
        secret = value[7:].strip()
        return _credential("bearer", secret)
    value = headers.get(b"x-api-key")
    return None if value is None else _credential("api_key", value.strip())


def _credential(scheme: str, secret: bytes) -> Credential | None:
    if not secret or len(secret) > MAX_CREDENTIAL or not secret.isascii():
        return None
    return Credential("bearer" if scheme == "bearer" else "api_key", secret.decode("ascii"))


def arrival_of(
    headers: dict[bytes, bytes],
    *,
    request_id: str,
    surface: Surface,
    peer: str,
    received_ms: int,
    started: float,
) -> Arrival:
    """Gather what came with a request."""
    correlation = headers.get(b"x-request-id")
    trace = headers.get(b"traceparent")
    retries = headers.get(b"x-stainless-retry-count")
    review = headers.get(b"x-greffier-review")
    return Arrival(
        request_id=request_id,
        surface=surface,
        credential=credential_in(headers),
        peer=peer,
        received_ms=received_ms,
        started=started,
        correlation_id="" if correlation is None else _bounded(correlation, _MAX_CORRELATION),
        traceparent="" if trace is None else _traceparent(trace),
        retry_count=0 if retries is None else _count(retries),
        review="" if review is None else _bounded(review, _MAX_REVIEW),
    )


def _bounded(value: bytes, longest: int) -> str:
    """An id that the caller sent, if it is printable ASCII of bounded length; else nothing: never a mutilated one."""
    if len(value) > longest or not value.isascii():
        return ""
    text = value.decode("ascii")
    return text if text.isprintable() else ""


def _traceparent(value: bytes) -> str:
    """The header if it is valid W3C Trace Context, version 00; else nothing."""
    if not value.isascii():
        return ""
    text = value.decode("ascii")
    parts = text.split("-")
    if len(parts) != _TRACE_PARTS or parts[0] != "00" or tuple(map(len, parts)) != (2, 32, 16, 2):
        return ""
    if not _HEX.issuperset("".join(parts)) or not parts[1].strip("0") or not parts[2].strip("0"):
        return ""
    return text


def _count(value: bytes) -> int:
    return min(int(value), _MAX_RETRY_COUNT) if len(value) <= 2 and value.isdigit() else 0  # noqa: PLR2004 - 0 to 99
