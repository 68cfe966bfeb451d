"""A request in Anthropic's shape becomes a canonical one."""

from typing import Any

import msgspec

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
    TextSource,
    ToolResultBlock,
    ToolUseBlock,
    WireError,
)

_ENCODER = msgspec.json.Encoder()


def request_from_anthropic(request: AnthropicRequest) -> ChatRequest:
    """Translate. Thinking blocks and cache marks are left out; everything else is kept or refused.

    Tool results become ``tool`` messages; ``top_k`` and ``thinking`` go to ``params``, where the gateway's list of
    permitted parameters applies to them.

    Raises:
        WireError: The request uses something the canonical form cannot hold.
    """
    messages: list[Message] = []
    if system := _system(request.system):
        messages.append(Message("system", system))
    for place, message in enumerate(request.messages):
        messages += _turn(message, f"messages.{place}")
    return ChatRequest(
        model=request.model,
        messages=tuple(messages),
        stream=request.stream,
        include_usage=request.stream,
        max_tokens=request.max_tokens,
        tools=tuple(_tool(tool, f"tools.{place}") for place, tool in enumerate(request.tools)),
        tool_choice=_tool_choice(request.tool_choice) if request.tools else None,
        response_format=_response_format(request.output_config),
        params=_params(request),
        end_user=request.metadata.user_id if request.metadata else None,
    )


def _system(system: str | tuple[TextBlock, ...] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n\n".join(block.text for block in system)


def _params(request: AnthropicRequest) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(request, name)) is not None:
            params[name] = value
    if request.stop_sequences:
        params["stop"] = list(request.stop_sequences)
    if request.thinking is not None and request.thinking.get("type") != "disabled":
        params["thinking"] = request.thinking
    if request.tools and request.tool_choice and request.tool_choice.disable_parallel_tool_use:
        params["parallel_tool_calls"] = False
    if request.service_tier is not None:
        params["service_tier"] = request.service_tier
    return params


def _response_format(config: dict[str, Any] | None) -> dict[str, Any] | None:
    wanted = config.get("format") if config else None
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema" or "schema" not in wanted:
        raise WireError("output_config.format", "only json_schema with a schema is known")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted["schema"], "strict": True}}


def _turn(message: AnthropicMessage, where: str) -> list[Message]:
    if isinstance(message.content, str):
        return [Message(message.role, message.content)]
    if message.role == "assistant":
        return _assistant(message.content, where)
    return _user(message.content, where)


def _assistant(blocks: tuple[Block, ...], where: str) -> list[Message]:
    texts: list[str] = []
    calls: list[ToolCall] = []
    for place, block in enumerate(blocks):
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolUseBlock):
            calls.append(ToolCall(block.id, FunctionCall(block.name, _ENCODER.encode(block.input).decode())))
        elif isinstance(block, ImageBlock | DocumentBlock | ToolResultBlock):
            raise WireError(f"{where}.content.{place}", "an assistant turn holds text and tool_use only")
    text = "".join(texts)
    if not text and not calls:
        return []
    return [Message("assistant", text or None, tool_calls=tuple(calls) or None)]


def _user(blocks: tuple[Block, ...], where: str) -> list[Message]:
    results: list[Message] = []
    parts: list[Part] = []
    for place, block in enumerate(blocks):
        here = f"{where}.content.{place}"
        if isinstance(block, TextBlock):
            parts.append(TextPart(block.text))
        elif isinstance(block, ImageBlock):
            parts.append(_image(block))
        elif isinstance(block, DocumentBlock):
            parts.append(_document(block, here))
        elif isinstance(block, ToolResultBlock):
            results.append(_result(block))
        else:
            raise WireError(here, "a user turn holds text, images, documents and tool results only")
    if not parts:
        return results
    if all(isinstance(part, TextPart) for part in parts) and len(parts) == 1:
        return [*results, Message("user", parts[0].text if isinstance(parts[0], TextPart) else "")]
    return [*results, Message("user", tuple(parts))]


def _image(block: ImageBlock) -> ImagePart:
    source = block.source
    if isinstance(source, Base64Source):
        return ImagePart(ImageUrl(f"data:{source.media_type};base64,{source.data}"))
    return ImagePart(ImageUrl(source.url))


def _document(block: DocumentBlock, where: str) -> Part:
    source = block.source
    if isinstance(source, TextSource):
        return TextPart(f"{block.title}\n\n{source.data}" if block.title else source.data)
    if isinstance(source, Base64Source):
        data = f"data:{source.media_type};base64,{source.data}"
        return FilePart({"filename": block.title or "document.pdf", "file_data": data})
    raise WireError(f"{where}.source", "a document must be given as base64 or text, not as a URL")


def _result(block: ToolResultBlock) -> Message:
    content = block.content
    prefix = "Error: " if block.is_error else ""
    if content is None or isinstance(content, str):
        return Message("tool", prefix + (content or ""), tool_call_id=block.tool_use_id)
    if all(isinstance(part, TextBlock) for part in content):
        text = "\n".join(part.text for part in content if isinstance(part, TextBlock))
        return Message("tool", prefix + text, tool_call_id=block.tool_use_id)
    parts = [_image(part) if isinstance(part, ImageBlock) else TextPart(part.text) for part in content]
    if prefix:
        parts.insert(0, TextPart(prefix))
    return Message("tool", tuple(parts), tool_call_id=block.tool_use_id)


def _tool(tool: AnthropicTool, where: str) -> ToolSpec:
    if tool.type not in {None, "custom"} or tool.input_schema is None:
        raise WireError(where, "tools that the provider runs itself are not offered; give a name and an input_schema")
    return ToolSpec(FunctionSpec(tool.name, tool.description, tool.input_schema, tool.strict))


def _tool_choice(choice: AnthropicToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if not choice.name:
            raise WireError("tool_choice.name", "a choice of type tool names the tool")
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.type == "any" else choice.type
