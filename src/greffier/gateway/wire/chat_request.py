"""``POST /v1/chat/completions`` (OpenAI API reference, chat): the request as it comes, into `core.chat.ChatRequest`.

Nothing is dropped in silence. A field is acted on, passed on verbatim, documented as a hint without effect, or refused
by name: what is not understood cannot be governed. The ``Strict`` types are the core types with that rule.
"""

from collections.abc import Collection
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from greffier.core.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolSpec,
)
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import CallId, ImageAddress, TokenId, decode_with_extras, invalid, unsupported


class StrictTextPart(TextPart, frozen=True, tag_field="type", tag="text", forbid_unknown_fields=True):
    """Text."""


class StrictImageUrl(ImageUrl, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where an image is."""

    url: ImageAddress


class StrictImagePart(ImagePart, frozen=True, tag_field="type", tag="image_url", forbid_unknown_fields=True):
    """An image."""

    image_url: StrictImageUrl


class StrictAudioPart(AudioPart, frozen=True, tag_field="type", tag="input_audio", forbid_unknown_fields=True):
    """Audio."""


class StrictFilePart(FilePart, frozen=True, tag_field="type", tag="file", forbid_unknown_fields=True):
    """A file."""


class StrictRefusalPart(RefusalPart, frozen=True, tag_field="type", tag="refusal", forbid_unknown_fields=True):
    """An earlier refusal."""


StrictPart = StrictTextPart | StrictImagePart | StrictAudioPart | StrictFilePart | StrictRefusalPart


class StrictFunctionCall(FunctionCall, frozen=True, forbid_unknown_fields=True):
    """A call the model asked for."""


class StrictToolCall(ToolCall, frozen=True, forbid_unknown_fields=True):
    """A tool call the model asked for; streamed answers that were put together again may carry ``index``."""

    id: CallId
    function: StrictFunctionCall
    index: int | UnsetType = UNSET


class StrictMessage(Message, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One turn. The last three fields are what OpenAI's own answers carry: accepted while empty."""

    content: str | tuple[StrictPart, ...] | None = None
    tool_calls: tuple[StrictToolCall, ...] | None = None
    tool_call_id: CallId | None = None
    annotations: Annotated[tuple[Any, ...], Meta(max_length=0)] | None = None
    audio: None = None
    function_call: None = None


class StrictFunctionSpec(FunctionSpec, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A function the model may call."""


class StrictToolSpec(ToolSpec, frozen=True, forbid_unknown_fields=True):
    """A tool offered to the model."""

    function: StrictFunctionSpec


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a stream. Obfuscation pads frames; ours are screened windows already."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Number = float | int
Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
EndUser = Annotated[str, Meta(max_length=512)]


class WireChat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body."""

    messages: Annotated[tuple[StrictMessage, ...], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    tools: tuple[StrictToolSpec, ...] | None = None
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    user: EndUser | None = None
    safety_identifier: EndUser | None = None
    # Passed on verbatim.
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType | None = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType | None = UNSET
    n: Annotated[int, Meta(ge=1, le=16)] | UnsetType | None = UNSET
    stop: str | Annotated[tuple[str, ...], Meta(max_length=4)] | UnsetType | None = UNSET
    seed: int | UnsetType | None = UNSET
    presence_penalty: Penalty | UnsetType | None = UNSET
    frequency_penalty: Penalty | UnsetType | None = UNSET
    logit_bias: dict[TokenId, Number] | UnsetType | None = UNSET
    logprobs: bool | UnsetType | None = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | UnsetType | None = UNSET
    verbosity: Literal["low", "medium", "high"] | UnsetType | None = UNSET
    service_tier: Literal["auto", "default", "flex", "priority"] | UnsetType | None = UNSET
    # Hints without effect on the answer; documented in docs/guide/api.md, not passed on.
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    # Known, and refused unless they say what happens anyway.
    store: bool | None = None
    modalities: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    functions: tuple[Any, ...] | None = None
    function_call: Any = None


PASSED_ON = (
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "service_tier",
)

_REFUSED = {
    "metadata": "Leave it out; records are kept by the gateway, and nothing is stored with the model's provider.",
    "audio": "Ask for text answers.",
    "prediction": "Leave it out; predicted text is not screened.",
    "web_search_options": "Leave it out; the gateway does not let the provider search on the caller's behalf.",
    "functions": "Use 'tools', which replaced it.",
    "function_call": "Use 'tool_choice', which replaced it.",
}

_FORMATS = ("text", "json_object", "json_schema")

_refused_values = attrgetter(*_REFUSED)
_passed_on_values = attrgetter(*PASSED_ON)
_decoder = msgspec.json.Decoder(WireChat)


def decode_chat(body: bytes, *, max_depth: int, extra_parameters: Collection[str] = ()) -> Ruling[ChatRequest]:
    """Decode a request.

    Args:
        body: The bytes as they came.
        max_depth: Deepest nesting accepted.
        extra_parameters: Non-standard parameters the workspace lets through to models, passed on verbatim.
    """
    decoded = decode_with_extras(_decoder, body, extra_parameters, max_depth=max_depth)
    return decoded if isinstance(decoded, Deny) else _translate(*decoded.value)


def _translate(wire: WireChat, extras: dict[str, Any]) -> Ruling[ChatRequest]:
    problem = _refused(wire) or _contradictory(wire) or check_messages(wire.messages)
    if problem is not None:
        return problem
    params = {
        name: value
        for name, value in zip(PASSED_ON, _passed_on_values(wire), strict=True)
        if value is not UNSET and value is not None
    }
    if extras:
        params.update(extras)
    options = wire.stream_options
    return Allow(
        ChatRequest(
            model=wire.model or "",
            messages=wire.messages,
            stream=bool(wire.stream),
            include_usage=options is not None and bool(options.include_usage),
            max_tokens=wire.max_completion_tokens or wire.max_tokens,
            tools=wire.tools or (),
            tool_choice=wire.tool_choice,
            response_format=wire.response_format,
            params=params,
            end_user=wire.safety_identifier or wire.user,
        ),
        "gateway.decode",
    )


def _refused(wire: WireChat) -> Deny | None:
    """What the gateway does not do, by name."""
    if any(_refused_values(wire)):
        name = next(name for name in _REFUSED if getattr(wire, name))
        return unsupported(name, _REFUSED[name])
    if wire.web_search_options is not None:  # an empty object is how OpenAI's search is switched on
        return unsupported("web_search_options", _REFUSED["web_search_options"])
    if wire.store:
        return unsupported("store", "Send 'store: false'; the gateway keeps the records itself.")
    if wire.modalities not in (None, ("text",)):
        return unsupported("modalities", "Ask for text answers.")
    if wire.stream and wire.logprobs is True:
        return unsupported(
            "logprobs", "Ask without 'stream': log-probabilities spell out text that is still held back."
        )
    return None


def _contradictory(wire: WireChat) -> Deny | None:
    """Fields that make no sense together, or that servers would ignore."""
    if wire.stream_options is not None and not wire.stream:
        return invalid("stream_options", "'stream_options' is only allowed with 'stream: true'")
    if wire.max_tokens and wire.max_completion_tokens and wire.max_tokens != wire.max_completion_tokens:
        return invalid("max_tokens", "'max_tokens' and 'max_completion_tokens' differ", "Send only one of them.")
    if wire.top_logprobs and wire.logprobs is not True:
        return invalid("top_logprobs", "'top_logprobs' is only allowed with 'logprobs: true'")
    if wire.response_format is not None and wire.response_format.get("type") not in _FORMATS:
        return invalid("response_format.type", f"A response format is one of {', '.join(_FORMATS)}")
    return None


def check_messages(messages: tuple[Message, ...]) -> Deny | None:
    """What types cannot say about turns: which fields belong to which role."""
    for position, message in enumerate(messages):
        role = message.role
        if message.content is None and not (role == "assistant" and (message.tool_calls or message.refusal)):
            return invalid(f"messages[{position}].content", f"A message of role '{role}' needs content")
        if role == "tool" and not message.tool_call_id:
            return invalid(f"messages[{position}].tool_call_id", "A tool's answer must name the call it answers")
        if isinstance(message.content, tuple) and (problem := _unread(message.content, f"messages[{position}]")):
            return problem
        if message.tool_calls and role != "assistant":
            return invalid(f"messages[{position}].tool_calls", "Only the assistant calls tools")
    return None


_CARRIED = {"file": frozenset({"file_data", "filename"}), "input_audio": frozenset({"data", "format"})}


def _unread(parts: tuple[Part, ...], where: str) -> Deny | None:
    """A file or a sound that is not carried in the request: stored elsewhere, or at an address to be fetched."""
    for position, part in enumerate(parts):
        if isinstance(part, FilePart | AudioPart):
            kind, held = ("file", part.file) if isinstance(part, FilePart) else ("input_audio", part.input_audio)
            for key, value in held.items():
                name = f"{where}.content[{position}].{kind}.{key}"
                if key not in _CARRIED[kind]:
                    return unsupported(name, "Send the content itself; what is stored elsewhere cannot be governed.")
                if not isinstance(value, str):
                    return invalid(name, f"Expected str at '{name}'")
    return None
