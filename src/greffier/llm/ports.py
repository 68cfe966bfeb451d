"""The provider port: what it takes to call a model somewhere."""

from collections.abc import AsyncIterator
from typing import Protocol

from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse
from greffier.core.errors import Code, GreffierError


class ProviderError(GreffierError):
    """A call to a model's server failed. The adapter translates every foreign exception to this one, in one table.

    Attributes:
        retryable: Whether another attempt, here or at a fallback, may succeed.
        counts_against_health: Whether the circuit breaker should count it (a caller's bad request should not).
        upstream_status: HTTP status the server gave, if any.
    """

    def __init__(
        self,
        code: Code,
        reason: str,
        *,
        retryable: bool,
        counts_against_health: bool = True,
        upstream_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code, reason, retry_after_s=retry_after_s)
        self.retryable = retryable
        self.counts_against_health = counts_against_health
        self.upstream_status = upstream_status


class Provider(Protocol):
    """One deployment's server. Called after admission is durable, and only with a deployment the router permitted.

    Implementations: one instance per deployment, holding its secret, connection pool and wire format. They enforce the
    deployment's timeouts and a byte limit on answers, and never follow redirects.
    """

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer in one piece.

        Raises:
            ProviderError: The call failed; says whether a retry makes sense.
        """
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Answer in fragments. A stream that ends without a finish reason raises ``UPSTREAM_TRUNCATED``.

        Closing the iterator closes the upstream connection.

        Raises:
            ProviderError: From the first ``anext`` on.
        """
        ...

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Turn texts into vectors.

        Raises:
            ProviderError: The call failed.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
