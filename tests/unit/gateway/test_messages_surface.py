"""The Anthropic Messages API: blocks in, named events out."""

from typing import Any

import pytest
from msgspec.json import encode

from greffier.core.chat import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    FunctionCall,
    FunctionDelta,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from greffier.core.context import Arrival
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Refused
from greffier.gateway.app import GatewayApp
from greffier.gateway.wire.messages_answer import MessagesWriter, encode_message
from greffier.gateway.wire.messages_request import decode_messages
from greffier.testing.asgi import ask
from greffier.testing.pipelines import KEY, MODEL

PATH = "/v1/messages"
AUTH = (("x-api-key", KEY), ("anthropic-version", "2023-06-01"))
ARRIVAL = Arrival("req_1", "messages", None, "", 1_700_000_000_123, 0.0)
TOOL = {"name": "weather", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


def translate(**body: Any) -> ChatRequest:
    ruling = decode_messages(encode({"max_tokens": 5, **body}), max_depth=64)
    assert isinstance(ruling, Allow), ruling
    return ruling.value


def test_blocks_become_turns() -> None:
    request = translate(
        system=[
            {"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "!"},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "let me see", "citations": None},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ulm"}},
                    {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "no such city"},
                    {"type": "text", "text": "and this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
                    {
                        "type": "document",
                        "title": "T",
                        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
                    },
                ],
            },
        ],
    )
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "tool", "user"]
    system, user, assistant, sunny, failed, last = request.messages
    assert system.content == "Be brief\n\n!"
    assert user.content == "weather?"
    assert assistant.content == "let me see"
    assert [call.function.arguments for call in assistant.tool_calls or ()] == ['{"city":"Ulm"}', "{}"]
    assert (sunny.content, sunny.tool_call_id) == ("sunny", "t1")
    assert failed.content == "Error: no such city"
    assert isinstance(last.content, tuple)
    assert [type(part) for part in last.content] == [TextPart, ImagePart, ImagePart, FilePart, TextPart]


