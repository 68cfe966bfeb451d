"""A request path without governance, for tests of the surfaces: the last turn of the conversation says what happens.

``!deny CODE`` refuses, ``!stop CODE`` stops a stream in its middle, ``!cut`` ends it without a finish reason, ``!hang``
never answers, ``!fault`` raises, ``!tool`` calls every tool that was offered; anything else is echoed word by word.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import msgspec

from greffier.core.chat import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Choice,
    EmbeddingRequest,
    EmbeddingResponse,
    FunctionCall,
    FunctionDelta,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from greffier.core.context import Arrival
from greffier.core.errors import Code
from greffier.core.rulings import Deny, Refused, Ruling
from greffier.gateway.ports import Decode, Pipelines
from greffier.guardrails.check import CheckRequest, Moderation
from greffier.pipeline.answers import ChatAnswer, ChatStream, EmbedAnswer, ModelCard, ReviewStatus
from greffier.pipeline.asks import FeedbackRequest, ModerationRequest

T = TypeVar("T")

KEY = "test-key"
MODEL = "scripted-1"
REVIEW = "rev_1"
HEADERS = (("x-greffier-route", "scripted"), ("x-ratelimit-remaining-requests", "9"))
_RULE = "scripted"
_USAGE_CACHED = 2


class _Gate:
    """Knows one key; decodes only behind it."""

    def admit(self, arrival: Arrival) -> None:
        """Refuse whoever does not hold the key."""
        if arrival.credential is None:
            raise Refused(Deny(Code.MISSING_CREDENTIALS, _RULE, "No credential was sent"))
        if arrival.credential.secret != KEY:
            raise Refused(Deny(Code.INVALID_API_KEY, _RULE, "The key is unknown"))

    def open(self, arrival: Arrival, decode: Decode[T]) -> T:
        """Admit, then decode."""
        self.admit(arrival)
        ruling: Ruling[T] = decode()
        if isinstance(ruling, Deny):
            raise Refused(ruling)
        return ruling.value


class ScriptedChat(_Gate):
    """Answers conversations by script.

    Attributes:
        requests: What was asked, oldest first.
        abandoned: How many calls were cancelled or closed early.
        asked: Set once a request arrived.
    """

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []
        self.abandoned = 0
        self.asked = asyncio.Event()

    async def run(self, arrival: Arrival, decode: Decode[ChatRequest]) -> ChatAnswer | ChatStream:
        """Answer as the last turn says."""
        request = self.open(arrival, decode)
        self.requests.append(request)
        self.asked.set()
        if request.model not in ("", MODEL):
            raise Refused(Deny(Code.MODEL_NOT_FOUND, _RULE, "No such model", param="model"), HEADERS)
        text = last_text(request)
        if text.startswith("!deny "):
            raise Refused(Deny(Code(text.split()[1]), _RULE, "The script says so", retry_after_s=0.01), HEADERS)
        if text == "!fault":
            raise ZeroDivisionError(text)
        if request.stream:
            return ChatStream(self._fragments(request, text), HEADERS)
        if text == "!hang":
            await self._hang()
        return ChatAnswer(_whole(request, text), HEADERS)

    async def count(self, arrival: Arrival, decode: Decode[ChatRequest]) -> int:
        """One token per word."""
        request = self.open(arrival, decode)
        return sum(len(_text(message).split()) for message in request.messages)

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise

    async def _fragments(self, request: ChatRequest, text: str) -> AsyncGenerator[ChatChunk, None]:
        try:
            if text == "!hang":
                yield ChatChunk(text="wait", id="up-1", model=MODEL)
                await asyncio.Event().wait()
            calls = _calls(request) if text == "!tool" else ()
            for index, call in enumerate(calls):
                name = FunctionDelta(name=call.function.name, arguments="")
                yield ChatChunk(tool_calls=(ToolCallDelta(index, call.id, "function", name),), id="up-1", model=MODEL)
                for piece in ('{"city":', '"Ulm"}'):
                    yield ChatChunk(tool_calls=(ToolCallDelta(index, function=FunctionDelta(arguments=piece)),))
            for word in () if calls else text.split(" "):
                yield ChatChunk(text=word + " ", id="up-1", model=MODEL)
            if text.startswith("!stop "):
                raise Refused(Deny(Code(text.split()[1]), _RULE, "The script says so"))
            if text != "!cut":
                yield ChatChunk(finish_reason="tool_calls" if calls else "stop", id="up-1", model=MODEL)
                yield ChatChunk(usage=_usage(request, text), id="up-1", model=MODEL)
        except (asyncio.CancelledError, GeneratorExit):
            self.abandoned += 1
            raise


class ScriptedEmbed(_Gate):
    """Turns a text into its length and its number of words."""

    async def run(self, arrival: Arrival, decode: Decode[EmbeddingRequest]) -> EmbedAnswer:
        """One small vector per input."""
        request = self.open(arrival, decode)
        vectors: list[list[float] | str] = [[float(len(text)), float(len(text.split()))] for text in request.inputs]
        if request.encoding_format == "base64":
            vectors = ["AACAPwAAAEA=" for _ in vectors]
        words = sum(len(text.split()) for text in request.inputs)
        response = EmbeddingResponse(request.model or MODEL, tuple(vectors), Usage(input_tokens=words))
        return EmbedAnswer(response, HEADERS)


class ScriptedModels(_Gate):
    """Knows one model."""

    async def run(self, arrival: Arrival) -> tuple[ModelCard, ...]:
        """The one model."""
        self.admit(arrival)
        return (ModelCard(MODEL, 1_700_000_000, "greffier", "Scripted"),)


class CheckVerdict(msgspec.Struct, frozen=True):
    """A verdict."""

    action: str
    findings: tuple[dict[str, Any], ...] = ()
    latency_ms: float = 0.0


class ScriptedCheck(_Gate):
    """Flags every text with the word ``bad``."""

    async def run(self, arrival: Arrival, decode: Decode[CheckRequest]) -> msgspec.Struct:
        """Flag or allow."""
        return CheckVerdict("flag" if "bad" in self.open(arrival, decode).text else "allow")

    async def moderate(self, arrival: Arrival, decode: Decode[ModerationRequest]) -> tuple[Moderation, ...]:
        """Flag or allow each."""
        inputs = self.open(arrival, decode).inputs
        return tuple(
            Moderation("bad" in text, {"toxicity": 0.9 if "bad" in text else 0.1}, ("toxicity",) * ("bad" in text))
            for text in inputs
        )


class ScriptedFeedback(_Gate):
    """Thanks for everything."""

    async def run(self, arrival: Arrival, decode: Decode[FeedbackRequest]) -> dict[str, Any]:
        """Thank."""
        request = self.open(arrival, decode)
        return {"request_id": request.request_id, "recorded": True}


class ScriptedReviews(_Gate):
    """Knows one review."""

    async def run(self, arrival: Arrival, review_id: str) -> ReviewStatus:
        """The one review, pending."""
        self.admit(arrival)
        if review_id != REVIEW:
            raise Refused(Deny(Code.RECORD_NOT_FOUND, _RULE, "There is no such review"))
        return ReviewStatus(REVIEW, "pending", "escalated", 1_700_000_000_000, 1_700_086_400_000)


class ScriptedHealth:
    """Always well, unless told otherwise."""

    def __init__(self) -> None:
        self.well = True

    def live(self) -> dict[str, Any]:
        """Facts."""
        return {"version": "test"}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """As told."""
        return self.well, {}

    async def metrics(self) -> tuple[str, bytes]:
        """One metric."""
        return "text/plain; version=0.0.4", b"up 1\n"


def scripted_pipelines(chat: ScriptedChat | None = None) -> Pipelines:
    """All of it."""
    chat = chat or ScriptedChat()
    others = (ScriptedEmbed(), ScriptedModels(), ScriptedCheck(), ScriptedFeedback(), ScriptedReviews())
    return Pipelines(chat, *others, known=_known)


async def _known(arrival: Arrival) -> bool:
    return arrival.credential is not None and arrival.credential.secret == KEY


def last_text(request: ChatRequest) -> str:
    """The text of the last turn; empty where nobody has said anything (a system prompt of no parts, and no turns)."""
    return _text(request.messages[-1]) if request.messages else ""


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return " ".join(getattr(part, "text", "[part]") for part in message.content or ())


def _usage(request: ChatRequest, text: str) -> Usage:
    words = sum(len(_text(message).split()) for message in request.messages)
    return Usage(input_tokens=words, output_tokens=len(text.split()), cached_tokens=_USAGE_CACHED)


def _calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(f"call_{index}", FunctionCall(tool.function.name, '{"city":"Ulm"}'))
        for index, tool in enumerate(request.tools)
    )


def _whole(request: ChatRequest, text: str) -> ChatResponse:
    calls = _calls(request) if text == "!tool" else ()
    message = Message(role="assistant", content=None if calls else text, tool_calls=calls or None)
    choice = Choice(message, "tool_calls" if calls else "stop")
    return ChatResponse("up-1", MODEL, (choice,), _usage(request, text), created=1_700_000_000)
