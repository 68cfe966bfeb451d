"""OpenAI's wire format, as many servers speak it: strict in what we send, lenient in what we read."""

import struct
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greffier.adapters.providers.errors import from_error_object, malformed, truncated
from greffier.adapters.providers.wire import decode
from greffier.core.chat import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Choice,
    EmbeddingRequest,
    EmbeddingResponse,
    FinishReason,
    FunctionCall,
    FunctionDelta,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_ENCODER = msgspec.json.Encoder()
_FLOAT_BYTES = 4

# Never passed on verbatim: what we set ourselves, and what would identify the caller's end user to the provider.
_OURS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "tools",
        "tool_choice",
        "response_format",
        "user",
        "safety_identifier",
    }
)

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "model_length": "length",
    "max_tokens": "length",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
}

Tokens = Annotated[int, Meta(ge=0, le=2**40)]


class Dialect(msgspec.Struct, frozen=True):
    """How one family of servers departs from the common form.

    Attributes:
        token_field: Name of the field that bounds generated tokens.
        developer_role: Whether the ``developer`` role is known; where it is not, ``system`` is sent.
    """

    token_field: str = "max_tokens"  # noqa: S105 - the name of a field
    developer_role: bool = False


class _PromptDetails(msgspec.Struct):
    cached_tokens: Tokens | None = None


class _AnswerDetails(msgspec.Struct):
    reasoning_tokens: Tokens | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _AnswerDetails | None = None

    def canonical(self) -> Usage | None:
        """Disjoint buckets, or None when the server said nothing of worth."""
        if self.prompt_tokens is None:
            return None
        output = self.completion_tokens or 0
        cached = (self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0) or 0
        reasoning = (self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else 0) or 0
        cached = min(cached, self.prompt_tokens)
        return Usage(
            input_tokens=self.prompt_tokens - cached,
            output_tokens=output,
            cached_tokens=cached,
            reasoning_tokens=min(reasoning, output),
        )


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    def text(self) -> str:
        """Arguments as JSON text; some servers send the object itself."""
        if isinstance(self.arguments, dict):
            return _ENCODER.encode(self.arguments).decode()
        return self.arguments or ""


class _ToolCall(msgspec.Struct):
    function: _Function | None = None
    id: str | None = None
    index: int | None = None


_Content = str | list[dict[str, Any]] | None


class _Message(msgspec.Struct):
    content: _Content = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    index: int = 0
    logprobs: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    created: int | float | None = None
    system_fingerprint: str | None = None
    error: Any = None


class _ChunkChoice(msgspec.Struct):
    delta: _Message | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_ChunkChoice] | None = None
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


class _Embedding(msgspec.Struct):
    embedding: list[float] | str
    index: int = 0


class _Embeddings(msgspec.Struct):
    data: list[_Embedding] = []
    model: str | None = None
    usage: _Usage | None = None
    error: Any = None


ANSWER: msgspec.json.Decoder[_Answer] = msgspec.json.Decoder(_Answer)
EMBEDDINGS: msgspec.json.Decoder[_Embeddings] = msgspec.json.Decoder(_Embeddings)
_CHUNK: msgspec.json.Decoder[_Chunk] = msgspec.json.Decoder(_Chunk)


def encode_chat(request: ChatRequest, model: str, max_tokens: int, dialect: Dialect, *, stream: bool) -> bytes:
    """The body of a chat request.

    Args:
        request: What to ask.
        model: Model name upstream.
        max_tokens: Bound on generated tokens when the request sets none.
        dialect: The server's peculiarities.
        stream: Whether to ask for a stream; its usage chunk is always asked for.
    """
    body: dict[str, Any] = {name: value for name, value in request.params.items() if name not in _OURS}
    body["model"] = model
    body["messages"] = request.messages if dialect.developer_role else _without_developer(request.messages)
    body[dialect.token_field] = request.max_tokens or max_tokens
    if request.tools:
        body["tools"] = request.tools
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        body["response_format"] = request.response_format
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return _ENCODER.encode(body)


def _without_developer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not any(message.role == "developer" for message in messages):
        return messages
    return tuple(
        msgspec.structs.replace(message, role="system") if message.role == "developer" else message
        for message in messages
    )


def _text(content: _Content) -> str | None:
    if not isinstance(content, list):
        return content
    texts = (part.get("text") for part in content if part.get("type") in {"text", "output_text"})
    return "".join(text for text in texts if isinstance(text, str))


def response_of(answer: _Answer) -> ChatResponse:
    """The canonical form of a plain answer.

    Raises:
        ProviderError: It holds an error object, or no choice at all.
    """
    if answer.error:
        raise from_error_object(answer.error)
    if not answer.choices:
        raise malformed("an answer without choices")
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=tuple(_choice(choice) for choice in answer.choices),
        usage=answer.usage.canonical() if answer.usage else None,
        created=int(answer.created or 0),
        system_fingerprint=answer.system_fingerprint,
    )


