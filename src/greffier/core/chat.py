"""The canonical conversation: OpenAI-chat-shaped, because every provider and SDK can be translated to and from it.

Requests decode straight from the wire into these types and encode straight back, so the hot path builds each message
once. Other dialects (Anthropic Messages, OpenAI Responses) are translated at the edge.
"""

from typing import Any, Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A piece of text inside a message."""

    text: str


class ImageUrl(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image is: an ``https:`` or ``data:`` URL."""

    url: str
    detail: str | None = None


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image inside a message."""

    image_url: ImageUrl


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Audio inside a message, passed through untouched."""

    input_audio: dict[str, Any]


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A file inside a message, passed through untouched."""

    file: dict[str, Any]


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    """A refusal the model gave earlier in the conversation."""

    refusal: str


Part = TextPart | ImagePart | AudioPart | FilePart | RefusalPart


class FunctionCall(msgspec.Struct, frozen=True):
    """Name and JSON-encoded arguments of a call the model asked for."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call the model asked for."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of the conversation."""

    role: Role
    content: str | tuple[Part, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class FunctionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool offered to the model."""

    function: FunctionSpec
    type: Literal["function"] = "function"


class ChatRequest(msgspec.Struct, frozen=True):
    """A conversation to continue.

    Attributes:
        model: Model name as the caller asked for it.
        messages: The turns, oldest first.
        stream: Whether the caller wants server-sent events.
        include_usage: Whether the caller wants the usage chunk at the end of a stream.
        max_tokens: Upper bound on generated tokens, if the caller set one.
        tools: Tools offered to the model.
        tool_choice: ``auto``, ``none``, ``required`` or a named function, as on the wire.
        response_format: ``{"type": "json_schema", ...}`` as on the wire.
        params: Sampling and other parameters passed on verbatim (``temperature``, ``seed``, ``stop``, ``n``...).
        end_user: The caller's own reference to its end user; kept as a keyed hash in records.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    params: dict[str, Any] = {}
    end_user: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens in disjoint buckets.

    Attributes:
        input_tokens: Prompt tokens that were not read from a cache.
        output_tokens: Generated tokens, reasoning included.
        cached_tokens: Prompt tokens read from the provider's cache.
        cache_write_tokens: Prompt tokens written to the provider's cache.
        reasoning_tokens: Part of ``output_tokens`` the caller does not see.
        estimated: True when the provider gave no numbers and we counted.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, however they were billed."""
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.output_tokens


class Choice(msgspec.Struct, frozen=True):
    """One answer."""

    message: Message
    finish_reason: FinishReason | None = "stop"
    index: int = 0
    logprobs: Any = None


class ChatResponse(msgspec.Struct, frozen=True):
    """What the model answered.

    Attributes:
        id: The provider's identifier.
        model: The model name the provider reported.
        choices: One or more answers.
        usage: Tokens used, or None when the provider did not say.
        created: Unix time in seconds.
        system_fingerprint: As reported by the provider.
    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int = 0
    system_fingerprint: str | None = None


class FunctionDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fragment of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fragment of a tool call; ``id`` and the name come with the first fragment only."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class ChatChunk(msgspec.Struct, frozen=True):
    """A fragment of a streamed answer.

    Attributes:
        text: Text added to the answer.
        refusal: Text added to the model's refusal.
        tool_calls: Fragments of tool calls.
        finish_reason: Set on the last fragment of a choice.
        usage: Set on the chunk that carries the tokens.
        index: Which choice.
        id: The provider's identifier.
        model: The model name the provider reported.
        logprobs: As on the wire.
    """

    text: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    index: int = 0
    id: str = ""
    model: str = ""
    logprobs: Any = None


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Texts to turn into vectors."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    end_user: str | None = None


class EmbeddingResponse(msgspec.Struct, frozen=True):
    """One vector per input, in order; floats, or base64 of little-endian float32 when asked for."""

    model: str
    vectors: tuple[list[float] | str, ...]
    usage: Usage | None = None
