"""Answers of ``/v1/chat/completions`` and the legacy ``/v1/completions``, whole and streamed (server-sent events).

The frames follow research on what SDKs accept: no ``event:`` line, one usage chunk at most, tool-call names once, an
error frame instead of ``[DONE]`` when the answer is stopped.
"""

from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from greffier.core.chat import ChatChunk, ChatResponse, FinishReason, ToolCall, Usage
from greffier.core.context import Arrival
from greffier.core.rulings import Deny
from greffier.gateway.errors import openai_error

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


class StreamWriter(Protocol):
    """Turns the fragments of one answer into frames of one dialect."""

    ping: bytes

    def feed(self, chunk: ChatChunk) -> bytes:
        """Frames for a fragment; may be empty."""
        ...

    @property
    def complete(self) -> bool:
        """Whether a finish reason was seen; a stream that ends without one was cut."""
        ...

    def finish(self) -> bytes:
        """Closing frames of a complete answer."""
        ...

    def fail(self, ruling: Deny) -> bytes:
        """Closing frames of an answer that was stopped; never what looks like a regular end."""
        ...


class WireMessage(msgspec.Struct, frozen=True):
    """The assistant's turn."""

    content: str | None
    refusal: str | None
    tool_calls: tuple[ToolCall, ...] | UnsetType = UNSET
    role: str = "assistant"


class WireChoice(msgspec.Struct, frozen=True):
    """One answer."""

    index: int
    message: WireMessage
    finish_reason: FinishReason | None
    logprobs: Any = None


class PromptDetails(msgspec.Struct, frozen=True):
    """Prompt tokens in detail."""

    cached_tokens: int = 0


class CompletionDetails(msgspec.Struct, frozen=True):
    """Generated tokens in detail."""

    reasoning_tokens: int = 0


