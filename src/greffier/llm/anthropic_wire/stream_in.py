"""A streamed answer in Anthropic's shape becomes canonical chunks."""

from typing import Any

import msgspec

from greffier.core.chat import ChatChunk, FinishReason, FunctionDelta, ToolCallDelta
from greffier.llm.anthropic_wire.requests_out import ANSWER_TOOL
from greffier.llm.anthropic_wire.types import FINISH_OF_STOP, AnthropicAnswer, AnthropicUsage, AnyBlock

_ENCODER = msgspec.json.Encoder()


class AnthropicErrorEvent(Exception):  # noqa: N818 - named after the event
    """The stream holds an error event; ``error`` is its object."""

    def __init__(self, error: Any) -> None:
        super().__init__("error event")
        self.error = error


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: AnthropicAnswer | None = None
    content_block: AnyBlock | None = None
    delta: _Delta | None = None
    usage: AnthropicUsage | None = None
    error: Any = None


_DECODER: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)


class _Tool:
    """A tool_use block under way."""

    __slots__ = ("given", "index", "is_answer", "wrote")

    def __init__(self, index: int, given: Any, *, is_answer: bool) -> None:
        self.index = index
        self.given = given
        self.is_answer = is_answer
        self.wrote = False


class AnthropicStreamDecoder:
    """Feed it the ``data`` of each event; it returns the chunks they mean. Usage comes once, from `finish`.

    Args:
        json_answer: JSON was asked for, so the input of `ANSWER_TOOL` is the answer's text.
    """

    def __init__(self, *, json_answer: bool = False) -> None:
        self._json_answer = json_answer
        self._id = ""
        self._model = ""
        self._tools: dict[int, _Tool] = {}
        self._calls = 0
        self._usage = AnthropicUsage()
        self._finished = False
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether the answer reached its stop reason."""
        return self._finished

    @property
    def stopped(self) -> bool:
        """Whether the last event has come."""
        return self._stopped

    def feed(self, data: bytes) -> list[ChatChunk]:
        """Take one event.

        Raises:
            msgspec.DecodeError: It is not an event.
            AnthropicErrorEvent: It is an error event.
        """
        event = _DECODER.decode(data)
        match event.type:
            case "content_block_delta":
                return self._delta(event)
            case "content_block_start":
                return self._block_start(event)
            case "content_block_stop":
                return self._block_stop(event)
            case "message_start":
                self._message_start(event)
            case "message_delta":
                return self._message_delta(event)
            case "message_stop":
                self._stopped = True
            case "error":
                raise AnthropicErrorEvent(event.error)
        return []

    def finish(self) -> ChatChunk | None:
        """The chunk with the usage, if the server told both sides of it."""
        if self._usage.input_tokens is None or self._usage.output_tokens is None:
            return None
        usage = self._usage.canonical()
        return ChatChunk(usage=usage, id=self._id, model=self._model)

    def _message_start(self, event: _Event) -> None:
        if event.message is not None:
            self._id = event.message.id or ""
            self._model = event.message.model or ""
            self._count(event.message.usage)

    def _count(self, usage: AnthropicUsage | None) -> None:
        """Counts are cumulative; a later event overrides what it names."""
        if usage is None:
            return
        named = {name: value for name in usage.__struct_fields__ if (value := getattr(usage, name)) is not None}
        self._usage = msgspec.structs.replace(self._usage, **named)

    def _block_start(self, event: _Event) -> list[ChatChunk]:
        block = event.content_block
        if block is None:
            return []
        if block.type == "text":
            return [self._chunk(text=block.text)] if block.text else []
        if block.type != "tool_use":
            return []
        is_answer = self._json_answer and block.name == ANSWER_TOOL
        tool = self._tools[event.index] = _Tool(self._calls, block.input, is_answer=is_answer)
        if is_answer:
            return []
        self._calls += 1
        head = FunctionDelta(block.name or "", "")
        return [self._chunk(calls=(ToolCallDelta(tool.index, block.id or f"call_{tool.index}", "function", head),))]

    def _delta(self, event: _Event) -> list[ChatChunk]:
        delta = event.delta
        if delta is None:
            return []
        if delta.type == "text_delta":
            return [self._chunk(text=delta.text)] if delta.text else []
        if delta.type == "input_json_delta" and delta.partial_json:
            return self._arguments(self._tools.get(event.index), delta.partial_json)
        return []

    def _block_stop(self, event: _Event) -> list[ChatChunk]:
        tool = self._tools.pop(event.index, None)
        if tool is None or tool.wrote:
            return []
        return self._arguments(tool, _ENCODER.encode(tool.given or {}).decode())

    def _arguments(self, tool: _Tool | None, piece: str) -> list[ChatChunk]:
        if tool is None:
            return []
        tool.wrote = True
        if tool.is_answer:
            return [self._chunk(text=piece)]
        return [self._chunk(calls=(ToolCallDelta(tool.index, function=FunctionDelta(arguments=piece)),))]

    def _message_delta(self, event: _Event) -> list[ChatChunk]:
        self._count(event.usage)
        if event.delta is None or not event.delta.stop_reason or self._finished:
            return []
        self._finished = True
        finish: FinishReason = FINISH_OF_STOP.get(event.delta.stop_reason, "stop")
        if finish == "tool_calls" and not self._calls:
            finish = "stop"
        return [ChatChunk(finish_reason=finish, id=self._id, model=self._model)]

    def _chunk(self, text: str | None = None, calls: tuple[ToolCallDelta, ...] = ()) -> ChatChunk:
        return ChatChunk(text=text or "", tool_calls=calls, id=self._id, model=self._model)
