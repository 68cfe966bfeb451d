"""What the surfaces need from the request path. The pipeline fulfils it; tests drive the surfaces with small ones.

Each ``run`` authenticates first and calls ``decode`` only afterwards, so that a stranger's body is never parsed. Each
may raise `greffier.core.rulings.Refused`, whose ruling the surface renders in the caller's dialect.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from greffier.core.chat import ChatRequest, EmbeddingRequest
from greffier.core.context import Arrival
from greffier.core.rulings import Ruling
from greffier.guardrails.check import CheckRequest, Moderation
from greffier.pipeline.answers import ChatAnswer, ChatStream, EmbedAnswer, ModelCard, ReviewStatus
from greffier.pipeline.asks import FeedbackRequest, ModerationRequest

T = TypeVar("T")
Decode = Callable[[], Ruling[T]]
"""Turns the body that was read into a request, or says what is wrong with it. Pure; called once at most."""


Known = Callable[[Arrival], Awaitable[bool]]
"""Whether the credential of a request may be valid; the pipeline authenticates again, for the record."""


class ChatPort(Protocol):
    """Answers conversations, whatever dialect they came in."""

    async def run(self, arrival: Arrival, decode: Decode[ChatRequest]) -> ChatAnswer | ChatStream:
        """Return a stream when the decoded request asks for one, else a whole answer.

        Cancelling the call is how a caller's hanging up arrives; the pipeline settles and records it.
        """
        ...

    async def count(self, arrival: Arrival, decode: Decode[ChatRequest]) -> int:
        """Estimate the prompt's tokens without calling a model (Anthropic ``count_tokens``)."""
        ...


class EmbedPort(Protocol):
    """Turns texts into vectors."""

    async def run(self, arrival: Arrival, decode: Decode[EmbeddingRequest]) -> EmbedAnswer:
        """One vector per input, in order."""
        ...


class ModelsPort(Protocol):
    """Lists models."""

    async def run(self, arrival: Arrival) -> tuple[ModelCard, ...]:
        """Only the models the caller may use, in a stable order."""
        ...


class CheckPort(Protocol):
    """Runs the guardrails alone, without a model."""

    async def run(self, arrival: Arrival, decode: Decode[CheckRequest]) -> msgspec.Struct:
        """Answer ``/v1/guardrails/check``; the struct is encoded as it stands."""
        ...

    async def moderate(self, arrival: Arrival, decode: Decode[ModerationRequest]) -> tuple[Moderation, ...]:
        """One verdict per input, in order."""
        ...


class FeedbackPort(Protocol):
    """Takes users' verdicts."""

    async def run(self, arrival: Arrival, decode: Decode[FeedbackRequest]) -> dict[str, Any]:
        """Record it durably; return what the caller gets back."""
        ...


class ReviewsPort(Protocol):
    """Tells callers what became of their own reviews."""

    async def run(self, arrival: Arrival, review_id: str) -> ReviewStatus:
        """The state of one review; another caller's does not exist."""
        ...


class Pipelines(msgspec.Struct, frozen=True):
    """The request path under one snapshot, one entry per kind of request.

    Attributes:
        chat: Conversations.
        embed: Vectors.
        models: Listing.
        check: Guardrails alone.
        feedback: Users' verdicts.
        reviews: What reviewers decided.
        known: Asked before more of a body is read than a stranger may have us hold.
        extra_parameters: Non-standard request parameters that the workspace lets through to models.
    """

    chat: ChatPort
    embed: EmbedPort
    models: ModelsPort
    check: CheckPort
    feedback: FeedbackPort
    reviews: ReviewsPort
    known: Known
    extra_parameters: frozenset[str] = frozenset()


class Health(Protocol):
    """What the operator's probes are told: from memory, but for the length of the log, which is not waited for long."""

    def live(self) -> dict[str, Any]:
        """State of this worker for ``/healthz``: version, snapshot, warnings."""
        ...

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker should get traffic, and why not."""
        ...

    async def metrics(self) -> tuple[str, bytes]:
        """Content type and body of ``/metrics`` (Prometheus exposition format)."""
        ...
