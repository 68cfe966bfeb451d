"""The one table that turns what happened at a model's server into a `ProviderError`."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import msgspec

from greffier.adapters.http import Fault, HttpError
from greffier.core.errors import Code
from greffier.llm.ports import ProviderError

_MAX_RETRY_AFTER_S = 86_400.0
_MAX_WORD = 64
_CLIENT_ERRORS = 400
_SERVER_ERRORS = 500
_REDIRECTS = 300


class Then(Enum):
    """What to do after a failure: whether another attempt may succeed, and whether the deployment is to blame."""

    RETRY = (True, True)
    RETRY_BLAMELESS = (True, False)
    GIVE_UP = (False, True)
    CALLER_ERRED = (False, False)


class Meaning(msgspec.Struct, frozen=True):
    """What follows from a failure.

    Attributes:
        code: Stable code.
        then: What to do next.
        reason: What happened, as half a sentence whose subject is the server.
    """

    code: Code
    then: Then
    reason: str


_FAULTS: dict[Fault, Meaning] = {
    Fault.ADDRESS_FORBIDDEN: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "its address is not one we may connect to"),
    Fault.NAME_UNKNOWN: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "its name cannot be resolved"),
    Fault.CONNECT_FAILED: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "it refused the connection"),
    Fault.CONNECT_TIMEOUT: Meaning(Code.UPSTREAM_TIMEOUT, Then.RETRY, "it did not accept a connection in time"),
    Fault.POOL_TIMEOUT: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY_BLAMELESS, "all connections to it are busy"),
    Fault.PROXY_FAILED: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "the proxy did not let us through"),
    Fault.TLS_FAILED: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "the TLS handshake failed"),
    Fault.FIRST_BYTE_TIMEOUT: Meaning(Code.UPSTREAM_TIMEOUT, Then.RETRY, "it did not begin to answer in time"),
    Fault.TOTAL_TIMEOUT: Meaning(Code.UPSTREAM_TIMEOUT, Then.RETRY, "it did not finish its answer in time"),
    Fault.CLOSED_UNANSWERED: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "it closed the connection unanswered"),
    Fault.CLOSED_MIDWAY: Meaning(Code.UPSTREAM_TRUNCATED, Then.RETRY, "it broke off in mid-answer"),
    Fault.NOT_HTTP: Meaning(Code.UPSTREAM_MALFORMED, Then.RETRY, "it does not speak HTTP/1.1"),
    Fault.TOO_LARGE: Meaning(Code.UPSTREAM_TOO_LARGE, Then.GIVE_UP, "its answer is larger than we accept"),
    Fault.HEADERS_TOO_LARGE: Meaning(Code.UPSTREAM_TOO_LARGE, Then.GIVE_UP, "its headers are larger than we accept"),
    Fault.ENCODED: Meaning(Code.UPSTREAM_MALFORMED, Then.RETRY, "it compressed its answer unasked"),
}

_REJECTED = Meaning(Code.UPSTREAM_REJECTED, Then.CALLER_ERRED, "it refused the request")
_STATUSES: dict[int, Meaning] = {
    401: Meaning(Code.UPSTREAM_AUTHENTICATION, Then.RETRY, "it refused our secret"),
    402: Meaning(Code.UPSTREAM_AUTHENTICATION, Then.RETRY, "it asks for payment"),
    403: Meaning(Code.UPSTREAM_AUTHENTICATION, Then.RETRY, "it does not permit us this"),
    404: Meaning(Code.UPSTREAM_MALFORMED, Then.RETRY, "it does not know the model or the path"),
    408: Meaning(Code.UPSTREAM_TIMEOUT, Then.RETRY, "it ran out of time"),
    409: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "it reported a conflict"),
    425: Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "it is not ready"),
    429: Meaning(Code.UPSTREAM_RATE_LIMITED, Then.RETRY, "it is limiting us"),
    504: Meaning(Code.UPSTREAM_TIMEOUT, Then.RETRY, "it ran out of time"),
}
_FAILED = Meaning(Code.UPSTREAM_UNAVAILABLE, Then.RETRY, "it failed")
_REDIRECTED = Meaning(Code.UPSTREAM_MALFORMED, Then.RETRY, "it answered with a redirect, which we never follow")
_UNEXPECTED = Meaning(Code.UPSTREAM_MALFORMED, Then.RETRY, "it answered with an unexpected status")
_CONTEXT = Meaning(
    Code.CONTEXT_LENGTH_EXCEEDED, Then.CALLER_ERRED, "the conversation does not fit the model's context window"
)

_CONTEXT_SIGNS = (
    "context length",
    "context_length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "exceed context",
    "exceeds the context",
)

# Types and codes of error bodies and error frames that arrive with status 200, in both dialects.
_FRAME_STATUSES = {
    "overloaded_error": 529,
    "overloaded": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "billing_error": 402,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "request_too_large": 413,
    "timeout_error": 504,
}


def from_fault(error: HttpError) -> ProviderError:
    """Translate a failure on the wire."""
    meaning = _FAULTS.get(error.fault, _FAILED)
    detail = f" ({error.detail})" if error.detail else ""
    return _build(meaning, detail)


def malformed(what: str) -> ProviderError:
    """An answer that cannot be understood; ``what`` says why, without quoting it."""
    return ProviderError(Code.UPSTREAM_MALFORMED, f"The model's server sent {what}.", retryable=True)


def truncated(what: str) -> ProviderError:
    """An answer that ended too early."""
    return ProviderError(Code.UPSTREAM_TRUNCATED, f"The model's server {what}.", retryable=True)


def unsupported(what: str) -> ProviderError:
    """A request that this provider's wire format cannot express."""
    return ProviderError(
        Code.UNSUPPORTED_PARAMETER,
        f"The deployment's provider cannot express {what}.",
        retryable=False,
        counts_against_health=False,
    )


