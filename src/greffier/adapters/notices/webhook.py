"""Signed notices over HTTPS (Standard Webhooks): the recipient can tell that they are ours, and drop repeated ones.

The signature is HMAC-SHA256 over ``id.timestamp.body`` under the shared secret, in base64, as ``v1,...`` in the header
``webhook-signature``. Source: the specification at github.com/standard-webhooks/standard-webhooks.
"""

import base64
import binascii
import hmac
from http import HTTPStatus

from greffier.adapters.http import BadHeader, BadUrl, HttpClient, HttpError, Origin, tls_context
from greffier.core.deployment import Timeouts

_PREFIX = "whsec_"
_TIMEOUTS = Timeouts(connect_s=5.0, first_token_s=20.0, total_s=30.0)
_MOST_BYTES = 65_536
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class NotTold(Exception):  # noqa: N818 - named for the condition
    """A recipient was not told. The message says why, and holds neither secret nor body."""


def signature(secret: str, identifier: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``. A secret of the form ``whsec_BASE64`` stands for the bytes it encodes."""
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise NotTold("the secret begins with whsec_ and is not base64") from error
    mac = hmac.digest(key, f"{identifier}.{timestamp_s}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(mac).decode()}"


async def post(  # noqa: PLR0917 - where, under what, and what
    url: str,
    secret: str,
    tls_files: tuple[str | None, str | None, str | None],
    identifier: str,
    timestamp_s: int,
    body: bytes,
) -> None:
    """Send a notice; return once the recipient has acknowledged it with 2xx.

    Args:
        url: The workspace's address of the recipient; redirects are not followed.
        secret: Shared with the recipient.
        tls_files: Authority, client certificate and key (PEM text), each or None.
        identifier: Of the notice, equal for repeated deliveries.
        timestamp_s: When it is sent, Unix time.
        body: JSON.

    Raises:
        NotTold: It was not acknowledged.
    """
    try:
        origin = Origin.parse(url)
        if origin.scheme == "http" and origin.host not in _LOOPBACK:
            raise NotTold("the address is not https")
        context = tls_context(*tls_files) if origin.scheme == "https" else None
        client = HttpClient(origin, tls=context, timeouts=_TIMEOUTS, max_connections=1, max_answer_bytes=_MOST_BYTES)
        headers = (
            ("content-type", "application/json"),
            ("user-agent", "greffier"),
            ("webhook-id", identifier),
            ("webhook-timestamp", str(timestamp_s)),
            ("webhook-signature", signature(secret, identifier, timestamp_s, body)),
        )
        head = client.head("POST", "" if origin.prefix else "/", headers)
    except (BadUrl, BadHeader, OSError) as error:
        raise NotTold(f"the webhook cannot be used: {error}") from error
    try:
        answer = await client.request(head, body)
    except HttpError as error:
        raise NotTold(f"{origin.authority}: {error}") from error
    finally:
        await client.close()
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotTold(f"{origin.authority} answered {answer.status}")
