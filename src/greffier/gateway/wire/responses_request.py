"""``POST /v1/responses`` (OpenAI Responses API): the request as it comes, into `core.chat.ChatRequest`.

The gateway keeps no conversations: what refers to state at the provider (``previous_response_id``, ``store: true``,
stored files and prompts) is refused by name, as are tools that the provider would run on the caller's behalf.
"""

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
    RefusalPart,
    TextPart,
    ToolCall,
    ToolSpec,
)
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.decoding import CallId, ImageAddress, decode, invalid, unsupported
from greffier.gateway.wire.chat_request import Count, EndUser, check_messages


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class InputText(_Part, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="input_text"):
    """Text of a turn."""

    text: str


class OutputText(_Part, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="output_text"):
    """Text the model gave earlier; comes back with what our answers carry beside it."""

    text: str
    annotations: Annotated[tuple[Any, ...], Meta(max_length=0)] | None = None
    logprobs: tuple[Any, ...] | None = None


class Refusal(_Part, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"):
    """A refusal the model gave earlier."""

    refusal: str


class InputImage(_Part, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="input_image"):
    """An image by URL; a stored file cannot be screened."""

    image_url: ImageAddress
    detail: str | None = None


class InputFile(_Part, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="input_file"):
    """A file carried in the request."""

    file_data: str
    filename: str | None = None


WirePart = InputText | OutputText | Refusal | InputImage | InputFile


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One item of the input: a message (with or without its type), a call, or a call's result."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    id: str | None = None
    status: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | tuple[WirePart, ...] | None = None
    call_id: CallId | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | tuple[WirePart, ...] | None = None


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A function the model may call."""

    type: Literal["function"]
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class TextFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shape of the answer."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class TextConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the answer's text is to be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much to reason. Summaries are not returned, whatever is asked."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: str | None = None
    generate_summary: str | None = None


class NamedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The one function the model must call."""

    type: Literal["function"]
    name: str


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a stream."""

    include_obfuscation: bool | None = None


class WireResponses(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request body."""

    input: str | Annotated[tuple[Item, ...], Meta(min_length=1)]
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: Count | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    user: EndUser | None = None
    safety_identifier: EndUser | None = None
    # Hints without effect on the answer.
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    include: tuple[Literal["reasoning.encrypted_content"], ...] | None = None
    # Known, and refused unless they say what happens anyway.
    store: bool | None = None
    background: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    metadata: dict[str, Any] | None = None
    max_tool_calls: int | None = None
    top_logprobs: int | None = None


_STATELESS = "Send the whole conversation in 'input'; the gateway keeps none."
_REFUSED = {
    "previous_response_id": _STATELESS,
    "conversation": _STATELESS,
    "prompt": "Prompts live in the workspace; the use case's own is placed by the gateway.",
    "metadata": "Leave it out; nothing is stored with the model's provider.",
    "background": "Leave it out and use 'stream' for long answers.",
    "max_tool_calls": "Leave it out; the provider runs no tools.",
    "top_logprobs": "Use /v1/chat/completions for log probabilities.",
}
_decoder = msgspec.json.Decoder(WireResponses)


def decode_responses(body: bytes, *, max_depth: int) -> Ruling[WireResponses]:
    """Decode a request and refuse what the gateway does not do."""
    ruling = decode(_decoder, body, max_depth=max_depth)
    if isinstance(ruling, Deny):
        return ruling
    wire = ruling.value
    for name, remedy in _REFUSED.items():
        if getattr(wire, name):
            return unsupported(name, remedy)
    if wire.store:
        return unsupported("store", "Send 'store: false'; the gateway keeps the records itself.")
    if wire.truncation == "auto":
        return unsupported("truncation", "Shorten the input; the gateway never drops turns in silence.")
    if wire.text and wire.text.format and wire.text.format.type == "json_schema" and wire.text.format.schema is None:
        return invalid("text.format.schema", "A format of type 'json_schema' needs a schema")
    return ruling


def to_chat(wire: WireResponses) -> Ruling[ChatRequest]:
    """Translate to the canonical conversation."""
    messages = _messages(wire)
    if isinstance(messages, Deny):
        return messages
    problem = check_messages(messages)
    if problem is not None:
        return problem
    choice: Any = wire.tool_choice
    if isinstance(choice, NamedTool):
        choice = {"type": "function", "function": {"name": choice.name}}
    return Allow(
        ChatRequest(
            model=wire.model or "",
            messages=messages,
            stream=bool(wire.stream),
            include_usage=True,
            max_tokens=wire.max_output_tokens,
            tools=tuple(_tool(tool) for tool in wire.tools or ()),
            tool_choice=choice,
            response_format=_response_format(wire),
            params=_params(wire),
            end_user=wire.safety_identifier or wire.user,
        ),
        "gateway.decode",
    )


def _params(wire: WireResponses) -> dict[str, Any]:
    named = {
        "temperature": wire.temperature,
        "top_p": wire.top_p,
        "parallel_tool_calls": wire.parallel_tool_calls if wire.tools else None,
        "service_tier": wire.service_tier,
        "reasoning_effort": wire.reasoning.effort if wire.reasoning else None,
        "verbosity": wire.text.verbosity if wire.text else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _response_format(wire: WireResponses) -> dict[str, Any] | None:
    shape = wire.text.format if wire.text else None
    if shape is None or shape.type == "text":
        return None
    if shape.type == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": shape.name or "answer", "schema": shape.schema}
    if shape.strict is not None:
        schema["strict"] = shape.strict
    if shape.description is not None:
        schema["description"] = shape.description
    return {"type": "json_schema", "json_schema": schema}


def _tool(tool: Tool) -> ToolSpec:
    return ToolSpec(FunctionSpec(tool.name, tool.description, tool.parameters, tool.strict))


def _messages(wire: WireResponses) -> tuple[Message, ...] | Deny:
    messages: list[Message] = []
    if wire.instructions:
        messages.append(Message(role="system", content=wire.instructions))
    if isinstance(wire.input, str):
        messages.append(Message(role="user", content=wire.input))
        return tuple(messages)
    for position, item in enumerate(wire.input):
        problem = _add(messages, item, f"input[{position}]")
        if problem is not None:
            return problem
    return tuple(messages)


def _add(messages: list[Message], item: Item, where: str) -> Deny | None:
    if item.type == "message":
        return _add_message(messages, item, where)
    if not item.call_id:
        return invalid(f"{where}.call_id", "A call and its result carry a call_id")
    if item.type == "function_call":
        return _add_call(messages, item, item.call_id, where)
    if item.output is None:
        return invalid(f"{where}.output", "A call's result needs its output")
    output = item.output if isinstance(item.output, str) else tuple(map(_part, item.output))
    messages.append(Message(role="tool", content=output, tool_call_id=item.call_id))
    return None


def _add_message(messages: list[Message], item: Item, where: str) -> Deny | None:
    if item.role is None:
        return invalid(f"{where}.role", "A message needs a role")
    if item.content is None:
        return invalid(f"{where}.content", "A message needs content")
    messages.append(_message(item.role, item.content))
    return None


def _add_call(messages: list[Message], item: Item, call_id: str, where: str) -> Deny | None:
    if not item.name or item.arguments is None:
        return invalid(f"{where}.name", "A call needs the function's name and its arguments")
    call = ToolCall(call_id, FunctionCall(item.name, item.arguments))
    if messages and messages[-1].role == "assistant":  # text and calls of one turn are one message
        last = messages[-1]
        messages[-1] = msgspec.structs.replace(last, tool_calls=(*(last.tool_calls or ()), call))
    else:
        messages.append(Message(role="assistant", content=None, tool_calls=(call,)))
    return None


def _message(role: Literal["user", "assistant", "system", "developer"], content: str | tuple[WirePart, ...]) -> Message:
    if isinstance(content, str):
        return Message(role=role, content=content)
    if role == "assistant" and all(isinstance(part, OutputText | InputText) for part in content):
        return Message(role=role, content="".join(part.text for part in content if hasattr(part, "text")))
    return Message(role=role, content=tuple(map(_part, content)))


def _part(part: WirePart) -> Part:
    if isinstance(part, InputText | OutputText):
        return TextPart(part.text)
    if isinstance(part, Refusal):
        return RefusalPart(part.refusal)
    if isinstance(part, InputImage):
        return ImagePart(ImageUrl(part.image_url, part.detail))
    file = {"file_data": part.file_data}
    if part.filename is not None:
        file["filename"] = part.filename
    return FilePart(file)
