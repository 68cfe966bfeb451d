"""The provider of the embedded model: the OpenAI-shaped wire format, spoken to our own engine process."""

from collections.abc import AsyncGenerator

from greffier.adapters.http import HttpClient, Origin
from greffier.adapters.providers.errors import unsupported
from greffier.adapters.providers.local.supervisor import EngineAddress, EngineSupervisor
from greffier.adapters.providers.openai_compatible import Endpoints, OpenAICompatible
from greffier.adapters.providers.openai_wire import Dialect
from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse, TextPart
from greffier.core.deployment import Deployment
from greffier.core.errors import Code
from greffier.llm.ports import ProviderError

_CONNECTIONS = 8


class Local:
    """Speaks to the engine wherever it listens now; after a restart of the engine, to its new address.

    Args:
        deployment: What it serves.
        supervisor: Keeps the engine running; owned, stopped with the provider.
        max_answer_bytes: Most bytes of an answer.
        tools: Whether the model's own chat template knows tools.
    """

    def __init__(
        self, deployment: Deployment, supervisor: EngineSupervisor, max_answer_bytes: int, *, tools: bool = False
    ) -> None:
        self._deployment = deployment
        self._supervisor = supervisor
        self._max_answer_bytes = max_answer_bytes
        self._tools = tools
        self._address: EngineAddress | None = None
        self._upstream: OpenAICompatible | None = None

    async def _engine(self) -> OpenAICompatible:
        address = self._supervisor.current or await self._supervisor.ready(self._deployment.timeouts.first_token_s)
        if address is None:
            raise ProviderError(
                Code.UPSTREAM_UNAVAILABLE,
                f"The embedded engine of deployment '{self._deployment.name}' is not running.",
                retryable=True,
            )
        if self._upstream is None or address != self._address:
            if self._upstream is not None:
                await self._upstream.close()
            self._address = address
            self._upstream = self._connect(address)
        return self._upstream

    def _connect(self, address: EngineAddress) -> OpenAICompatible:
        client = HttpClient(
            Origin.parse(address.address + "/v1"),
            timeouts=self._deployment.timeouts,
            max_connections=_CONNECTIONS,
            max_answer_bytes=self._max_answer_bytes,
        )
        return OpenAICompatible(self._deployment, client, address.key, Endpoints(), Dialect())

    def _engine_moved(self, error: ProviderError) -> bool:
        """Whether the engine is being restarted or has a new address, so that asking again makes sense."""
        unreached = error.code is Code.UPSTREAM_UNAVAILABLE and error.upstream_status is None
        return unreached and self._address is not None and self._supervisor.refresh() != self._address

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer in one piece.

        Raises:
            ProviderError: The call failed, or asks for tools or media.
        """
        self._check(request)
        try:
            return await (await self._engine()).complete(request)
        except ProviderError as error:
            if not self._engine_moved(error):
                raise
        return await (await self._engine()).complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer in fragments.

        Raises:
            ProviderError: The call failed, or asks for tools or media.
        """
        self._check(request)
        chunks = (await self._engine()).stream(request)
        try:
            first = await anext(chunks)
        except ProviderError as error:
            if not self._engine_moved(error):
                raise
            chunks = (await self._engine()).stream(request)
            first = await anext(chunks)
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:  # noqa: ARG002 - the port's signature
        """The embedded engine answers chats only.

        Raises:
            ProviderError: Always.
        """
        raise unsupported("embeddings; name a deployment of another provider")

    async def close(self) -> None:
        """Release connections and stop the engine."""
        await self._supervisor.stop()
        if self._upstream is not None:
            await self._upstream.close()

    def _check(self, request: ChatRequest) -> None:
        """Refuse what a model ignores without a word: asked for a tool call, a small one answered in prose."""
        if request.tools and request.tool_choice != "none" and not self._tools:
            raise unsupported("tools; name a deployment whose model was trained for them")
        for message in request.messages:
            if isinstance(message.content, tuple) and not all(isinstance(part, TextPart) for part in message.content):
                raise unsupported("images, audio or files")
