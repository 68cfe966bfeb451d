"""Anthropic Messages on the wire, as a server speaks it, and its translation to and from the canonical conversation.

Used by the Anthropic provider; callers who speak Anthropic meet the gateway's own strict reading (ADR 0082). Pure:
no I/O, no clock. What one side cannot express raises `WireError` and is never dropped in silence (ADR 0062).
"""

from greffier.llm.anthropic_wire.requests_out import ANSWER_TOOL, request_to_anthropic, wants_json
from greffier.llm.anthropic_wire.responses import response_from_anthropic
from greffier.llm.anthropic_wire.stream_in import AnthropicErrorEvent, AnthropicStreamDecoder
from greffier.llm.anthropic_wire.types import (
    AnthropicAnswer,
    AnthropicMessage,
    AnthropicRequest,
    AnthropicUsage,
    WireError,
)

__all__ = [
    "ANSWER_TOOL",
    "AnthropicAnswer",
    "AnthropicErrorEvent",
    "AnthropicMessage",
    "AnthropicRequest",
    "AnthropicStreamDecoder",
    "AnthropicUsage",
    "WireError",
    "request_to_anthropic",
    "response_from_anthropic",
    "wants_json",
]
