"""``POST /v1/messages`` (Anthropic Messages API): the request as it comes, into `core.chat.ChatRequest`.

Cache hints (``cache_control``) are accepted and have no effect on the answer. Thinking blocks are neither asked for nor
returned. Tools that the provider would run, stored files and containers are refused by name.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greffier.core.chat import (
    ChatRequest,
    FilePart,
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    TextPart,
    ToolCall,
    ToolSpec,
)
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import CallId, decode_with_extras, invalid, unsupported
from greffier.gateway.wire.chat_request import Count

_json = msgspec.json.Encoder().encode
CacheHint = dict[str, Any] | None


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """A piece of a turn."""

    cache_control: CacheHint = None


class Text(Block, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Text; ``citations`` come back with earlier answers, empty."""

    text: str
    citations: Annotated[tuple[Any, ...], Meta(max_length=0)] | None = None


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where bytes or text are."""

    type: Literal["base64", "url", "text"]
    media_type: Annotated[str, Meta(max_length=128)] = ""
    data: str = ""
    url: str = ""


class Image(Block, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image"):
    """An image."""

    source: Source


class Document(Block, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="document"):
    """A document carried in the request."""

    source: Source
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class ToolUse(Block, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tool_use"):
    """A call the model made earlier."""

    id: CallId
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


class ToolResult(Block, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tool_result"):
    """What a call returned."""

    tool_use_id: CallId
    content: str | tuple[Text | Image | Document, ...] | None = None
    is_error: bool | None = None


AnyBlock = Text | Image | Document | ToolUse | ToolResult


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[AnyBlock, ...]


class SystemText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A block of the system prompt."""

    text: str
    type: Literal["text"]
    cache_control: CacheHint = None
    citations: Annotated[tuple[Any, ...], Meta(max_length=0)] | None = None


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tool of the caller's."""

    name: Annotated[str, Meta(min_length=1)]
    type: Literal["custom"] | None = None
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: CacheHint = None
    eager_input_streaming: bool | None = None  # a hint: our fragments are screened windows


class ToolChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which tool to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Extended thinking; ``adaptive`` leaves it to the model."""

    type: Literal["disabled", "adaptive", "enabled", "between_tools"]
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shape of the answer."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who the end user is."""

    user_id: Annotated[str, Meta(max_length=512)] | None = None


