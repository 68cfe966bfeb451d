"""Call the model: the chosen deployment first, then its permitted stand-ins, within the retry budget."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from greffier.boundary.trail import Trail
from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse
from greffier.core.context import Route
from greffier.core.deployment import Deployment
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.llm.ports import Provider, ProviderError
from greffier.router.health import HealthBoard

T = TypeVar("T")

_PASSING = frozenset(
    {Code.UPSTREAM_UNAVAILABLE, Code.UPSTREAM_TIMEOUT, Code.UPSTREAM_RATE_LIMITED, Code.UPSTREAM_TRUNCATED}
)
"""Errors that the same server may not repeat; the others are worth another server's try only."""
_LONGEST_WAIT_S = 5.0  # a caller is better told to come back than kept waiting longer for a server that asks for it


class Called(msgspec.Struct, frozen=True):
    """A plain answer and the deployment that gave it."""

    deployment: Deployment
    response: ChatResponse


class Embedded(msgspec.Struct, frozen=True):
    """Vectors and the deployment that made them."""

    deployment: Deployment
    response: EmbeddingResponse


class Opened(msgspec.Struct, frozen=True):
    """A stream whose first fragment has arrived: from here on there is no way back to another deployment."""

    deployment: Deployment
    first: ChatChunk
    rest: AsyncIterator[ChatChunk]
    opened_us: int


class Caller:
    """Tries the candidates of a route in order. Only deployments the router permitted are ever called."""

    def __init__(self, providers: Mapping[str, Provider], health: HealthBoard, timeout_s: float) -> None:
        """Name the collaborators.

        Args:
            providers: By deployment.
            health: Told how each call went.
            timeout_s: Seconds for all attempts of a request together; a stream's opening counts, its rest does not.
        """
        self._providers = providers
        self._health = health
        self._timeout_s = timeout_s

    async def complete(self, route: Route, request: ChatRequest, trail: Trail) -> Ruling[Called]:
        """Get a plain answer."""

        async def attempt(deployment: Deployment) -> Called:
            return Called(deployment, await self._providers[deployment.name].complete(_bounded(request, deployment)))

        return await self._try(route, trail, attempt)

    async def embed(self, route: Route, request: EmbeddingRequest, trail: Trail) -> Ruling[Embedded]:
        """Get vectors."""

        async def attempt(deployment: Deployment) -> Embedded:
            return Embedded(deployment, await self._providers[deployment.name].embed(request))

        return await self._try(route, trail, attempt)

    async def open(self, route: Route, request: ChatRequest, trail: Trail) -> Ruling[Opened]:
        """Open a stream and wait for its first fragment."""

        async def attempt(deployment: Deployment) -> Opened:
            began = time.perf_counter_ns()
            chunks = self._providers[deployment.name].stream(_bounded(request, deployment))
            first = await anext(chunks, None)
            if first is None:
                raise ProviderError(Code.UPSTREAM_TRUNCATED, "The model's server sent an empty stream.", retryable=True)
            return Opened(deployment, first, chunks, (time.perf_counter_ns() - began) // 1000)

        return await self._try(route, trail, attempt)

    def broke_off(self, opened: Opened) -> None:
        """Count a stream that failed after its first fragment against the deployment's health."""
        self._health.report(opened.deployment.name, ok=False, latency_s=0.0)

    async def _try(self, route: Route, trail: Trail, attempt: Callable[[Deployment], Awaitable[T]]) -> Ruling[T]:
        """Call candidates in order until one answers; the last error is the ruling if none does."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._in_order(route, trail, attempt)
        except TimeoutError:
            if trail.cut_off:
                self._health.report(trail.cut_off, ok=False, latency_s=0.0)
            reason = f"No deployment answered within {self._timeout_s:g} s."
            return Deny(Code.UPSTREAM_TIMEOUT, "builtin:request-timeout", reason)

    async def _in_order(self, route: Route, trail: Trail, attempt: Callable[[Deployment], Awaitable[T]]) -> Ruling[T]:
        result = await self._once(route.candidates[0], trail, attempt)
        number = 1
        while isinstance(result, ProviderError) and number < route.attempts:
            if not result.retryable or not self._health.may_retry(route.model):
                break
            if number >= len(route.candidates) and not await self._pause(route, number, result):
                break
            deployment = route.candidates[min(number, len(route.candidates) - 1)]
            result = await self._once(deployment, trail, attempt)
            number += 1
        return denial(result) if isinstance(result, ProviderError) else result

    async def _once(
        self, deployment: Deployment, trail: Trail, attempt: Callable[[Deployment], Awaitable[T]]
    ) -> Allow[T] | ProviderError:
        """Make one call and tell the record and the breakers how it went."""
        began = time.perf_counter_ns()
        try:
            value = await attempt(deployment)
        except ProviderError as error:
            us = (time.perf_counter_ns() - began) // 1000
            trail.attempted(deployment.name, "failed", us, str(error.code))
            well = not error.counts_against_health  # a server that refuses a bad request is well: it answered
            self._health.report(deployment.name, well, us / 1e6, error.retry_after_s)
            return error
        except asyncio.CancelledError:
            trail.attempted(deployment.name, "cancelled", (time.perf_counter_ns() - began) // 1000)
            raise
        us = (time.perf_counter_ns() - began) // 1000
        trail.attempted(deployment.name, "answered", us)
        self._health.report(deployment.name, ok=True, latency_s=us / 1e6)
        return Allow(value, rule=f"deployment:{deployment.name}")

    async def _pause(self, route: Route, number: int, error: ProviderError) -> bool:
        """Give the last candidate a moment before it is called again; False if that makes no sense."""
        wait = max(self._health.backoff_s(route.model, number), error.retry_after_s or 0.0)
        if error.code not in _PASSING or wait > _LONGEST_WAIT_S:
            return False
        await asyncio.sleep(wait)
        return True


def denial(error: ProviderError) -> Deny:
    """The refusal that a failed call becomes."""
    return Deny(error.code, "builtin:upstream", error.reason, error.remedy, retry_after_s=error.retry_after_s)


def _bounded(request: ChatRequest, deployment: Deployment) -> ChatRequest:
    """Cap the answer, so that what was reserved is a true upper bound of what can be spent."""
    if request.max_tokens is not None:
        return request
    return msgspec.structs.replace(request, max_tokens=deployment.max_output_tokens)
