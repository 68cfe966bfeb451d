"""A detector of the operator's own behind HTTP.

It is asked ``{"screen", "passages": [{"text", "provenance", "lang"}]}`` and answers
``{"results": [{"findings": [{"type", "start", "end", "score"}]}]}``, one result per passage, offsets in code points.
Whatever is not such an answer means that nothing was measured.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from greffier.adapters.http import HttpClient, HttpError, Origin, tls_context
from greffier.core.deployment import Timeouts
from greffier.core.rulings import Finding
from greffier.guardrails.ports import DetectorError, Measured, Passage

_OK = 200
_encode = msgspec.json.Encoder().encode


class _Found(msgspec.Struct, frozen=True):
    type: str
    start: int
    end: int
    score: float
    rule: str = ""
    data_class: str = ""


class _Result(msgspec.Struct, frozen=True):
    findings: tuple[_Found, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...]


_decode = msgspec.json.Decoder(_Answer).decode


class HttpDetector:
    """`OutsideDetector` over an operator's service.

    Args:
        name: As screens name it.
        client: Connections to it; the prefix of its origin is the whole path.
        token: Bearer token; empty for none.
        types: Types it may report.
        timeout_s: For all passages of a request.
        max_chars: Longest text it takes.
    """

    def __init__(
        self,
        name: str,
        client: HttpClient,
        *,
        token: str,
        types: Sequence[str],
        timeout_s: float,
        max_chars: int,
    ) -> None:
        self.name = name
        self._client = client
        self._types = frozenset(types)
        self._timeout_s = timeout_s
        self._max_chars = max_chars
        headers = [("content-type", "application/json")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        self._head = client.head("POST", "" if client.origin.prefix else "/", headers)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def measure_all(
        self, screen: str, passages: Sequence[Passage], *, scores: bool = False
    ) -> tuple[Measured, ...]:
        """See `OutsideDetector.measure_all`.

        Raises:
            DetectorError: It did not answer in time, or not usably.
        """
        if any(len(passage.text) > self._max_chars for passage in passages):
            raise DetectorError(f"{self.name}: a text is longer than {self._max_chars} characters")
        body = _encode({"screen": screen, "passages": passages})
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.request(self._head, body)
        except (HttpError, TimeoutError) as error:
            raise DetectorError(f"{self.name}: {str(error) or 'no answer in time'}") from None
        if answer.status != _OK:
            raise DetectorError(f"{self.name}: it answers {answer.status}")
        try:
            results = _decode(answer.body()).results
        except msgspec.DecodeError as error:
            raise DetectorError(f"{self.name}: its answer cannot be read: {error}") from None
        if len(results) != len(passages):
            raise DetectorError(f"{self.name}: it answered {len(results)} of {len(passages)} passages")
        return tuple(
            Measured(
                tuple(self._finding(found, passage) for found in result.findings),
                scores={found.type: found.score for found in result.findings} if scores else {},
            )
            for result, passage in zip(results, passages, strict=True)
        )

    def _finding(self, found: _Found, passage: Passage) -> Finding:
        if found.type not in self._types:
            raise DetectorError(f"{self.name}: it reports a type that the workspace does not list")
        if not (0 <= found.start <= found.end <= len(passage.text) and 0 <= found.score <= 1):
            raise DetectorError(f"{self.name}: a finding lies outside its text, or its score outside 0 to 1")
        return Finding(
            self.name,
            found.type,
            found.start,
            found.end,
            found.score,
            rule=found.rule[:64],
            data_class=found.data_class,
        )


def http_client(url: str, timeout_s: float, max_connections: int = 16) -> HttpClient:
    """A client for an operator's service.

    Raises:
        BadUrl: The URL cannot be used.
    """
    origin = Origin.parse(url)
    tls = tls_context() if origin.scheme == "https" else None
    timeouts = Timeouts(timeout_s, timeout_s, timeout_s)
    return HttpClient(origin, tls=tls, timeouts=timeouts, max_connections=max_connections)
