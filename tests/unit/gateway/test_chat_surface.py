"""Chat completions on the wire, frame by frame."""

from typing import Any

import msgspec
import pytest

from greffier.core.chat import ChatChunk, FunctionDelta, ToolCallDelta, Usage
from greffier.core.context import Arrival
from greffier.core.errors import Code
from greffier.core.rulings import Deny
from greffier.gateway.app import GatewayApp
from greffier.gateway.wire.chat_answer import ChatWriter
from greffier.testing.asgi import ask
from greffier.testing.pipelines import KEY, MODEL, ScriptedChat

CHAT = "/v1/chat/completions"
AUTH = (("authorization", f"Bearer {KEY}"),)
ARRIVAL = Arrival("req_1", "chat_completions", None, "", 1_700_000_000_123, 0.0)
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("a", "b")]


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def test_a_whole_answer(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi there"), AUTH)
    assert reply.status == 200
    assert reply.headers["x-greffier-route"] == "scripted"
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert reply.json() == {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi there", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


async def test_tool_calls_in_a_whole_answer(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("!tool", tools=TOOLS), AUTH)
    choice = reply.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["a", "b"]


async def test_a_streamed_answer_with_usage(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi there", stream=True, stream_options={"include_usage": True}), AUTH)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in reply.headers
    events = reply.events()
    assert all(not name for name, _ in events)
    assert events[-1][1] == "[DONE]"
    chunks = [data for _, data in events[:-1]]
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        ("up-1", "chat.completion.chunk", MODEL)
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "hi "}
    assert chunks[1]["choices"][0]["delta"] == {"content": "there "}
    assert chunks[2]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert [chunk["usage"] is None for chunk in chunks] == [True, True, True, False]
    assert chunks[3]["choices"] == []
    assert chunks[3]["usage"]["total_tokens"] == 6


async def test_no_usage_chunk_unless_asked_for(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi", stream=True), AUTH)
    assert b"usage" not in reply.body


async def test_tool_calls_in_a_stream_name_themselves_once(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("!tool", stream=True, tools=TOOLS), AUTH)
    deltas = [data["choices"][0]["delta"] for _, data in reply.events()[:-1]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 0, 0, 1, 1, 1]
    assert [call["function"].get("name") for call in calls] == ["a", None, None, "b", None, None]
    assert "id" not in calls[1]
    assert "".join(call["function"]["arguments"] for call in calls[:3]) == '{"city":"Ulm"}'


@pytest.mark.parametrize(("text", "code"), [("!stop output_blocked", "output_blocked"), ("!cut", "upstream_truncated")])
async def test_a_stopped_stream_ends_with_an_error_and_never_with_done(app: GatewayApp, text: str, code: str) -> None:
    reply = await ask(app, "POST", CHAT, say(text, stream=True), AUTH)
    assert reply.complete
    _, last = reply.events()[-1]
    assert last["error"]["code"] == code
    assert b"[DONE]" not in reply.body
    assert b'"finish_reason":"stop"' not in reply.body


@pytest.mark.parametrize(
    ("more", "param", "said"),
    [
        ({"stream": True, "logprobs": True}, "logprobs", "without 'stream'"),  # no silent null in their place
        ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        ({"response_format": {"type": "json"}}, "response_format.type", "json_object"),  # servers ignore it: free text
        ({"response_format": {}}, "response_format.type", "json_object"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "functions that your program runs"),
    ],
)
async def test_what_would_be_answered_otherwise_than_asked_is_refused_with_the_way_out(
    app: GatewayApp, more: dict[str, Any], param: str, said: str
) -> None:
    error = (await ask(app, "POST", CHAT, say("hi", **more), AUTH)).json()["error"]
    assert error["param"] == param
    assert said in error["message"]


async def test_an_unknown_model_is_openais_404(app: GatewayApp) -> None:
    reply = await ask(app, "POST", CHAT, say("hi", model="gpt-x"), AUTH)
    error = reply.json()["error"]
    assert (reply.status, error["type"], error["code"]) == (404, "invalid_request_error", "model_not_found")


async def test_a_large_prompt_arrives_whole(app: GatewayApp, chat: ScriptedChat) -> None:
    text = "ü" * 1_000_000
    reply = await ask(app, "POST", CHAT, say(text), AUTH)
    assert reply.status == 200
    assert chat.requests[0].messages[0].content == text


def chunks_of(writer: ChatWriter, *chunks: ChatChunk) -> list[Any]:
    raw = b"".join(map(writer.feed, chunks))
    return [msgspec.json.decode(block.removeprefix("data: ")) for block in raw.decode().split("\n\n") if block]


def test_several_choices_each_open_with_their_role() -> None:
    writer = ChatWriter(ARRIVAL, include_usage=False)
    chunks = chunks_of(writer, ChatChunk(text="a"), ChatChunk(text="b", index=1), ChatChunk(text="c", index=1))
    deltas = [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"]) for chunk in chunks]
    assert deltas == [
        (0, {"role": "assistant", "content": "a"}),
        (1, {"role": "assistant", "content": "b"}),
        (1, {"content": "c"}),
    ]
    writer.feed(ChatChunk(finish_reason="stop"))
    assert not writer.complete
    writer.feed(ChatChunk(finish_reason="stop", index=1))
    assert writer.complete


def test_usage_is_sent_once_however_often_the_model_repeats_it() -> None:
    writer = ChatWriter(ARRIVAL, include_usage=True)
    body = writer.feed(ChatChunk(text="a", usage=Usage(1, 1)))
    body += writer.feed(ChatChunk(finish_reason="stop", usage=Usage(1, 2)))
    body += writer.feed(ChatChunk(usage=Usage(1, 3)))
    body += writer.finish()
    assert body.count(b'"total_tokens"') == 1
    assert b'"completion_tokens":3' in body


def test_a_usage_chunk_in_front_opens_no_choice() -> None:
    writer = ChatWriter(ARRIVAL, include_usage=False)
    assert writer.feed(ChatChunk(usage=Usage(1, 0))) == b""
    (chunk,) = chunks_of(writer, ChatChunk(text="a"))
    assert chunk["choices"][0]["delta"]["role"] == "assistant"


def test_refusals_logprobs_and_odd_text_survive() -> None:
    writer = ChatWriter(ARRIVAL, include_usage=False)
    odd = 'quote " slash \\ line \n nul \x00 emoji 😀 \u2028'
    chunks = chunks_of(
        writer,
        ChatChunk(text=odd),
        ChatChunk(text=odd),
        ChatChunk(refusal="no"),
        ChatChunk(text="x", logprobs={"content": []}),
        ChatChunk(tool_calls=(ToolCallDelta(0, "c", "function", FunctionDelta("f", "")),)),
    )
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:2]] == [odd, odd]
    assert chunks[2]["choices"][0]["delta"] == {"refusal": "no"}
    assert chunks[3]["choices"][0]["logprobs"] == {"content": []}
    assert chunks[4]["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": ""}


def test_an_error_frame_is_one_frame() -> None:
    writer = ChatWriter(ARRIVAL, include_usage=False)
    frame = writer.fail(Deny(Code.OUTPUT_BLOCKED, "r", "line\n\nbreak"))
    assert frame.startswith(b'data: {"error":{')
    assert frame.count(b"\n\n") == 1


async def test_legacy_completions(app: GatewayApp, chat: ScriptedChat) -> None:
    reply = await ask(app, "POST", "/v1/completions", {"prompt": "hi", "max_tokens": 3}, AUTH)
    body = reply.json()
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "hi")
    assert chat.requests[0].max_tokens == 3
    options = {"stream": True, "stream_options": {"include_usage": True}}
    reply = await ask(app, "POST", "/v1/completions", {"prompt": ["hi there"], **options}, AUTH)
    events = [data for _, data in reply.events()]
    assert "".join(event["choices"][0]["text"] for event in events[:2]) == "hi there "
    assert events[-2]["usage"]["total_tokens"] == 6
    assert events[-1] == "[DONE]"
    for bad in (
        {"prompt": "x", "echo": True},
        {"prompt": ["a", "b"]},
        {"prompt": [1, 2]},
        {"prompt": "x", "best_of": 3},
    ):
        assert (await ask(app, "POST", "/v1/completions", bad, AUTH)).status == 400


async def test_models_in_both_shapes(app: GatewayApp) -> None:
    reply = await ask(app, "GET", "/v1/models", headers=AUTH)
    assert reply.json()["data"][0] == {"id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "greffier"}
    anthropic = (("x-api-key", KEY), ("anthropic-version", "2023-06-01"))
    body = (await ask(app, "GET", "/v1/models", headers=anthropic)).json()
    assert (body["first_id"], body["has_more"], body["data"][0]["type"]) == (MODEL, False, "model")
    assert (await ask(app, "GET", f"/v1/models/{MODEL}", headers=AUTH)).json()["id"] == MODEL