class WireMessages(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body; ``max_tokens`` is required for an answer and absent when only counting."""

    messages: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    max_tokens: Count | None = None
    model: str = ""
    system: str | tuple[SystemText, ...] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: tuple[str, ...] | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    metadata: Metadata | None = None
    output_config: OutputConfig | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: CacheHint = None


_decoder = msgspec.json.Decoder(WireMessages)
_EFFORT = {"max": "xhigh"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def decode_messages(
    body: bytes, *, max_depth: int, extra_parameters: Collection[str] = (), counting: bool = False
) -> Ruling[ChatRequest]:
    """Decode a request.

    Args:
        body: The bytes as they came.
        max_depth: Deepest nesting accepted.
        extra_parameters: Parameters beyond the dialect that the workspace lets through to models, passed on verbatim;
            ``thinking`` among them allows extended thinking with a budget.
        counting: The request only asks how many tokens it has.
    """
    decoded = decode_with_extras(_decoder, body, extra_parameters, max_depth=max_depth)
    if isinstance(decoded, Deny):
        return decoded
    wire, extras = decoded.value
    problem = _refused(wire, counting=counting, may_think="thinking" in extra_parameters)
    if problem is not None:
        return problem
    messages = _messages(wire)
    if isinstance(messages, Deny):
        return messages
    shape = wire.output_config.format if wire.output_config else None
    return Allow(
        ChatRequest(
            model=wire.model,
            messages=messages,
            stream=bool(wire.stream),
            include_usage=True,
            max_tokens=wire.max_tokens,
            tools=tuple(
                ToolSpec(FunctionSpec(tool.name, tool.description, tool.input_schema, tool.strict))
                for tool in wire.tools or ()
            ),
            tool_choice=_tool_choice(wire.tool_choice),
            response_format=None
            if shape is None
            else {"type": "json_schema", "json_schema": {"name": "answer", "schema": shape.schema, "strict": True}},
            params=_params(wire) | extras,
            end_user=wire.metadata.user_id if wire.metadata else None,
        ),
        "gateway.decode",
    )


def _refused(wire: WireMessages, *, counting: bool, may_think: bool) -> Deny | None:
    if wire.max_tokens is None and not counting:
        return invalid("max_tokens", "The field 'max_tokens' is missing")
    if _wants_budget(wire.thinking) and not may_think:
        return unsupported("thinking", "Use 'thinking: {type: adaptive}' or output_config.effort.")
    choice = wire.tool_choice
    if choice is not None and choice.type == "tool" and not choice.name:
        return invalid("tool_choice.name", "A choice of type 'tool' names the tool")
    return None


def _wants_budget(thinking: Thinking | None) -> bool:
    return thinking is not None and thinking.type in ("enabled", "between_tools")


def _params(wire: WireMessages) -> dict[str, Any]:
    effort = wire.output_config.effort if wire.output_config else None
    parallel = wire.tool_choice.disable_parallel_tool_use if wire.tool_choice else None
    named = {
        "temperature": wire.temperature,
        "top_p": wire.top_p,
        "top_k": wire.top_k,
        "stop": wire.stop_sequences or None,
        "reasoning_effort": None if effort is None else _EFFORT.get(effort, effort),
        "parallel_tool_calls": None if parallel is None else not parallel,
        "thinking": _plain(wire.thinking) if wire.thinking is not None and _wants_budget(wire.thinking) else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _plain(thinking: Thinking) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(thinking).items() if value is not None}


def _tool_choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES[choice.type]


def _messages(wire: WireMessages) -> tuple[Message, ...] | Deny:
    messages: list[Message] = []
    if wire.system:
        system = wire.system if isinstance(wire.system, str) else "\n\n".join(block.text for block in wire.system)
        messages.append(Message(role="system", content=system))
    for position, turn in enumerate(wire.messages):
        if isinstance(turn.content, str):
            messages.append(Message(role=turn.role, content=turn.content))
            continue
        problem = _add_blocks(messages, turn, turn.content, f"messages[{position}].content")
        if problem is not None:
            return problem
    return tuple(messages)


def _add_blocks(messages: list[Message], turn: Turn, blocks: tuple[AnyBlock, ...], where: str) -> Deny | None:
    """Blocks of one turn: results of calls become turns of their own, calls belong to the assistant's."""
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for position, block in enumerate(blocks):
        here = f"{where}[{position}]"
        if isinstance(block, ToolUse):
            if turn.role != "assistant":
                return invalid(here, "Only the assistant calls tools")
            calls.append(ToolCall(block.id, FunctionCall(block.name, _json(block.input).decode())))
        elif isinstance(block, ToolResult):
            if turn.role != "user":
                return invalid(here, "Results of tools come in the user's turn")
            result = _result(block, here)
            if isinstance(result, Deny):
                return result
            messages.append(result)
        else:
            part = _part(block, here)
            if isinstance(part, Deny):
                return part
            parts.append(part)
    if parts or calls:
        messages.append(Message(role=turn.role, content=_content(parts, turn.role), tool_calls=tuple(calls) or None))
    return None


def _content(parts: list[Part], role: str) -> str | tuple[Part, ...] | None:
    """A single text, or an assistant's texts, as a plain string: every model's server takes that."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if len(texts) == len(parts) and (len(parts) <= 1 or role != "user"):
        return "".join(texts) if texts else None
    return tuple(parts)


def _result(block: ToolResult, where: str) -> Message | Deny:
    if block.content is None or isinstance(block.content, str):
        text = block.content or ""
        content: str | tuple[Part, ...] = f"Error: {text}" if block.is_error else text
    else:
        parts: list[Part] = [TextPart("Error: ")] if block.is_error else []
        for position, inner in enumerate(block.content):
            part = _part(inner, f"{where}.content[{position}]")
            if isinstance(part, Deny):
                return part
            parts.append(part)
        content = _content(parts, "tool") or ""
    return Message(role="tool", content=content, tool_call_id=block.tool_use_id)


def _part(block: Text | Image | Document, where: str) -> Part | Deny:
    if isinstance(block, Text):
        return TextPart(block.text)
    return _image(block, where) if isinstance(block, Image) else _document(block, where)


def _image(block: Image, where: str) -> Part | Deny:
    source = block.source
    if source.type == "text":
        return invalid(f"{where}.source.type", "An image is given as base64 or by URL")
    if source.type == "url" and not source.url.lower().startswith(("https://", "http://")):
        return invalid(f"{where}.source.url", "The address of an image begins with https://")
    return ImagePart(ImageUrl(source.url if source.type == "url" else _data_url(source)))


def _document(block: Document, where: str) -> Part | Deny:
    source = block.source
    if block.citations and block.citations.get("enabled"):
        return unsupported(f"{where}.citations")
    if source.type == "url":
        return unsupported(f"{where}.source.url", "Send the document itself; the gateway fetches nothing.")
    if source.type == "text":
        heading = "\n".join(line for line in (block.title, block.context) if line)
        return TextPart(f"{heading}\n\n{source.data}" if heading else source.data)
    return FilePart({"file_data": _data_url(source), "filename": block.title or "document"})


def _data_url(source: Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"