class WireUsage(msgspec.Struct, frozen=True):
    """Tokens, as OpenAI counts them: the prompt with its cached part, the answer with its reasoning."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class WireCompletion(msgspec.Struct, frozen=True):
    """The body of a whole answer."""

    id: str
    created: int
    model: str
    choices: tuple[WireChoice, ...]
    usage: WireUsage | None
    system_fingerprint: str | UnsetType = UNSET
    object: str = "chat.completion"


def wire_usage(usage: Usage | None) -> WireUsage | None:
    """Tokens on the OpenAI wire."""
    if usage is None:
        return None
    return WireUsage(
        usage.prompt_tokens,
        usage.output_tokens,
        usage.total_tokens,
        PromptDetails(usage.cached_tokens),
        CompletionDetails(usage.reasoning_tokens),
    )


def encode_chat(response: ChatResponse, arrival: Arrival) -> bytes:
    """The body of a whole answer."""
    choices = tuple(
        WireChoice(
            choice.index,
            WireMessage(
                text_of(choice.message.content),
                choice.message.refusal,
                choice.message.tool_calls or UNSET,
            ),
            choice.finish_reason,
            choice.logprobs,
        )
        for choice in response.choices
    )
    return _encode(
        WireCompletion(
            response.id or f"chatcmpl-{arrival.request_id}",
            created_at(response, arrival),
            response.model,
            choices,
            wire_usage(response.usage),
            response.system_fingerprint or UNSET,
        )
    )


def created_at(response: ChatResponse, arrival: Arrival) -> int:
    """Unix time of an answer: the model's server's, or ours where it gave none."""
    return response.created or arrival.received_ms // 1000


def text_of(content: str | tuple[Any, ...] | None) -> str | None:
    """The text of a turn; parts that are no text are left out."""
    if content is None or isinstance(content, str):
        return content
    return "".join(getattr(part, "text", "") for part in content)


class ChatWriter:
    """Frames of a streamed chat answer.

    Args:
        arrival: Its id stands in for a missing upstream id and in error frames; its time is the answer's.
        include_usage: Send the usage chunk; every other chunk then says ``usage: null``.
    """

    ping = PING

    def __init__(self, arrival: Arrival, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._created = arrival.received_ms // 1000
        self._request_id = arrival.request_id
        self._head = b""
        self._tail = b'}],"usage":null}\n\n' if include_usage else b"}]}\n\n"
        self._usage: Usage | None = None
        self._opened: set[int] = set()
        self._finished: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether every choice had its finish reason."""
        return bool(self._finished) and self._opened <= self._finished

    def feed(self, chunk: ChatChunk) -> bytes:
        """The frame of a fragment; empty when it only carries usage."""
        if not self._head:
            self._head = self._opening(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        reason = chunk.finish_reason
        plain = not (chunk.tool_calls or chunk.refusal or chunk.logprobs is not None)
        if plain and reason is None and chunk.index == 0 and 0 in self._opened:
            if not chunk.text:
                return b""
            return b'%s0,"delta":{"content":%s},"logprobs":null,"finish_reason":null%s' % (
                self._head,
                _encode(chunk.text),
                self._tail,
            )
        return self._frame(chunk, empty=plain and not chunk.text and reason is None)

    def _frame(self, chunk: ChatChunk, *, empty: bool) -> bytes:
        delta: dict[str, Any] = {}
        if chunk.index not in self._opened:
            if empty and chunk.usage is not None:
                return b""  # a bare usage chunk opens no choice
            self._opened.add(chunk.index)
            delta["role"] = "assistant"
            delta["content"] = "" if not chunk.tool_calls else None
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.refusal:
            delta["refusal"] = chunk.refusal
        if chunk.tool_calls:
            delta["tool_calls"] = chunk.tool_calls
        if chunk.finish_reason is not None:
            self._finished.add(chunk.index)
        return b'%s%d,"delta":%s,"logprobs":%s,"finish_reason":%s%s' % (
            self._head,
            chunk.index,
            _encode(delta),
            _encode(chunk.logprobs),
            _encode(chunk.finish_reason),
            self._tail,
        )

    def _opening(self, chunk: ChatChunk) -> bytes:
        return b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"choices":[{"index":' % (
            _encode(chunk.id or f"chatcmpl-{self._request_id}"),
            self._created,
            _encode(chunk.model),
        )

    def finish(self) -> bytes:
        """The usage chunk if it was asked for, then ``[DONE]``."""
        if not self._include_usage or self._usage is None:
            return DONE
        head = self._head.removesuffix(b'[{"index":')
        return b'%s[],"usage":%s}\n\n%s' % (head, _encode(wire_usage(self._usage)), DONE)

    def fail(self, ruling: Deny) -> bytes:
        """An error frame, on which SDKs raise; no ``[DONE]``."""
        return error_frame(ruling, self._request_id)


def error_frame(ruling: Deny, request_id: str) -> bytes:
    """``data: {"error": ...}``: both generations of SDKs and LangChain raise on it."""
    return b"data: " + _encode({"error": openai_error(ruling, request_id)}) + b"\n\n"


class LegacyChoice(msgspec.Struct, frozen=True):
    """One answer of the legacy endpoint."""

    text: str
    index: int
    finish_reason: FinishReason | None
    logprobs: Any = None


class LegacyCompletion(msgspec.Struct, frozen=True):
    """The body of a legacy answer, and of each of its frames."""

    id: str
    created: int
    model: str
    choices: tuple[LegacyChoice, ...]
    usage: WireUsage | UnsetType | None = UNSET
    object: str = "text_completion"


def encode_legacy(response: ChatResponse, arrival: Arrival) -> bytes:
    """The body of a whole legacy answer."""
    choices = tuple(
        LegacyChoice(text_of(choice.message.content) or "", choice.index, choice.finish_reason)
        for choice in response.choices
    )
    completion_id = response.id or f"cmpl-{arrival.request_id}"
    return _encode(
        LegacyCompletion(
            completion_id, created_at(response, arrival), response.model, choices, wire_usage(response.usage)
        )
    )


class LegacyWriter:
    """Frames of a streamed legacy answer."""

    ping = PING

    def __init__(self, arrival: Arrival, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._created = arrival.received_ms // 1000
        self._request_id = arrival.request_id
        self._id = ""
        self._model = ""
        self._usage: Usage | None = None
        self._finished: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether every choice had its finish reason."""
        return bool(self._finished)

    def feed(self, chunk: ChatChunk) -> bytes:
        """The frame of a fragment."""
        if not self._id:
            self._id = chunk.id or f"cmpl-{self._request_id}"
            self._model = chunk.model
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.finish_reason is not None:
            self._finished.add(chunk.index)
        elif not chunk.text:
            return b""
        return self._frame((LegacyChoice(chunk.text, chunk.index, chunk.finish_reason),))

    def _frame(self, choices: tuple[LegacyChoice, ...], usage: WireUsage | None = None) -> bytes:
        shown = usage if self._include_usage else UNSET
        return b"data: " + _encode(LegacyCompletion(self._id, self._created, self._model, choices, shown)) + b"\n\n"

    def finish(self) -> bytes:
        """The usage frame if it was asked for, then ``[DONE]``."""
        if not self._include_usage or self._usage is None:
            return DONE
        return self._frame((), wire_usage(self._usage)) + DONE

    def fail(self, ruling: Deny) -> bytes:
        """An error frame; no ``[DONE]``."""
        return error_frame(ruling, self._request_id)
