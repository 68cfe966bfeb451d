"""Walking every text of a conversation, so that no place can be forgotten by one caller and not by another."""

from collections.abc import Callable
from typing import Any

import msgspec

from greffier.core.chat import (
    ChatRequest,
    FunctionCall,
    Message,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    ToolSpec,
)
from greffier.guardrails.ports import Provenance

Change = Callable[[str, Provenance], str]
"""Takes a text and where it comes from; returns the text to put in its place, the same object for no change."""

_PROVENANCE: dict[Role, Provenance] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool_output",
    "function": "tool_output",
}


def rewrite_request(request: ChatRequest, change: Change) -> ChatRequest:
    """Apply ``change`` to every text of the request: messages, tool calls and tool descriptions."""
    messages = tuple([rewrite_message(message, _PROVENANCE[message.role], change) for message in request.messages])
    tools = tuple([_tool(tool, change) for tool in request.tools]) if request.tools else request.tools
    same = all(new is old for new, old in zip(messages, request.messages, strict=True))
    if same and all(new is old for new, old in zip(tools, request.tools, strict=True)):
        return request
    return msgspec.structs.replace(request, messages=messages, tools=tools)


def rewrite_message(message: Message, provenance: Provenance, change: Change) -> Message:
    """Apply ``change`` to every text of a message."""
    content = message.content
    new_content: str | tuple[Part, ...] | None = content
    if isinstance(content, str):
        new_content = change(content, provenance) if content else content
    elif content is not None:
        parts = tuple([_part(part, provenance, change) for part in content])
        if any(new is not old for new, old in zip(parts, content, strict=True)):
            new_content = parts
    refusal = change(message.refusal, provenance) if message.refusal else message.refusal
    name = change(message.name, provenance) if message.name else message.name
    calls = message.tool_calls
    if calls:
        calls = tuple([_call(call, change) for call in calls])
        if all(new is old for new, old in zip(calls, message.tool_calls or (), strict=True)):
            calls = message.tool_calls
    unchanged = new_content is content and refusal is message.refusal and name is message.name
    if unchanged and calls is message.tool_calls:
        return message
    return msgspec.structs.replace(message, content=new_content, refusal=refusal, name=name, tool_calls=calls)


def _part(part: Part, provenance: Provenance, change: Change) -> Part:
    if isinstance(part, TextPart):
        text = change(part.text, provenance)
        return part if text is part.text else TextPart(text)
    if isinstance(part, RefusalPart):
        text = change(part.refusal, provenance)
        return part if text is part.refusal else RefusalPart(text)
    return part


def _call(call: ToolCall, change: Change) -> ToolCall:
    written = call.function.arguments
    if not written:
        return call
    readable = plain_json(written)
    arguments = change(readable, "tool_call")
    if arguments is readable:
        return call
    return msgspec.structs.replace(call, function=FunctionCall(call.function.name, arguments))


def plain_json(text: str) -> str:
    r"""JSON text without escapes that could hide what it says (``\u0041``); other text comes back unchanged."""
    if "\\u" not in text and "\\/" not in text:
        return text
    try:
        return msgspec.json.encode(msgspec.json.decode(text)).decode()
    except msgspec.DecodeError:
        return text


def _tool(tool: ToolSpec, change: Change) -> ToolSpec:
    """Descriptions are instructions to the model from outside: they are read like a tool's answer."""
    function = tool.function
    described = change(function.description, "tool_output") if function.description else function.description
    parameters = function.parameters
    if parameters:
        parameters = _schema(parameters, change)
    if described is function.description and parameters is function.parameters:
        return tool
    return ToolSpec(msgspec.structs.replace(function, description=described, parameters=parameters))


def _schema(schema: dict[str, Any], change: Change) -> dict[str, Any]:
    """Rewrite the descriptions inside a parameter schema; keys and types stay as they are."""
    result: dict[str, Any] | None = None
    for key, value in schema.items():
        new = value
        if isinstance(value, str) and key in {"description", "title"}:
            new = change(value, "tool_output")
        elif isinstance(value, dict):
            new = _schema(value, change)
        if new is not value:
            result = dict(schema) if result is None else result
            result[key] = new
    return schema if result is None else result
