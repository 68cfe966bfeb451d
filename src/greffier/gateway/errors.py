"""Renders a refusal in the caller's dialect. Status, type, code and retry all follow from `core.errors.REFUSALS`."""

import math
from typing import Literal

import msgspec

from greffier.core.errors import REFUSALS, Code
from greffier.core.rulings import Deny

Dialect = Literal["openai", "anthropic", "problem"]
WireHeaders = list[tuple[bytes, bytes]]

_DEFAULT_RETRY_S = 1.0  # where a retry may help but the ruling does not know when
_PROBLEM_BASE = "urn:greffier:error:"
_encode = msgspec.json.Encoder().encode

_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    413: "Request too large",
    415: "Unsupported media type",
    429: "Too many requests",
    499: "Closed by the caller",
    500: "Internal error",
    502: "Bad gateway",
    503: "Unavailable",
    504: "Gateway timeout",
}


class Rendered(msgspec.Struct, frozen=True):
    """A refusal ready to send."""

    status: int
    headers: WireHeaders
    body: bytes


def sentence(ruling: Deny) -> str:
    """The reason followed by the remedy, as callers read it."""
    reason = ruling.reason.rstrip()
    reason = reason[:1].upper() + reason[1:]
    if reason and reason[-1] not in ".!?":
        reason += "."
    return f"{reason} {ruling.advice}".strip()


def openai_error(ruling: Deny, request_id: str) -> dict[str, object]:
    """The ``error`` object of the OpenAI dialect, also sent as a frame when a stream is stopped.

    ``rule`` and ``request_id`` go beyond the dialect; SDKs carry them along in ``body``.
    """
    return {
        "message": sentence(ruling),
        "type": REFUSALS[ruling.code].openai_type,
        "param": ruling.param,
        "code": ruling.code.value,
        "rule": ruling.rule,
        "request_id": request_id,
    }


def anthropic_error(ruling: Deny, request_id: str) -> dict[str, object]:
    """The whole body of the Anthropic dialect, also sent as ``event: error`` in a stream."""
    details = {"error_code": ruling.code.value, "rule": ruling.rule, "param": ruling.param}
    return {
        "type": "error",
        "error": {
            "type": REFUSALS[ruling.code].anthropic_type,
            "message": sentence(ruling),
            "details": details,
        },
        "request_id": request_id,
    }


def problem(ruling: Deny, request_id: str) -> dict[str, object]:
    """RFC 9457 problem details, for paths that speak no model dialect."""
    status = REFUSALS[ruling.code].status
    return {
        "type": _PROBLEM_BASE + ruling.code.value,
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": sentence(ruling),
        "code": ruling.code.value,
        "rule": ruling.rule,
        "param": ruling.param,
        "request_id": request_id,
    }


def render(dialect: Dialect, ruling: Deny, request_id: str) -> Rendered:
    """Status, headers and body of a refusal. Request-id headers are the sender's job: every answer carries them."""
    refusal = REFUSALS[ruling.code]
    content_type = b"application/json"
    if dialect == "openai":
        body = _encode({"error": openai_error(ruling, request_id)})
    elif dialect == "anthropic":
        body = _encode(anthropic_error(ruling, request_id))
    else:
        content_type = b"application/problem+json"
        body = _encode(problem(ruling, request_id))
    headers: WireHeaders = [(b"content-type", content_type)]
    headers += retry_headers(ruling)
    if refusal.status == REFUSALS[Code.MISSING_CREDENTIALS].status:
        headers.append((b"www-authenticate", _challenge(ruling)))
    return Rendered(refusal.status, headers, body)


def retry_headers(ruling: Deny) -> WireHeaders:
    """``x-should-retry: false`` on a final refusal, else ``retry-after`` and ``retry-after-ms``."""
    if ruling.final or not REFUSALS[ruling.code].retry:
        return [(b"x-should-retry", b"false")]
    seconds = _DEFAULT_RETRY_S if ruling.retry_after_s is None else max(0.0, ruling.retry_after_s)
    return [
        (b"retry-after", b"%d" % max(1, math.ceil(seconds))),
        (b"retry-after-ms", b"%d" % math.ceil(seconds * 1000)),
    ]


def _challenge(ruling: Deny) -> bytes:
    """RFC 6750 section 3: no error attribute when no credential was offered."""
    if ruling.code is Code.MISSING_CREDENTIALS:
        return b'Bearer realm="greffier"'
    return b'Bearer realm="greffier", error="invalid_token"'
