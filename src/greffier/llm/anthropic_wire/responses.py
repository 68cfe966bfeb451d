"""Whole answers, both ways."""

from typing import Any

import msgspec

from greffier.core.chat import ChatResponse, Choice, FinishReason, FunctionCall, Message, ToolCall
from greffier.llm.anthropic_wire.requests_out import ANSWER_TOOL
from greffier.llm.anthropic_wire.types import (
    FINISH_OF_STOP,
    STOP_OF_FINISH,
    AnthropicAnswer,
    AnthropicResponse,
    AnthropicUsage,
    AnyBlock,
    TextBlock,
    ToolUseBlock,
)

_ENCODER = msgspec.json.Encoder()


def response_from_anthropic(answer: AnthropicAnswer, *, json_answer: bool = False) -> ChatResponse:
    """Translate an answer of a server. Thinking and unknown blocks are skipped.

    Args:
        answer: What it answered.
        json_answer: JSON was asked for, so the input of `ANSWER_TOOL` is the answer's text.
    """
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in answer.content or ():
        if block.type == "text":
            texts.append(block.text or "")
        elif block.type == "tool_use" and json_answer and block.name == ANSWER_TOOL:
            texts = [_json(block)]
        elif block.type == "tool_use":
            calls.append(ToolCall(block.id or f"call_{len(calls)}", FunctionCall(block.name or "", _json(block))))
    finish: FinishReason = FINISH_OF_STOP.get(answer.stop_reason or "", "stop")
    if finish == "tool_calls" and not calls:
        finish = "stop"
    text = "".join(texts)
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=(
            Choice(Message("assistant", text if text or not calls else None, tool_calls=tuple(calls) or None), finish),
        ),
        usage=answer.usage.canonical() if answer.usage else None,
    )


def _json(block: AnyBlock) -> str:
    return _ENCODER.encode({} if block.input is None else block.input).decode()


def response_to_anthropic(response: ChatResponse, *, model: str = "", message_id: str = "") -> AnthropicResponse:
    """Translate an answer for a caller who speaks Anthropic; the first choice is the answer.

    Args:
        response: The canonical answer.
        model: Model name to show; empty shows the response's own.
        message_id: Identifier to show; empty shows the response's own.
    """
    choice = response.choices[0]
    message = choice.message
    blocks: list[TextBlock | ToolUseBlock] = []
    if text := _text(message):
        blocks.append(TextBlock(text))
    blocks += [
        ToolUseBlock(call.id, call.function.name, _arguments(call.function.arguments))
        for call in message.tool_calls or ()
    ]
    return AnthropicResponse(
        id=message_id or response.id,
        model=model or response.model,
        content=tuple(blocks),
        stop_reason=STOP_OF_FINISH[choice.finish_reason or "stop"],
        usage=AnthropicUsage.of(response.usage) if response.usage else AnthropicUsage(0, 0),
    )


def _text(message: Message) -> str:
    if isinstance(message.content, tuple):
        own = "".join(part.text for part in message.content if hasattr(part, "text"))
    else:
        own = message.content or ""
    return own + (message.refusal or "")


def _arguments(text: str) -> dict[str, Any]:
    """Arguments as an object; a model that wrote broken JSON is quoted whole, so that the caller's tool can say so."""
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"_invalid_arguments": text}
