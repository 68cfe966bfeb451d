"""Answers of ``/v1/messages``, whole and streamed. SDKs need the ``event:`` lines: without them they yield nothing."""

from typing import Any

import msgspec

from greffier.core.chat import ChatChunk, ChatResponse, FinishReason, ToolCallDelta, Usage
from greffier.core.context import Arrival
from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused
from greffier.gateway.errors import anthropic_error
from greffier.gateway.wire.chat_answer import text_of

_encode = msgspec.json.Encoder().encode
Json = dict[str, Any]

_STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def encode_message(response: ChatResponse, arrival: Arrival) -> bytes:
    """The body of a whole answer.

    Raises:
        Refused: ``UPSTREAM_MALFORMED`` when the arguments of a tool call are no JSON object, which this dialect needs.
    """
    choice = response.choices[0]
    blocks: list[Json] = []
    text = (text_of(choice.message.content) or "") + (choice.message.refusal or "")
    if text:
        blocks.append({"type": "text", "text": text, "citations": None})
    for call in choice.message.tool_calls or ():
        arguments = _arguments(call.function.arguments)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments})
    reason = _stop_reason(choice.finish_reason, refused=bool(choice.message.refusal))
    return _encode(_message(_message_id(arrival), response.model, blocks, reason, response.usage or Usage()))


def _arguments(arguments: str) -> Json:
    if not arguments:
        return {}
    try:
        return msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        reason = "The model called a tool with arguments that are no JSON object"
        raise Refused(Deny(Code.UPSTREAM_MALFORMED, "gateway.messages", reason)) from error


class MessagesWriter:
    """Events of a streamed answer: blocks one after the other, each started, filled and stopped."""

    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._started = False
        self._index = -1
        self._open = ""  # kind of the open block
        self._call = -1  # upstream index of the open call
        self._head = b""
        self._usage = Usage()
        self._reason: FinishReason | None = None
        self._refused = False

    @property
    def complete(self) -> bool:
        """Whether the finish reason was seen."""
        return self._reason is not None

    def feed(self, chunk: ChatChunk) -> bytes:
        """Events of a fragment."""
        frames = b""
        if not self._started:
            self._started = True
            message = _message(_message_id(self._arrival), chunk.model, [], None, chunk.usage or Usage())
            frames = _event("message_start", {"message": message})
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.finish_reason is not None:
            self._reason = chunk.finish_reason
        if chunk.refusal:
            self._refused = True
        text = chunk.text + chunk.refusal if chunk.refusal else chunk.text
        if text:
            if self._open != "text":
                frames += self._start("text", {"type": "text", "text": "", "citations": None})
            frames += self._head + _encode(text) + b"}}\n\n"
        for delta in chunk.tool_calls:
            frames += self._tool(delta)
        return frames

    def _tool(self, delta: ToolCallDelta) -> bytes:
        frames = b""
        function = delta.function
        if delta.index != self._call or self._open != "tool_use":
            if delta.index <= self._call:
                reason = "The model's server mixed the fragments of its tool calls"
                raise Refused(Deny(Code.UPSTREAM_MALFORMED, "gateway.messages", reason))
            call_id = delta.id or f"toolu_{self._arrival.request_id.removeprefix('req_')}_{delta.index}"
            block = {"type": "tool_use", "id": call_id, "name": (function.name if function else "") or "", "input": {}}
            frames = self._start("tool_use", block)
            self._call = delta.index
        if function is not None and function.arguments:
            frames += self._head + _encode(function.arguments) + b"}}\n\n"
        return frames

    def _start(self, kind: str, block: Json) -> bytes:
        stopped = self._stop()
        self._index += 1
        self._open = kind
        field = b'text_delta","text":' if kind == "text" else b'input_json_delta","partial_json":'
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s'
            % (self._index, field)
        )
        return stopped + _event("content_block_start", {"index": self._index, "content_block": block})

    def _stop(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", {"index": self._index})

    def finish(self) -> bytes:
        """Stop the open block, then the reason and the tokens, then the end."""
        delta = {"stop_reason": _stop_reason(self._reason, refused=self._refused), "stop_sequence": None}
        usage = _usage(self._usage)
        return self._stop() + _event("message_delta", {"delta": delta, "usage": usage}) + _event("message_stop", {})

    def fail(self, ruling: Deny) -> bytes:
        """``event: error``, on which SDKs raise; no ``message_stop``."""
        return b"event: error\ndata: " + _encode(anthropic_error(ruling, self._arrival.request_id)) + b"\n\n"


def _event(kind: str, fields: Json) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode("ascii"), _encode({"type": kind, **fields}))


def _message_id(arrival: Arrival) -> str:
    return f"msg_{arrival.request_id.removeprefix('req_')}"


def _message(message_id: str, model: str, blocks: list[Json], stop_reason: str | None, usage: Usage) -> Json:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _stop_reason(reason: FinishReason | None, *, refused: bool) -> str | None:
    if refused:
        return "refusal"
    return None if reason is None else _STOP_REASONS[reason]
