"""Answers of ``/v1/responses``, whole and as the typed events of the Responses API, in their full order."""

from typing import Any

import msgspec

from greffier.core.chat import ChatChunk, ChatResponse, FinishReason, ToolCallDelta, Usage
from greffier.core.context import Arrival
from greffier.core.rulings import Deny
from greffier.gateway.errors import openai_error
from greffier.gateway.wire.chat_answer import PING, created_at, text_of
from greffier.gateway.wire.responses_request import WireResponses

_encode = msgspec.json.Encoder().encode
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
Json = dict[str, Any]


def encode_responses(response: ChatResponse, wire: WireResponses, arrival: Arrival) -> bytes:
    """The body of a whole answer."""
    choice = response.choices[0]
    suffix = arrival.request_id.removeprefix("req_")
    output: list[Json] = []
    text = text_of(choice.message.content)
    parts = [_text_part(text)] if text else []
    if choice.message.refusal:
        parts.append({"type": "refusal", "refusal": choice.message.refusal})
    if parts:
        output.append(_message_item(f"msg_{suffix}_0", parts, "completed"))
    for call in choice.message.tool_calls or ():
        item_id = f"fc_{suffix}_{len(output)}"
        output.append(_call_item(item_id, call.id, call.function.name, call.function.arguments, "completed"))
    created = created_at(response, arrival)
    body = _envelope(wire, f"resp_{suffix}", created, response.model)
    return _encode(_finished(body, output, response.usage, choice.finish_reason))