def from_status(status: int, headers: dict[bytes, str], body: bytes) -> ProviderError:
    """Translate an HTTP error answer. The body's words choose the code; its prose goes no further.

    Servers echo parts of the prompt in their messages (vLLM repeats the offending input), and the prompt holds text
    that callers must not read. So only the server's own short identifiers are passed on.
    """
    words = _error_words(body)
    return _from_words(status, words, _retry_after(headers))


def from_error_object(error: Any) -> ProviderError:
    """Translate an error object that came with status 200 or inside a stream."""
    words = _words_of(error)
    status = next((_FRAME_STATUSES[word] for word in words.values() if word in _FRAME_STATUSES), _SERVER_ERRORS)
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and _CLIENT_ERRORS <= code < _SERVER_ERRORS + 100:
        status = code
    return _from_words(status, words, None, in_band=True)


def _from_words(
    status: int, words: dict[str, str], retry_after_s: float | None, *, in_band: bool = False
) -> ProviderError:
    if status < _REDIRECTS:
        meaning = _UNEXPECTED
    elif status < _CLIENT_ERRORS:
        meaning = _REDIRECTED
    elif status < _SERVER_ERRORS:
        meaning = _STATUSES.get(status, _REJECTED)
    else:
        meaning = _STATUSES.get(status, _FAILED)
    if _CLIENT_ERRORS <= status < _SERVER_ERRORS and _is_context(words):
        meaning = _CONTEXT
    named = [f"{key} {words[key]}" for key in ("code", "type", "param") if _is_identifier(words.get(key, ""))]
    detail = ", ".join([*([] if in_band else [f"HTTP {status}"]), *named])
    return _build(meaning, f" ({detail})" if detail else "", status=None if in_band else status, after=retry_after_s)


def _build(meaning: Meaning, detail: str, *, status: int | None = None, after: float | None = None) -> ProviderError:
    retryable, blamed = meaning.then.value
    return ProviderError(
        meaning.code,
        f"The call to the model's server failed: {meaning.reason}{detail}.",
        retryable=retryable,
        counts_against_health=blamed,
        upstream_status=status,
        retry_after_s=after,
    )


def _error_words(body: bytes) -> dict[str, str]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return _words_of(document.get("error", document))


def _words_of(error: Any) -> dict[str, str]:
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    return {key: value for key in ("code", "type", "param", "message") if isinstance(value := error.get(key), str)}


def _is_context(words: dict[str, str]) -> bool:
    text = f"{words.get('code', '')} {words.get('type', '')} {words.get('message', '')}".lower()
    return any(sign in text for sign in _CONTEXT_SIGNS)


def _is_identifier(word: str) -> bool:
    return 0 < len(word) <= _MAX_WORD and word.isascii() and all(char.isalnum() or char in "_.-[]" for char in word)


def _retry_after(headers: dict[bytes, str]) -> float | None:
    milliseconds = _number(headers.get(b"retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, _MAX_RETRY_AFTER_S)
    text = headers.get(b"retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        seconds = _seconds_until(text)
    return None if seconds is None else min(seconds, _MAX_RETRY_AFTER_S)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _seconds_until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
