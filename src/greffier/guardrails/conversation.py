"""Walking every text of a conversation, so that no place can be forgotten by one caller and not by another."""

from collections.abc import Callable, Iterator
from operator import is_
from typing import Any, Final

import msgspec
import re2

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

_LONGEST_WORD: Final = 64
_JOINERS: Final = dict.fromkeys(map(ord, "_.-$"))
_NUMBER: Final = re2.compile(r"[0-9]{7}")
_PROSE: Final = frozenset({"description", "title", "$comment"})
"""Keys of a schema whose texts are read even if they are one word."""
_VALUES: Final = frozenset({"enum", "const", "default", "examples", "example"})
"""Keys of a schema that hold values."""
_GIVEN: Final = _PROSE | _VALUES


def rewrite_request(request: ChatRequest, change: Change) -> ChatRequest:
    """Apply ``change`` to every text of the request: messages, tool calls, tools, schemas and stop sequences.

    What a model reads has no place that is not read here, except words without blanks: names, keys, enumerated values.
    """
    messages = tuple([rewrite_message(message, _PROVENANCE[message.role], change) for message in request.messages])
    if all(new is old for new, old in zip(messages, request.messages, strict=True)):
        messages = request.messages
    tools, choice, wanted, params = request.tools, request.tool_choice, request.response_format, request.params
    if tools:
        tools = tuple([_tool(tool, change) for tool in tools])
        if all(new is old for new, old in zip(tools, request.tools, strict=True)):
            tools = request.tools
    if isinstance(choice, dict):
        choice = _document(choice, "tool_output", change)
    if wanted is not None:
        wanted = _document(wanted, "system", change)
    if "stop" in params:
        stop = _document(params["stop"], "user", change)
        params = params if stop is params["stop"] else {**params, "stop": stop}
    same = messages is request.messages and tools is request.tools and choice is request.tool_choice
    if same and wanted is request.response_format and params is request.params:
        return request
    return msgspec.structs.replace(
        request, messages=messages, tools=tools, tool_choice=choice, response_format=wanted, params=params
    )


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
        calls = tuple([_call(call, provenance, change) for call in calls])
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


def _call(call: ToolCall, provenance: Provenance, change: Change) -> ToolCall:
    function = call.function
    name = rewrite_name(function.name, provenance, change)
    arguments = function.arguments
    if arguments:
        readable = plain_json(arguments)
        changed = change(readable, "tool_call")
        arguments = arguments if changed is readable else changed
    if name is function.name and arguments is function.arguments:
        return call
    return msgspec.structs.replace(call, function=FunctionCall(name, arguments))


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
    name = rewrite_name(function.name, "tool_output", change)
    described = change(function.description, "tool_output") if function.description else function.description
    parameters = function.parameters
    if parameters:
        parameters = _document(parameters, "tool_output", change)
    if name is function.name and described is function.description and parameters is function.parameters:
        return tool
    return ToolSpec(msgspec.structs.replace(function, name=name, description=described, parameters=parameters))


def _document(value: Any, provenance: Provenance, change: Change, *, key: str = "") -> Any:
    """Rewrite the texts of a JSON document, keys included; the same object comes back when none changed.

    The same text becomes the same text everywhere, so what named a property still names it afterwards. A number is read
    where it is a value that the model may give, not where it bounds one.
    """
    if isinstance(value, str):
        if key in _PROSE:
            return change(value, provenance) if value else value
        return value if is_word(value) else change(value, provenance)
    if isinstance(value, dict):
        fresh: dict[str, Any] | None = None
        for name, entry in value.items():
            below = name if name in _GIVEN else key if key in _VALUES else ""
            new_name = name if is_word(name) else change(name, provenance)
            new = entry if entry is True or entry is False else _document(entry, provenance, change, key=below)
            if new is not entry or new_name is not name:
                fresh = dict(value) if fresh is None else fresh
                del fresh[name]
                fresh[new_name] = new
        return value if fresh is None else fresh
    if isinstance(value, list | tuple):
        items = [_document(item, provenance, change, key=key) for item in value]
        return value if all(map(is_, items, value)) else items
    if key in _VALUES and isinstance(value, int) and not isinstance(value, bool):
        written = str(value)
        changed = change(written, provenance)
        return value if changed is written else changed
    return value


def described(tool: ToolSpec) -> Iterator[str]:
    """What a tool and its parameters are said to be; not which values they take."""
    if tool.function.description:
        yield tool.function.description
    waiting: list[Any] = [tool.function.parameters]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from (text for key, text in value.items() if key in _PROSE and isinstance(text, str))
            waiting += [entry for key, entry in value.items() if key not in _VALUES]
        elif isinstance(value, list | tuple):
            waiting += value


def rewrite_name(word: str, provenance: Provenance, change: Change) -> str:
    """Apply ``change`` to a name, unless it is one word."""
    return word if is_word(word) else change(word, provenance)


def is_word(text: str) -> bool:
    """Whether a text is one word as programs write them, without room for a sentence or a number of somebody's."""
    if len(text) > _LONGEST_WORD or not text.isascii():
        return False
    if text.replace("_", "").isalpha() or not text:
        return True
    bare = text.translate(_JOINERS)
    return bare.isalpha() or (bare.isalnum() and not text[0].isdecimal() and not _NUMBER.search(text))
