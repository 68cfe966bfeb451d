"""Shapes of the Anthropic Messages API (docs.claude.com, API reference, version 2023-06-01)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greffier.core.chat import FinishReason, Usage

Tokens = Annotated[int, Meta(ge=0, le=2**40)]


class WireError(ValueError):
    """A message cannot be expressed in the other dialect.

    Attributes:
        param: The field at fault, as a path.
        reason: One sentence; never quotes content.
    """

    def __init__(self, param: str, reason: str) -> None:
        super().__init__(f"{param}: {reason}")
        self.param = param
        self.reason = reason


class Base64Source(msgspec.Struct, frozen=True, tag_field="type", tag="base64"):
    """Bytes in the request itself."""

    media_type: str
    data: str


class UrlSource(msgspec.Struct, frozen=True, tag_field="type", tag="url"):
    """Bytes that the model's server fetches."""

    url: str


class TextSource(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A plain-text document."""

    data: str
    media_type: str = "text/plain"


class TextBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: dict[str, Any] | None = None


class ImageBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="image"):
    """An image."""

    source: Base64Source | UrlSource
    cache_control: dict[str, Any] | None = None


class DocumentBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="document"):
    """A PDF or a plain text."""

    source: Base64Source | UrlSource | TextSource
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None


class ToolUseBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="tool_use"):
    """A tool call the model asked for."""

    id: str
    name: str
    input: dict[str, Any]
    cache_control: dict[str, Any] | None = None


class ToolResultBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="tool_result"):
    """What a tool answered."""

    tool_use_id: str
    content: str | tuple[TextBlock | ImageBlock, ...] | None = None
    is_error: bool = False
    cache_control: dict[str, Any] | None = None


class ThinkingBlock(msgspec.Struct, frozen=True, tag_field="type", tag="thinking"):
    """The model's reasoning, handed back by the caller; skipped in translation."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(msgspec.Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """Encrypted reasoning, handed back by the caller; skipped in translation."""

    data: str


Block = TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


class AnthropicMessage(msgspec.Struct, frozen=True):
    """One turn."""

    role: Literal["user", "assistant"]
    content: str | tuple[Block, ...]


class AnthropicTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool offered to the model. Tools that Anthropic runs itself have another ``type`` and no schema."""

    name: str
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    type: str | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class AnthropicToolChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the model chooses tools."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class AnthropicMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """About the request."""

    user_id: str | None = None


class AnthropicRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``POST /v1/messages``. Fields it does not name are the gateway's to refuse."""

    model: str
    messages: tuple[AnthropicMessage, ...]
    max_tokens: Annotated[int, Meta(ge=1)]
    system: str | tuple[TextBlock, ...] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[AnthropicTool, ...] = ()
    tool_choice: AnthropicToolChoice | None = None
    metadata: AnthropicMetadata | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    service_tier: str | None = None


class AnthropicUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens; ``input_tokens`` does not contain the cached ones."""

    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None

    def canonical(self) -> Usage:
        """The same in canonical buckets."""
        return Usage(
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            cached_tokens=self.cache_read_input_tokens or 0,
            cache_write_tokens=self.cache_creation_input_tokens or 0,
        )


class AnyBlock(msgspec.Struct):
    """A content block of an answer, whatever its type: new types must not break us."""

    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class AnthropicAnswer(msgspec.Struct):
    """What a server that speaks Anthropic answers; lenient in what it accepts."""

    content: list[AnyBlock] | None = None
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: AnthropicUsage | None = None
    type: str = ""
    error: Any = None


FINISH_OF_STOP: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