class ResponsesWriter:
    """Events of a streamed answer; ``sequence_number`` counts them from 0."""

    ping = PING

    def __init__(self, arrival: Arrival, wire: WireResponses) -> None:
        self._request_id = arrival.request_id
        self._suffix = arrival.request_id.removeprefix("req_")
        self._created = arrival.received_ms // 1000
        self._wire = wire
        self._sequence = 0
        self._envelope: Json = {}
        self._output: list[Json] = []
        self._message: _OpenMessage | None = None
        self._calls: dict[int, _OpenCall] = {}
        self._usage: Usage | None = None
        self._reason: FinishReason | None = None

    @property
    def complete(self) -> bool:
        """Whether the finish reason was seen."""
        return self._reason is not None

    def feed(self, chunk: ChatChunk) -> bytes:
        """Events of a fragment."""
        frames = []
        if not self._envelope:
            self._envelope = _envelope(self._wire, f"resp_{self._suffix}", self._created, chunk.model)
            started = {**self._envelope, "status": "in_progress", "output": [], "usage": None}
            frames = [self._event("response.created", {"response": started})]
            frames.append(self._event("response.in_progress", {"response": started}))
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.finish_reason is not None:
            self._reason = chunk.finish_reason
        if chunk.text:
            frames += self._text("output_text", chunk.text)
        if chunk.refusal:
            frames += self._text("refusal", chunk.refusal)
        for delta in chunk.tool_calls:
            frames += self._call(delta)
        return b"".join(frames)

    def finish(self) -> bytes:
        """Close what is open, then ``response.completed`` (or ``response.incomplete``) with the whole answer."""
        frames = self._close_message()
        for call in self._calls.values():
            frames += self._close_call(call)
        self._calls.clear()
        whole = _finished(self._envelope, self._output, self._usage, self._reason)
        frames.append(self._event(f"response.{whole['status']}", {"response": whole}))
        return b"".join(frames)

    def fail(self, ruling: Deny) -> bytes:
        """``response.failed``, then an ``error`` event of the shape on which the SDKs' iterators raise."""
        error = openai_error(ruling, self._request_id)
        brief = {"code": error["code"], "message": error["message"]}
        failed = {**self._envelope, "status": "failed", "output": self._output, "error": brief, "usage": None}
        frames = self._event("response.failed", {"response": failed})
        flat = {"code": error["code"], "message": error["message"], "param": error["param"], "error": error}
        return frames + self._event("error", flat)

    def _event(self, kind: str, fields: Json) -> bytes:
        data = _encode({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode("ascii"), data)

    def _text(self, kind: str, text: str) -> list[bytes]:
        frames: list[bytes] = []
        message = self._message
        if message is None:
            message = self._message = _OpenMessage(f"msg_{self._suffix}_{len(self._output)}", len(self._output))
            item = _message_item(message.id, [], "in_progress")
            self._output.append(item)
            frames.append(
                self._event("response.output_item.added", {"output_index": message.output_index, "item": item})
            )
        if message.kind != kind:
            frames += self._close_part(message)
            message.kind = kind
            frames.append(self._event("response.content_part.added", {**message.at, "part": message.part("")}))
            message.head = b'event: response.%s.delta\ndata: {"type":"response.%s.delta",%s,"delta":' % (
                kind.encode("ascii"),
                kind.encode("ascii"),
                _encode(message.at)[1:-1],
            )
        message.pieces.append(text)
        tail = b',"logprobs":[],"sequence_number":%d}\n\n' if kind == "output_text" else b',"sequence_number":%d}\n\n'
        frames.append(message.head + _encode(text) + tail % self._sequence)
        self._sequence += 1
        return frames

    def _close_part(self, message: "_OpenMessage") -> list[bytes]:
        if not message.kind:
            return []
        text = "".join(message.pieces)
        part = message.part(text)
        field: Json = {"text": text, "logprobs": []} if message.kind == "output_text" else {"refusal": text}
        frames = [
            self._event(f"response.{message.kind}.done", {**message.at, **field}),
            self._event("response.content_part.done", {**message.at, "part": part}),
        ]
        message.parts.append(part)
        message.pieces.clear()
        return frames

    def _close_message(self) -> list[bytes]:
        message = self._message
        if message is None:
            return []
        self._message = None
        frames = self._close_part(message)
        item = _message_item(message.id, message.parts, "completed")
        self._output[message.output_index] = item
        frames.append(self._event("response.output_item.done", {"output_index": message.output_index, "item": item}))
        return frames

    def _call(self, delta: ToolCallDelta) -> list[bytes]:
        function = delta.function
        call = self._calls.get(delta.index)
        frames: list[bytes] = []
        if call is None:
            frames = self._close_message()
            item_id = f"fc_{self._suffix}_{len(self._output)}"
            call = _OpenCall(item_id, len(self._output), delta.id or item_id, (function.name if function else "") or "")
            self._calls[delta.index] = call
            item = _call_item(call.id, call.call_id, call.name, "", "in_progress")
            self._output.append(item)
            frames.append(self._event("response.output_item.added", {"output_index": call.output_index, "item": item}))
        if function is not None and function.arguments:
            call.pieces.append(function.arguments)
            fields = {"item_id": call.id, "output_index": call.output_index, "delta": function.arguments}
            frames.append(self._event("response.function_call_arguments.delta", fields))
        return frames

    def _close_call(self, call: "_OpenCall") -> list[bytes]:
        arguments = "".join(call.pieces)
        item = _call_item(call.id, call.call_id, call.name, arguments, "completed")
        self._output[call.output_index] = item
        fields = {"item_id": call.id, "output_index": call.output_index, "name": call.name, "arguments": arguments}
        return [
            self._event("response.function_call_arguments.done", fields),
            self._event("response.output_item.done", {"output_index": call.output_index, "item": item}),
        ]


class _OpenMessage:
    """A message that is being streamed."""

    __slots__ = ("head", "id", "kind", "output_index", "parts", "pieces")

    def __init__(self, item_id: str, output_index: int) -> None:
        self.id = item_id
        self.output_index = output_index
        self.kind = ""
        self.head = b""
        self.parts: list[Json] = []
        self.pieces: list[str] = []

    @property
    def at(self) -> Json:
        """Where its open part stands."""
        return {"item_id": self.id, "output_index": self.output_index, "content_index": len(self.parts)}

    def part(self, text: str) -> Json:
        """Its open part with this text."""
        return _text_part(text) if self.kind == "output_text" else {"type": "refusal", "refusal": text}


class _OpenCall:
    """A function call that is being streamed."""

    __slots__ = ("call_id", "id", "name", "output_index", "pieces")

    def __init__(self, item_id: str, output_index: int, call_id: str, name: str) -> None:
        self.id = item_id
        self.output_index = output_index
        self.call_id = call_id
        self.name = name
        self.pieces: list[str] = []


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message_item(item_id: str, parts: list[Json], status: str) -> Json:
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": parts}


def _call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def _envelope(wire: WireResponses, response_id: str, created: int, model: str) -> Json:
    """What an answer repeats of its request."""
    shape = wire.text.format if wire.text and wire.text.format else None
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": wire.instructions,
        "max_output_tokens": wire.max_output_tokens,
        "metadata": {},
        "model": model,
        "parallel_tool_calls": wire.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": wire.reasoning.effort if wire.reasoning else None, "summary": None},
        "store": False,
        "temperature": wire.temperature,
        "text": {"format": {"type": "text"} if shape is None else _without_nulls(shape)},
        "tool_choice": wire.tool_choice or "auto",
        "tools": wire.tools or [],
        "top_p": wire.top_p,
        "truncation": "disabled",
        "user": None,
    }


def _without_nulls(struct: msgspec.Struct) -> Json:
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None}


def _finished(envelope: Json, output: list[Json], usage: Usage | None, reason: FinishReason | None) -> Json:
    incomplete = _INCOMPLETE.get(reason or "")
    return {
        **envelope,
        "status": "completed" if incomplete is None else "incomplete",
        "incomplete_details": None if incomplete is None else {"reason": incomplete},
        "output": output,
        "usage": None if usage is None else _usage(usage),
    }


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
