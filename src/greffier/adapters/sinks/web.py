"""What the sinks that speak HTTP have in common."""

from collections.abc import Iterable
from typing import Any

import msgspec

from greffier.adapters.http import HttpClient, HttpError
from greffier.audit.sinks import SinkUnavailable

_UNAUTHORISED = (401, 403)
_MAX_SHOWN = 200


class Answer(msgspec.Struct, frozen=True):
    """Status and body of an answer."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            SinkUnavailable: It is none: whatever answered is not the collector.
        """
        try:
            value = msgspec.json.decode(self.body)
        except msgspec.MsgspecError as error:
            raise SinkUnavailable(f"the collector answered {self.status} with something that is not JSON") from error
        if not isinstance(value, dict):
            raise SinkUnavailable(f"the collector answered {self.status} with JSON that is not an object")
        return value


class Post:
    """One request line of a collector."""

    def __init__(self, client: HttpClient, method: str, path: str, headers: Iterable[tuple[str, str]]) -> None:
        self._client = client
        self._head = client.head(method, path, headers)

    async def __call__(self, body: bytes) -> Answer:
        """Send a body.

        Raises:
            SinkUnavailable: The exchange failed, or the collector does not accept who we are.
        """
        try:
            exchange = await self._client.request(self._head, body)
        except HttpError as error:
            raise SinkUnavailable(f"{self._client.origin.authority}: {error}") from error
        answer = Answer(exchange.status, exchange.body())
        if answer.status in _UNAUTHORISED:
            raise SinkUnavailable(f"{self._client.origin.authority} refuses our secret ({answer.status})")
        return answer


def shown(text: object) -> str:
    """A few words of a collector's answer, for the operator. Collectors may quote what we sent: it is cut short."""
    words = text if isinstance(text, str) else msgspec.json.encode(text).decode()
    return "".join(char if char.isprintable() else " " for char in words[:_MAX_SHOWN])