def test_settings_are_translated() -> None:
    request = translate(
        messages=[{"role": "user", "content": "x"}],
        stop_sequences=["END"],
        temperature=0.3,
        top_k=4,
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        metadata={"user_id": "u"},
        thinking={"type": "adaptive"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    assert request.params == {
        "temperature": 0.3,
        "top_k": 4,
        "stop": ("END",),
        "reasoning_effort": "xhigh",
        "parallel_tool_calls": False,
    }
    assert (request.tool_choice, request.end_user, request.max_tokens) == ("required", "u", 5)
    assert request.response_format is not None
    assert request.response_format["json_schema"]["schema"] == {"type": "object"}


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [USER]}, "max_tokens"),
        ({"max_tokens": 1}, "messages"),
        ({"max_tokens": 1, "messages": []}, "messages"),
        ({"max_tokens": 1, "messages": [USER], "temperature": 1.5}, "temperature"),
        ({"max_tokens": 1, "messages": [USER], "container": "c"}, "container"),
        ({"max_tokens": 1, "messages": [USER], "mcp_servers": []}, "mcp_servers"),
        ({"max_tokens": 1, "messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"max_tokens": 1, "messages": [USER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        (
            {
                "max_tokens": 1,
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "file:///etc"}}]}
                ],
            },
            "messages[0].content[0].source.url",
        ),
        (
            {"max_tokens": 1, "messages": [USER], "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "tools[0].type",
        ),
        (
            {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "thinking"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {
                "max_tokens": 1,
                "messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}],
            },
            "messages[0].content[0]",
        ),
        (
            {
                "max_tokens": 1,
                "messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "a"}]}],
            },
            "messages[0].content[0]",
        ),
        (
            {
                "max_tokens": 1,
                "messages": [
                    {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://e"}}]}
                ],
            },
            "messages[0].content[0].source.url",
        ),
    ],
)
def test_mistakes_and_what_the_gateway_does_not_do_are_named(body: dict[str, Any], param: str) -> None:
    ruling = decode_messages(encode(body), max_depth=64)
    assert isinstance(ruling, Deny)
    assert ruling.param == param


def test_thinking_with_a_budget_passes_only_where_the_workspace_allows_it() -> None:
    body = encode({"max_tokens": 1, "messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 1024}, "x": 1})
    ruling = decode_messages(body, max_depth=64, extra_parameters={"thinking", "x"})
    assert isinstance(ruling, Allow)
    assert ruling.value.params == {"thinking": {"type": "enabled", "budget_tokens": 1024}, "x": 1}


async def test_a_whole_answer(app: GatewayApp) -> None:
    reply = await ask(app, "POST", PATH, say("hi there"), AUTH)
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    body = reply.json()
    assert body["id"].startswith("msg_")
    assert (body["type"], body["role"], body["model"], body["stop_reason"]) == (
        "message",
        "assistant",
        MODEL,
        "end_turn",
    )
    assert body["content"] == [{"type": "text", "text": "hi there", "citations": None}]
    assert body["usage"] == {
        "input_tokens": 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": 2,
    }
    body = (await ask(app, "POST", PATH, say("!tool", tools=[TOOL]), AUTH)).json()
    assert (body["stop_reason"], body["content"][0]["input"]) == ("tool_use", {"city": "Ulm"})


async def test_an_answer_can_be_sent_back_as_history(app: GatewayApp) -> None:
    first = (await ask(app, "POST", PATH, say("!tool", tools=[TOOL]), AUTH)).json()
    turns = [
        {"role": "user", "content": "!tool"},
        {"role": "assistant", "content": first["content"]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": first["content"][0]["id"], "content": "x"}],
        },
        {"role": "user", "content": "done?"},
    ]
    reply = await ask(app, "POST", PATH, say("", messages=turns, tools=[TOOL]), AUTH)
    assert reply.status == 200


async def test_events_of_a_text_come_in_order(app: GatewayApp) -> None:
    reply = await ask(app, "POST", PATH, say("hi there", stream=True), AUTH)
    events = reply.events()
    assert [name for name, _ in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in events)
    assert events[5][1]["delta"]["stop_reason"] == "end_turn"
    assert events[5][1]["usage"]["output_tokens"] == 2


async def test_events_of_parallel_calls_come_block_by_block(app: GatewayApp) -> None:
    tools = [TOOL, {**TOOL, "name": "time"}]
    reply = await ask(app, "POST", PATH, say("!tool", stream=True, tools=tools), AUTH)
    starts = [data for name, data in reply.events() if name == "content_block_start"]
    assert [(data["index"], data["content_block"]["name"]) for data in starts] == [(0, "weather"), (1, "time")]
    deltas = [data["delta"]["partial_json"] for name, data in reply.events() if name == "content_block_delta"]
    assert "".join(deltas[:2]) == '{"city":"Ulm"}'


@pytest.mark.parametrize(("text", "kind"), [("!stop output_blocked", "invalid_request_error"), ("!cut", "api_error")])
async def test_a_stopped_stream_ends_with_an_error_event(app: GatewayApp, text: str, kind: str) -> None:
    reply = await ask(app, "POST", PATH, say(text, stream=True), AUTH)
    name, data = reply.events()[-1]
    assert (name, data["type"], data["error"]["type"]) == ("error", "error", kind)
    assert data["request_id"] == reply.headers["request-id"]
    assert b"message_stop" not in reply.body


async def test_refusals_have_anthropics_shape(app: GatewayApp) -> None:
    for code, status, kind in (
        ("guardrail_blocked", 400, "invalid_request_error"),
        ("policy_denied", 403, "permission_error"),
        ("rate_limit_exceeded", 429, "rate_limit_error"),
        ("overloaded", 503, "overloaded_error"),
    ):
        reply = await ask(app, "POST", PATH, say(f"!deny {code}"), AUTH)
        body = reply.json()
        assert (reply.status, body["type"], body["error"]["type"]) == (status, "error", kind)
        assert body["error"]["details"]["error_code"] == code


async def test_counting_needs_no_max_tokens(app: GatewayApp) -> None:
    reply = await ask(app, "POST", f"{PATH}/count_tokens", {"messages": [{"role": "user", "content": "a b c"}]}, AUTH)
    assert reply.json() == {"input_tokens": 3}


def test_mixed_fragments_of_calls_are_refused_rather_than_garbled() -> None:
    writer = MessagesWriter(ARRIVAL)
    writer.feed(ChatChunk(tool_calls=(ToolCallDelta(0, "a", "function", FunctionDelta("f", "{")),)))
    writer.feed(ChatChunk(tool_calls=(ToolCallDelta(1, "b", "function", FunctionDelta("g", "{")),)))
    with pytest.raises(Refused) as caught:
        writer.feed(ChatChunk(tool_calls=(ToolCallDelta(0, function=FunctionDelta(arguments="}")),)))
    assert caught.value.ruling.code is Code.UPSTREAM_MALFORMED


def test_stop_reasons() -> None:
    for reason, expected in (("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")):
        writer = MessagesWriter(ARRIVAL)
        writer.feed(ChatChunk(text="a"))
        writer.feed(ChatChunk(finish_reason=reason, usage=Usage(1, 1)))  # type: ignore[arg-type]
        assert f'"stop_reason":"{expected}"'.encode() in writer.finish()
    refused = MessagesWriter(ARRIVAL)
    refused.feed(ChatChunk(refusal="no"))
    refused.feed(ChatChunk(finish_reason="stop"))
    assert b'"stop_reason":"refusal"' in refused.finish()


def test_arguments_that_are_no_json_object_are_the_models_fault() -> None:
    message = Message(role="assistant", tool_calls=(ToolCall("a", FunctionCall("f", "[1]")),))
    with pytest.raises(Refused) as caught:
        encode_message(ChatResponse("x", "m", (Choice(message, "tool_calls"),)), ARRIVAL)
    assert caught.value.ruling.code is Code.UPSTREAM_MALFORMED
