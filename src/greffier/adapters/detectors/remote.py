"""The guard service as a detector: pooled connections, one deadline, a second attempt when the first is slow.

Whatever goes wrong ends in `DetectorError`, so that the screen's ``on_unavailable`` decides as for any detector: a
service that cannot be reached never counts as clean.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from greffier.adapters.http import HttpClient, HttpError, Origin, tls_context
from greffier.core.deployment import Timeouts
from greffier.guardrails.ports import DetectorError, Measured, Passage
from greffier.guardrails.wire import PROTOCOL, MeasureRequest, MeasureResponse

log = logging.getLogger(__name__)

_OK = 200
_MS = 1000
_MAX_ANSWER_BYTES = 268_435_456
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(MeasureResponse).decode


class _NotMeasured(Exception):  # noqa: N818 - never leaves this module
    """One attempt failed."""


class RemoteGuard:
    """`OutsideDetector` over ``greffier guard serve``. Bound to the loop that first uses it.

    Args:
        origin: Where the service listens; only its name where a socket is given.
        socket_path: Unix socket of the service.
        token: Bearer token the service expects; empty for none.
        deadline_ms: Time for all passages of a request.
        hedge_after_ms: When a second attempt starts.
        max_batch: Most passages per call.
        max_connections: Most connections; further calls wait within their deadline.
    """

    name = "guard_service"

    def __init__(
        self,
        origin: Origin,
        *,
        socket_path: str | None = None,
        token: str = "",
        deadline_ms: int,
        hedge_after_ms: int,
        max_batch: int,
        max_connections: int,
    ) -> None:
        self._deadline_s = deadline_ms / _MS
        self._hedge_s = hedge_after_ms / _MS
        self._max_batch = max_batch
        timeouts = Timeouts(self._deadline_s, self._deadline_s, self._deadline_s)
        self._client = HttpClient(
            origin,
            tls=tls_context() if origin.scheme == "https" else None,
            socket_path=socket_path,
            timeouts=timeouts,
            max_connections=max_connections,
            max_answer_bytes=_MAX_ANSWER_BYTES,
        )
        headers = [("content-type", "application/json")]
        if token:
            headers.append(("authorization", f"Bearer {token}"))
        self._head = self._client.head("POST", "/v1/measure", headers)
        self.problem = ""
        self.revision = ""

    async def close(self) -> None:
        """Close connections; those in use when their call is over."""
        await self._client.close()

    async def measure_all(
        self, screen: str, passages: Sequence[Passage], *, scores: bool = False
    ) -> tuple[Measured, ...]:
        """See `OutsideDetector.measure_all`.

        Raises:
            DetectorError: The service did not answer in time, or not usably.
        """
        batches = [passages[at : at + self._max_batch] for at in range(0, len(passages), self._max_batch)]
        try:
            async with asyncio.timeout(self._deadline_s):
                answers = await asyncio.gather(*(self._batch(screen, batch, scores=scores) for batch in batches))
        except TimeoutError:
            raise self._failed(f"no answer within {self._deadline_s * _MS:.0f} ms") from None
        except _NotMeasured as error:
            raise self._failed(str(error)) from error
        if self.problem:
            log.warning("the guard service measures again")
            self.problem = ""
        return tuple(measured for answer in answers for measured in answer)

    def _failed(self, problem: str) -> DetectorError:
        if problem != self.problem:  # once, not per request
            log.error("the guard service does not measure: %s", problem)
            self.problem = problem
        return DetectorError(problem)

    async def _batch(self, screen: str, passages: Sequence[Passage], *, scores: bool) -> tuple[Measured, ...]:
        """Ask; ask again when the first attempt fails, or takes long. The first answer counts."""
        body = _encode(MeasureRequest(PROTOCOL, screen, tuple(passages), scores))
        first = asyncio.create_task(self._attempt(body, passages))
        attempts = {first}
        try:
            done, _ = await asyncio.wait(attempts, timeout=self._hedge_s)
            if not done or first.exception() is not None:
                attempts.add(asyncio.create_task(self._attempt(body, passages)))
            return await _first_good(attempts)
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def _attempt(self, body: bytes, passages: Sequence[Passage]) -> tuple[Measured, ...]:
        try:
            answer = await self._client.request(self._head, body)
        except HttpError as error:
            raise _NotMeasured(str(error)) from None
        data = answer.body()
        if answer.status != _OK:
            raise _NotMeasured(f"it answers {answer.status}: {data[:200].decode('utf-8', 'replace')}")
        try:
            response = _decode(data)
        except msgspec.DecodeError as error:
            raise _NotMeasured(f"its answer cannot be read: {error}") from None
        if response.v != PROTOCOL:
            raise _NotMeasured(f"it speaks protocol {response.v}, we speak {PROTOCOL}")
        _check(response.measured, passages)
        self.revision = response.revision
        return response.measured


def _check(measured: Sequence[Measured], passages: Sequence[Passage]) -> None:
    """An answer that does not fit the question is no answer: spans outside a text would cut the wrong characters."""
    if len(measured) != len(passages):
        raise _NotMeasured(f"it answered {len(measured)} of {len(passages)} passages")
    for answer, passage in zip(measured, passages, strict=True):
        longest = len(passage.text)
        if any(not 0 <= finding.start <= finding.end <= longest for finding in answer.findings):
            raise _NotMeasured("a finding lies outside its text")


async def _first_good(attempts: set[asyncio.Task[tuple[Measured, ...]]]) -> tuple[Measured, ...]:
    waiting = set(attempts)
    error: BaseException | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for attempt in done:
            error = attempt.exception()
            if error is None:
                return attempt.result()
    raise error or _NotMeasured("nobody was asked")
