"""A canonical request becomes one in Anthropic's shape."""

from typing import Any

import msgspec

from greffier.core.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ToolCall,
)
from greffier.llm.anthropic_wire.types import (
    AnthropicMessage,
    AnthropicRequest,
    AnthropicTool,
    AnthropicToolChoice,
    Base64Source,
    Block,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
    WireError,
)

ANSWER_TOOL = "json_answer"
"""Name of the tool whose input is the answer when a caller asks for JSON."""

# Hints that change nothing a caller could rely on; they stay here instead of being refused.
_HINTS = frozenset({"seed", "store", "metadata", "verbosity", "reasoning_effort", "prompt_cache_key", "user"})
_TRANSLATED = frozenset(
    {"temperature", "top_p", "top_k", "stop", "thinking", "parallel_tool_calls", "service_tier", "n", "modalities"}
)


def wants_json(request: ChatRequest) -> bool:
    """Whether the caller asked for JSON, so that the answer comes as the input of `ANSWER_TOOL`."""
    return request.response_format is not None and request.response_format.get("type") != "text"


def request_to_anthropic(request: ChatRequest, model: str, max_tokens: int, *, stream: bool) -> AnthropicRequest:
    """Translate.

    All system and developer messages become the system prompt; consecutive turns of one role are merged, tool results
    first, as the API demands. The caller's end-user reference is not passed on.

    Args:
        request: What to ask.
        model: Model name upstream.
        max_tokens: Bound on generated tokens when the request sets none.
        stream: Whether to ask for a stream.

    Raises:
        WireError: The request uses something Anthropic cannot express.
    """
    _check_params(request.params)
    tools = tuple(
        _tool(spec.function.name, spec.function.description, spec.function.parameters) for spec in request.tools
    )
    choice = _tool_choice(request) if tools else None
    if wants_json(request):
        if tools:
            raise WireError("response_format", "JSON answers and tools cannot be combined with this provider")
        tools = (_tool(ANSWER_TOOL, "Give the whole answer as the input of this tool.", _schema(request)),)
        choice = AnthropicToolChoice("tool", ANSWER_TOOL)
    params = request.params
    return AnthropicRequest(
        model=model,
        messages=_turns(request.messages),
        max_tokens=request.max_tokens or max_tokens,
        system=_system(request.messages) or None,
        stream=stream,
        temperature=_temperature(params.get("temperature")),
        top_p=params.get("top_p"),
        top_k=params.get("top_k"),
        stop_sequences=_stops(params.get("stop")),
        tools=tools,
        tool_choice=choice,
        thinking=params.get("thinking"),
        service_tier=params.get("service_tier"),
    )


def _check_params(params: dict[str, Any]) -> None:
    if (params.get("n") or 1) != 1:
        raise WireError("n", "this provider gives one answer per request")
    if params.get("modalities") not in (None, [], ["text"]):
        raise WireError("modalities", "this provider answers with text only")
    for name, value in params.items():
        if value and name not in _TRANSLATED and name not in _HINTS:
            raise WireError(name, "this provider has no such parameter")


