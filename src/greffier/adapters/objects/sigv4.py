"""AWS Signature Version 4 for S3: the request's method, path, query, headers and body digest under a key of the day.

Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference; its examples are our tests.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "s3"


class Credentials(msgspec.Struct, frozen=True):
    """An access key. Its ``repr`` shows no secret."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"


def encoded_path(path: str) -> str:
    """A path as S3 signs it: every octet but the unreserved ones and the slash is percent-encoded, once."""
    return quote(path, safe="/-_.~")


def encoded_query(parameters: Sequence[tuple[str, str]]) -> str:
    """A query as it is signed and sent: encoded and in order."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parameters)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed_headers(  # noqa: PLR0917 - the parts of a request, in the order in which they are signed
    credentials: Credentials,
    region: str,
    at_ms: int,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
) -> list[tuple[str, str]]:
    """The headers to send besides ``host``: those given, digest and date, and the signature over all of them.

    Args:
        credentials: Whose request it is.
        region: Of the bucket.
        at_ms: Time of the request; servers refuse what is a quarter of an hour off.
        method: HTTP method.
        host: Value of the ``host`` header.
        path: Encoded path.
        query: Encoded query in order, without the question mark.
        headers: Further headers, names in lower case.
        body: The body.
    """
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    token = [("x-amz-security-token", credentials.session_token)] if credentials.session_token else []
    sent = sorted([*headers, *token, ("x-amz-content-sha256", digest), ("x-amz-date", moment)])
    lines = sorted([("host", host), *sent])
    names = ";".join(name for name, _ in lines)
    canonical = "\n".join(
        [method, path, query, *(f"{name}:{' '.join(value.split())}" for name, value in lines), "", names, digest]
    )
    scope = f"{moment[:8]}/{region}/{_SERVICE}/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (moment[:8], region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    said = f"{_ALGORITHM} Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return [*sent, ("authorization", said)]
