"""What the pipeline hands to the surfaces: screened, recorded, and with the headers that go out beside it."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import msgspec

from greffier.core.chat import ChatChunk, ChatResponse, EmbeddingResponse

Headers = tuple[tuple[str, str], ...]
"""Response headers, names in lower case: ``x-ratelimit-*``, ``x-greffier-*``."""


class ChatAnswer(msgspec.Struct, frozen=True):
    """A whole answer. Its outcome is already durable."""

    response: ChatResponse
    headers: Headers = ()


class ChatStream:
    """An answer in fragments that have passed the output screen.

    Iterating raises `greffier.core.rulings.Refused` when the answer is stopped in its middle. Whoever takes a stream
    closes it, on every path; closing early is how a caller's hanging up reaches the model's server and the record.

    Attributes:
        headers: Response headers, known before the first fragment.
    """

    __slots__ = ("_abandoned", "_chunks", "headers")

    def __init__(
        self,
        chunks: AsyncGenerator[ChatChunk, None],
        headers: Headers = (),
        abandoned: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._chunks = chunks
        self._abandoned = abandoned
        self.headers = headers

    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        return self._chunks

    async def aclose(self) -> None:
        """Stop the call, settle and record. Closing a finished or closed stream does nothing."""
        await self._chunks.aclose()
        if self._abandoned is not None:  # closing a generator that never started runs none of its body
            await self._abandoned()


class EmbedAnswer(msgspec.Struct, frozen=True):
    """Vectors, in the order of the inputs."""

    response: EmbeddingResponse
    headers: Headers = ()


class ModelCard(msgspec.Struct, frozen=True):
    """A model the caller may use.

    Attributes:
        id: Name to ask for.
        created: Unix time in seconds.
        owned_by: Who runs it, as the workspace says.
        title: Name for people.
    """

    id: str
    created: int
    owned_by: str
    title: str = ""


class ReviewStatus(msgspec.Struct, frozen=True):
    """What a caller may know about a review; who decided, and why, stays with the operator.

    Attributes:
        id: The review.
        status: ``pending``, ``approved``, ``rejected`` or ``expired``.
        code: Why the request was held: ``escalated`` or ``approval_required``.
        opened_ms: When, milliseconds since the epoch.
        deadline_ms: An undecided review expires then.
        decided_ms: When it was decided; 0 before.
        used: Whether the approval has been used.
    """

    id: str
    status: str
    code: str
    opened_ms: int
    deadline_ms: int
    decided_ms: int = 0
    used: bool = False
    object: str = "review"
