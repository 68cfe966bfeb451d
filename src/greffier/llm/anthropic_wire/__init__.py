"""Anthropic Messages on the wire, and its translation to and from the canonical conversation, both ways.

Used by the gateway's ``/v1/messages`` (a caller speaks Anthropic) and by the Anthropic provider (a server does). Pure:
no I/O, no clock. What one side cannot express raises `WireError` and is never dropped in silence (ADR 0062).
"""

from greffier.llm.anthropic_wire.requests_in import request_from_anthropic
from greffier.llm.anthropic_wire.requests_out import ANSWER_TOOL, request_to_anthropic, wants_json
from greffier.llm.anthropic_wire.responses import response_from_anthropic, response_to_anthropic
from greffier.llm.anthropic_wire.stream_in import AnthropicErrorEvent, AnthropicStreamDecoder
from greffier.llm.anthropic_wire.stream_out import AnthropicStreamEncoder
from greffier.llm.anthropic_wire.types import (
    AnthropicAnswer,
    AnthropicMessage,
    AnthropicRequest,
    AnthropicResponse,
    AnthropicUsage,
    WireError,
)

__all__ = [
    "ANSWER_TOOL",
    "AnthropicAnswer",
    "AnthropicErrorEvent",
    "AnthropicMessage",
    "AnthropicRequest",
    "AnthropicResponse",
    "AnthropicStreamDecoder",
    "AnthropicStreamEncoder",
    "AnthropicUsage",
    "WireError",
    "request_from_anthropic",
    "request_to_anthropic",
    "response_from_anthropic",
    "response_to_anthropic",
    "wants_json",
]
