"""Canonical chunks become a streamed answer in Anthropic's shape."""

from typing import Any

import msgspec

from greffier.core.chat import ChatChunk, FinishReason, FunctionDelta, ToolCallDelta, Usage
from greffier.llm.anthropic_wire.types import STOP_OF_FINISH, AnthropicUsage

_ENCODER = msgspec.json.Encoder()
_TEXT = -1


class _Held:
    """A block that waits for the end because another one is being told."""

    __slots__ = ("block", "is_text", "pieces")

    def __init__(self, block: dict[str, Any], *, is_text: bool) -> None:
        self.block = block
        self.is_text = is_text
        self.pieces: list[str] = []


class AnthropicStreamEncoder:
    """Turns chunks into server-sent events, in the order the SDKs insist on (each with its ``event:`` line).

    ``start``, then ``encode`` for every chunk, then ``finish``; or ``error`` at any moment, and nothing after it. Only
    the first choice is told. Blocks may not overlap on this wire, while fragments of several tool calls may; so text
    and the first tool call are told as they come, and further calls, which nobody can run in parts, at the end.

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
        self._later: dict[int, _Held] = {}
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
        out = b""
        if text := chunk.text + chunk.refusal:
            out += self._text(text)
        for call in chunk.tool_calls:
            out += self._tool(call)
        return out

    def finish(self) -> bytes:
        """The events that close the stream, with the blocks that had to wait before them."""
        out = self._close()
        for held in self._later.values():
            out += self._begin(_TEXT if held.is_text else 0, held.block)
            if content := "".join(held.pieces):
                out += self._delta(_text_delta(content) if held.is_text else _arguments_delta(content))
            out += self._close()
        usage = AnthropicUsage.of(self._usage) if self._usage else AnthropicUsage(self._input_tokens, 0)
        stop = {"stop_reason": STOP_OF_FINISH[self._finish], "stop_sequence": None}
        return out + _event("message_delta", {"delta": stop, "usage": usage}) + _event("message_stop", {})

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

    def _text(self, text: str) -> bytes:
        if self._open is not None and self._open != _TEXT:
            return self._hold(_TEXT, {"type": "text", "text": ""}, text)
        out = b"" if self._open == _TEXT else self._begin(_TEXT, {"type": "text", "text": ""})
        return out + self._delta(_text_delta(text))

    def _tool(self, call: ToolCallDelta) -> bytes:
        function = call.function or FunctionDelta()
        piece = function.arguments or ""
        name, identifier = function.name or "", call.id or f"toolu_{call.index}"
        block = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
        if self._open is not None and self._open not in {_TEXT, call.index}:
            return self._hold(call.index, block, piece)
        out = b"" if self._open == call.index else self._begin(call.index, block)
        return out + self._delta(_arguments_delta(piece)) if piece else out

    def _hold(self, key: int, block: dict[str, Any], piece: str) -> bytes:
        self._later.setdefault(key, _Held(block, is_text=key == _TEXT)).pieces.append(piece)
        return b""

    def _begin(self, key: int, block: dict[str, Any]) -> bytes:
        out = self._close()
        self._open = key
        self._blocks += 1
        return out + _event("content_block_start", {"index": self._blocks - 1, "content_block": block})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", {"index": self._blocks - 1})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._blocks - 1, "delta": delta})


def _text_delta(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


def _arguments_delta(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _ENCODER.encode({"type": kind, **fields}))