def _choice(choice: _Choice) -> Choice:
    message = choice.message
    calls = tuple(
        ToolCall(call.id or f"call_{place}", FunctionCall(call.function.name, call.function.text()))
        for place, call in enumerate(message.tool_calls or ())
        if call.function is not None and call.function.name
    )
    finish: FinishReason = _FINISH.get(choice.finish_reason or "stop", "stop")
    return Choice(
        Message("assistant", _text(message.content), tool_calls=calls or None, refusal=message.refusal),
        finish,
        choice.index,
        choice.logprobs,
    )


class ChunkReader:
    """Turns the ``data`` payloads of one stream into chunks, and notices when the stream is not whole.

    Usage is held back until the end, so that it comes out once however often the server repeats it.
    """

    __slots__ = ("_finished", "_id", "_model", "_named", "_seen", "_usage")

    def __init__(self) -> None:
        self._id = ""
        self._model = ""
        self._usage: Usage | None = None
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._named: set[tuple[int, int]] = set()

    def read(self, data: bytes) -> list[ChatChunk]:
        """Decode one payload.

        Raises:
            ProviderError: It is an error frame, or not a chunk.
        """
        chunk = decode(data, _CHUNK, "a stream event")
        if chunk.error:
            raise from_error_object(chunk.error)
        if chunk.id:
            self._id = chunk.id
        if chunk.model:
            self._model = chunk.model
        if chunk.usage is not None:
            self._usage = chunk.usage.canonical() or self._usage
        return [] if not chunk.choices else [made for choice in chunk.choices if (made := self._make(choice))]

    def _make(self, choice: _ChunkChoice) -> ChatChunk | None:
        index = choice.index
        self._seen.add(index)
        finish: FinishReason | None = None
        if choice.finish_reason:
            if index in self._finished:
                return None
            self._finished.add(index)
            finish = _FINISH.get(choice.finish_reason, "stop")
        delta = choice.delta
        if delta is None:
            return ChatChunk(finish_reason=finish, index=index, id=self._id, model=self._model) if finish else None
        text = _text(delta.content) or ""
        calls = tuple(self._fragments(index, delta.tool_calls)) if delta.tool_calls else ()
        if not (text or calls or finish or delta.refusal or choice.logprobs):
            return None
        return ChatChunk(text, delta.refusal or "", calls, finish, None, index, self._id, self._model, choice.logprobs)

    def _fragments(self, choice: int, calls: list[_ToolCall]) -> list[ToolCallDelta]:
        """Fragments with the name and id in the first one only, as the SDKs' accumulators expect."""
        fragments = []
        for place, call in enumerate(calls):
            index = place if call.index is None else call.index
            function = call.function or _Function()
            if (choice, index) in self._named:
                fragments.append(ToolCallDelta(index, function=FunctionDelta(arguments=function.text())))
                continue
            self._named.add((choice, index))
            fragments.append(
                ToolCallDelta(
                    index,
                    call.id or f"call_{index}",
                    "function",
                    FunctionDelta(function.name or "", function.text()),
                )
            )
        return fragments

    def finish(self) -> ChatChunk | None:
        """The stream has ended; return the chunk with the usage, if the server gave one.

        Raises:
            ProviderError: The stream ended before every answer in it had its finish reason.
        """
        if not self._finished or self._seen - self._finished:
            raise truncated("ended its stream before the answer was finished")
        return ChatChunk(usage=self._usage, id=self._id, model=self._model) if self._usage else None


def encode_embedding(request: EmbeddingRequest, model: str) -> bytes:
    """The body of an embeddings request."""
    body: dict[str, Any] = {"model": model, "input": request.inputs, "encoding_format": request.encoding_format}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return _ENCODER.encode(body)


def embeddings_of(answer: _Embeddings, request: EmbeddingRequest) -> EmbeddingResponse:
    """The canonical form of an embeddings answer: one vector per input, in order, in the format asked for.

    Raises:
        ProviderError: It holds an error object, or vectors are missing or unreadable.
    """
    if answer.error:
        raise from_error_object(answer.error)
    ordered = sorted(answer.data, key=lambda item: item.index)
    if [item.index for item in ordered] != list(range(len(request.inputs))):
        raise malformed("vectors that do not match the inputs")
    as_base64 = request.encoding_format == "base64"
    return EmbeddingResponse(
        model=answer.model or "",
        vectors=tuple(_packed(item.embedding) if as_base64 else _floats(item.embedding) for item in ordered),
        usage=answer.usage.canonical() if answer.usage else None,
    )


def _packed(vector: list[float] | str) -> str:
    if isinstance(vector, str):
        return vector
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise malformed("a vector with numbers out of range") from None


def _floats(vector: list[float] | str) -> list[float]:
    if isinstance(vector, list):
        return vector
    try:
        data = b64decode(vector, validate=True)
        return list(struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data))
    except (Base64Error, ValueError, struct.error):
        raise malformed("a vector that cannot be read") from None
