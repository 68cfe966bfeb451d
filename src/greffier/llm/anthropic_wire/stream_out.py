"""Canonical chunks become a streamed answer in Anthropic's shape."""

from typing import Any

import msgspec

from greffier.core.chat import ChatChunk, FinishReason, ToolCallDelta, Usage
from greffier.llm.anthropic_wire.types import STOP_OF_FINISH, AnthropicUsage

_ENCODER = msgspec.json.Encoder()
_TEXT = -1


class AnthropicStreamEncoder:
    """Turns chunks into server-sent events, in the order the SDKs insist on (each with its ``event:`` line).

    ``start``, then ``encode`` for every chunk, then ``finish``; or ``error`` at any moment, and nothing after it. Only
    the first choice is told.

    Args:
        message_id: Identifier of the message.
        model: Model name to show.
        input_tokens: Tokens of the prompt as far as known at the start; the end corrects it.
    """

    def __init__(self, message_id: str, model: str, input_tokens: int = 0) -> None:
        self._id = message_id
        self._model = model
        self._input_tokens = input_tokens
        self._blocks = 0
        self._open: int | None = None
        self._open_key: int | None = None
        self._tools: dict[int, int] = {}
        self._finish: FinishReason = "stop"
        self._usage: Usage | None = None

    def start(self) -> bytes:
        """The events that open the stream."""
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._input_tokens, "output_tokens": 0},
        }
        return _event("message_start", {"message": message}) + _event("ping", {})

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events of one chunk; often one, sometimes none."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.index != 0:
            return b""
        if chunk.finish_reason is not None:
            self._finish = chunk.finish_reason
        text = chunk.text + chunk.refusal
        out = b""
        if text:
            out += self._ensure_text()
            out += self._delta(self._open, {"type": "text_delta", "text": text})
        for call in chunk.tool_calls:
            out += self._tool(call)
        return out

    def finish(self) -> bytes:
        """The events that close the stream."""
        usage = AnthropicUsage.of(self._usage) if self._usage else AnthropicUsage(self._input_tokens, 0)
        stop = {"stop_reason": STOP_OF_FINISH[self._finish], "stop_sequence": None}
        return self._close() + _event("message_delta", {"delta": stop, "usage": usage}) + _event("message_stop", {})

    @staticmethod
    def error(kind: str, message: str, details: dict[str, Any] | None = None, request_id: str = "") -> bytes:
        """The error event that SDKs raise on.

        Args:
            kind: ``error.type`` in Anthropic's words.
            message: What happened.
            details: Further facts, for example the stable code.
            request_id: Ours.
        """
        error: dict[str, Any] = {"type": kind, "message": message}
        if details:
            error["details"] = details
        return _event("error", {"error": error} | ({"request_id": request_id} if request_id else {}))

    def _ensure_text(self) -> bytes:
        if self._open_key == _TEXT:
            return b""
        return self._begin(_TEXT, {"type": "text", "text": ""})

    def _tool(self, call: ToolCallDelta) -> bytes:
        out = b""
        function = call.function
        if call.index not in self._tools:
            name = function.name if function else None
            block = {"type": "tool_use", "id": call.id or f"toolu_{call.index}", "name": name or "", "input": {}}
            out += self._begin(call.index, block)
            self._tools[call.index] = self._blocks - 1
        if function is not None and function.arguments:
            delta = {"type": "input_json_delta", "partial_json": function.arguments}
            out += self._delta(self._tools[call.index], delta)
        return out

    def _begin(self, key: int, block: dict[str, Any]) -> bytes:
        out = self._close()
        self._open, self._open_key = self._blocks, key
        self._blocks += 1
        return out + _event("content_block_start", {"index": self._open, "content_block": block})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        out = _event("content_block_stop", {"index": self._open})
        self._open = self._open_key = None
        return out

    @staticmethod
    def _delta(index: int | None, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": index, "delta": delta})


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _ENCODER.encode({"type": kind, **fields}))
