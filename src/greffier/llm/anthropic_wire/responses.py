"""Whole answers, both ways."""

import msgspec

from greffier.core.chat import ChatResponse, Choice, FinishReason, FunctionCall, Message, ToolCall
from greffier.llm.anthropic_wire.requests_out import ANSWER_TOOL
from greffier.llm.anthropic_wire.types import (
    FINISH_OF_STOP,
    AnthropicAnswer,
    AnyBlock,
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
