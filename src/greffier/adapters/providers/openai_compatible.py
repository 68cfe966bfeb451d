"""Servers that speak OpenAI's API: OpenAI, Azure OpenAI, vLLM, SGLang, Ollama, llama.cpp, Mistral and the like."""

from collections.abc import AsyncGenerator

import msgspec

from greffier.adapters.http import HttpClient, HttpError
from greffier.adapters.providers.errors import from_fault
from greffier.adapters.providers.openai_wire import (
    ANSWER,
    EMBEDDINGS,
    ChunkReader,
    Dialect,
    embeddings_of,
    encode_chat,
    encode_embedding,
    response_of,
)
from greffier.adapters.providers.streams import EventReader
from greffier.adapters.providers.wire import read_answer
from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse
from greffier.core.deployment import Deployment

_DONE = b"[DONE]"
_USER_AGENT = "greffier"


class Endpoints(msgspec.Struct, frozen=True):
    """Paths below the base URL, and how the secret is shown.

    Attributes:
        chat: Path of chat completions, with its query.
        embeddings: Path of embeddings, with its query.
        key_header: ``authorization`` (bearer) or ``api-key``.
    """

    chat: str = "/chat/completions"
    embeddings: str = "/embeddings"
    key_header: str = "authorization"


class OpenAICompatible:
    """A provider in OpenAI's wire format.

    Args:
        deployment: What it serves.
        client: Connections to its server; owned, closed with the provider.
        secret: API key, or empty for servers that want none.
        endpoints: Paths and key header.
        dialect: Peculiarities of the wire format.
    """

    def __init__(
        self,
        deployment: Deployment,
        client: HttpClient,
        secret: str,
        endpoints: Endpoints,
        dialect: Dialect,
    ) -> None:
        self._model = deployment.model
        self._max_tokens = deployment.max_output_tokens
        self._client = client
        self._dialect = dialect
        headers = [("user-agent", _USER_AGENT), ("content-type", "application/json")]
        if secret:
            value = f"Bearer {secret}" if endpoints.key_header == "authorization" else secret
            headers.append((endpoints.key_header, value))
        as_json = [("accept", "application/json"), *headers]
        as_events = [("accept", "text/event-stream"), *headers]
        self._chat_head = client.head("POST", endpoints.chat, as_json)
        self._stream_head = client.head("POST", endpoints.chat, as_events)
        self._embed_head = client.head("POST", endpoints.embeddings, as_json)

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer in one piece.

        Raises:
            ProviderError: The call failed.
        """
        body = encode_chat(request, self._model, self._max_tokens, self._dialect, stream=False)
        try:
            exchange = await self._client.request(self._chat_head, body)
        except HttpError as error:
            raise from_fault(error) from None
        return response_of(read_answer(exchange, ANSWER))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer in fragments; closing the iterator closes the connection.

        Raises:
            ProviderError: The call failed.
        """
        body = encode_chat(request, self._model, self._max_tokens, self._dialect, stream=True)
        reader = ChunkReader()
        events = await EventReader.open(self._client, self._stream_head, body)
        try:
            done = False
            while not done and (batch := await events.read()) is not None:
                for event in batch:
                    if event.data == _DONE:
                        done = True
                        events.finish()
                        break
                    for chunk in reader.read(event.data):
                        yield chunk
        finally:
            events.close()
        if (usage := reader.finish()) is not None:
            yield usage

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Turn texts into vectors.

        Raises:
            ProviderError: The call failed.
        """
        try:
            exchange = await self._client.request(self._embed_head, encode_embedding(request, self._model))
        except HttpError as error:
            raise from_fault(error) from None
        return embeddings_of(read_answer(exchange, EMBEDDINGS), request)

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()