def _temperature(value: Any) -> float | None:
    """OpenAI's scale ends at 2, Anthropic's at 1."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("temperature", "give a number")
    return min(float(value), 1.0)


def _stops(stop: Any) -> tuple[str, ...]:
    if not stop:
        return ()
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(item, str) for item in stops):
        raise WireError("stop", "give a string or a list of strings")
    return tuple(stops)


def _schema(request: ChatRequest) -> dict[str, Any] | None:
    form = request.response_format or {}
    if form.get("type") == "json_object":
        return {"type": "object"}
    schema = (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise WireError("response_format", "give a json_schema with a schema, or json_object")
    if schema.get("type") != "object":
        raise WireError("response_format", "the schema's root must be of type object")
    return schema


def _tool(name: str, description: str | None, schema: dict[str, Any] | None) -> AnthropicTool:
    return AnthropicTool(name, schema or {"type": "object", "properties": {}}, description)


def _tool_choice(request: ChatRequest) -> AnthropicToolChoice | None:
    serial = True if request.params.get("parallel_tool_calls") is False else None
    choice = request.tool_choice
    if choice is None or choice == "auto":
        return AnthropicToolChoice("auto", None, serial) if choice or serial else None
    if choice == "none":
        return AnthropicToolChoice("none")
    if choice == "required":
        return AnthropicToolChoice("any", None, serial)
    name = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if not isinstance(name, str):
        raise WireError("tool_choice", "give auto, none, required or a named function")
    return AnthropicToolChoice("tool", name, serial)


def _system(messages: tuple[Message, ...]) -> str:
    texts = [_plain_text(message) for message in messages if message.role in {"system", "developer"}]
    return "\n\n".join(text for text in texts if text)


def _plain_text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    texts = []
    for part in message.content:
        if not isinstance(part, TextPart):
            raise WireError("messages", "a system prompt holds text only")
        texts.append(part.text)
    return "\n".join(texts)


def _turns(messages: tuple[Message, ...]) -> tuple[AnthropicMessage, ...]:
    turns: list[tuple[str, list[Block]]] = []
    for place, message in enumerate(messages):
        if message.role in {"system", "developer"}:
            continue
        role, blocks = _blocks(message, f"messages.{place}")
        if not blocks:
            continue
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    if turns and turns[-1][0] == "assistant":
        _strip_end(turns[-1][1])
    return tuple(_message(role, blocks) for role, blocks in turns if blocks)


def _message(role: str, blocks: list[Block]) -> AnthropicMessage:
    if role == "assistant":
        return AnthropicMessage("assistant", tuple(blocks))
    results = [block for block in blocks if isinstance(block, ToolResultBlock)]
    others = [block for block in blocks if not isinstance(block, ToolResultBlock)]
    return AnthropicMessage("user", (*results, *others))


def _strip_end(blocks: list[Block]) -> None:
    """The API refuses an assistant turn to be continued that ends with white space."""
    last = blocks[-1]
    if isinstance(last, TextBlock):
        blocks.pop()
        if text := last.text.rstrip():
            blocks.append(TextBlock(text))


def _blocks(message: Message, where: str) -> tuple[str, list[Block]]:
    if message.role == "user":
        return "user", _content(message, where)
    if message.role == "assistant":
        blocks = _content(message, where)
        if message.refusal:
            blocks.append(TextBlock(message.refusal))
        blocks += [_tool_use(call, f"{where}.tool_calls.{i}") for i, call in enumerate(message.tool_calls or ())]
        return "assistant", blocks
    if message.role == "tool":
        return "user", [_tool_result(message, where)]
    raise WireError(f"{where}.role", "the function role is obsolete; use tools")


def _content(message: Message, where: str) -> list[Block]:
    if message.content is None:
        return []
    if isinstance(message.content, str):
        return [TextBlock(message.content)] if message.content else []
    blocks = [_part(part, f"{where}.content.{place}") for place, part in enumerate(message.content)]
    return [block for block in blocks if not isinstance(block, TextBlock) or block.text]


def _part(part: Part, where: str) -> Block:
    match part:
        case TextPart(text=text) | RefusalPart(refusal=text):
            return TextBlock(text)
        case ImagePart():
            return ImageBlock(_image_source(part, where))
        case FilePart():
            return _document(part, where)
        case AudioPart():
            raise WireError(where, "this provider takes no audio")


def _image_source(part: ImagePart, where: str) -> Base64Source | UrlSource:
    url = part.image_url.url
    if url.startswith("https://"):
        return UrlSource(url)
    return _data_url(url, f"{where}.image_url.url", "an image must be an https: URL or a base64 data: URL")


def _data_url(url: Any, where: str, otherwise: str) -> Base64Source:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise WireError(where, otherwise)
    media_type = head.removeprefix("data:").removesuffix(";base64").split(";", 1)[0]
    return Base64Source(media_type, data)


def _document(part: FilePart, where: str) -> DocumentBlock:
    source = _data_url(part.file.get("file_data"), f"{where}.file", "a file must be given as a base64 data: URL")
    title = part.file.get("filename")
    return DocumentBlock(source, title if isinstance(title, str) else None)


def _tool_use(call: ToolCall, where: str) -> ToolUseBlock:
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise WireError(f"{where}.function.arguments", "arguments must be a JSON object")
    return ToolUseBlock(call.id, call.function.name, arguments)


def _tool_result(message: Message, where: str) -> ToolResultBlock:
    if not message.tool_call_id:
        raise WireError(f"{where}.tool_call_id", "a tool message names the call it answers")
    if message.content is None or isinstance(message.content, str):
        return ToolResultBlock(message.tool_call_id, message.content or "")
    blocks = _content(message, where)
    kept = tuple(block for block in blocks if isinstance(block, TextBlock | ImageBlock))
    if len(kept) != len(blocks):
        raise WireError(f"{where}.content", "a tool result holds text and images only")
    return ToolResultBlock(message.tool_call_id, kept)
