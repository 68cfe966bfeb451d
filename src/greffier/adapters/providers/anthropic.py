"""Servers that speak Anthropic's Messages API."""

from collections.abc import AsyncGenerator

import msgspec

from greffier.adapters.http import HttpClient, HttpError
from greffier.adapters.providers.errors import from_error_object, from_fault, malformed, truncated, unsupported
from greffier.adapters.providers.streams import EventReader
from greffier.adapters.providers.wire import read_answer
from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse
from greffier.core.deployment import Deployment
from greffier.llm.anthropic_wire import (
    AnthropicAnswer,
    AnthropicErrorEvent,
    AnthropicStreamDecoder,
    WireError,
    request_to_anthropic,
    response_from_anthropic,
    wants_json,
)

_VERSION = "2023-06-01"
_ENCODER = msgspec.json.Encoder()
_ANSWER: msgspec.json.Decoder[AnthropicAnswer] = msgspec.json.Decoder(AnthropicAnswer)


class Anthropic:
    """A provider in Anthropic's wire format.

    Args:
        deployment: What it serves.
        client: Connections to its server; owned, closed with the provider.
        secret: API key.
    """

    def __init__(self, deployment: Deployment, client: HttpClient, secret: str) -> None:
        self._model = deployment.model
        self._max_tokens = deployment.max_output_tokens
        self._client = client
        path = "/messages" if client.origin.prefix.endswith("/v1") else "/v1/messages"
        headers = [
            ("user-agent", "greffier"),
            ("content-type", "application/json"),
            ("anthropic-version", _VERSION),
            ("x-api-key", secret),
        ]
        self._head = client.head("POST", path, [("accept", "application/json"), *headers])
        self._stream_head = client.head("POST", path, [("accept", "text/event-stream"), *headers])

    def _encode(self, request: ChatRequest, *, stream: bool) -> bytes:
        try:
            return _ENCODER.encode(request_to_anthropic(request, self._model, self._max_tokens, stream=stream))
        except WireError as error:
            raise unsupported(f"'{error.param}': {error.reason}") from None

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer in one piece.

        Raises:
            ProviderError: The call failed, or the request cannot be expressed.
        """
        body = self._encode(request, stream=False)
        try:
            exchange = await self._client.request(self._head, body)
        except HttpError as error:
            raise from_fault(error) from None
        answer = read_answer(exchange, _ANSWER)
        if answer.error:
            raise from_error_object(answer.error)
        if answer.type != "message" or answer.content is None:
            raise malformed("something else than a message")
        if answer.stop_reason is None:
            raise truncated("left its answer without a stop reason")
        return response_from_anthropic(answer, json_answer=wants_json(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer in fragments; closing the iterator closes the connection.

        Raises:
            ProviderError: The call failed, or the request cannot be expressed.
        """
        decoder = AnthropicStreamDecoder(json_answer=wants_json(request))
        events = await EventReader.open(self._client, self._stream_head, self._encode(request, stream=True))
        try:
            while not decoder.stopped and (batch := await events.read()) is not None:
                for event in batch:
                    for chunk in _feed(decoder, event.data):
                        yield chunk
            if decoder.stopped:
                events.finish()
        finally:
            events.close()
        if not decoder.complete:
            raise truncated("ended its stream before the answer was finished")
        if (usage := decoder.finish()) is not None:
            yield usage

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:  # noqa: ARG002 - the port's signature
        """Anthropic has no embeddings.

        Raises:
            ProviderError: Always.
        """
        raise unsupported("embeddings; name a deployment of another provider")

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()


def _feed(decoder: AnthropicStreamDecoder, data: bytes) -> list[ChatChunk]:
    try:
        return decoder.feed(data)
    except AnthropicErrorEvent as event:
        raise from_error_object(event.error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed("a stream event that cannot be read") from None
