"""The Responses API: items in, typed events out, in their full order."""

from typing import Any

import pytest
from msgspec.json import decode, encode

from greffier.core.chat import ChatChunk, ChatRequest, FilePart, FunctionDelta, Message, ToolCallDelta, Usage
from greffier.core.context import Arrival
from greffier.core.rulings import Allow, Deny
from greffier.gateway.app import GatewayApp
from greffier.gateway.wire.responses_answer import ResponsesWriter
from greffier.gateway.wire.responses_request import WireResponses, decode_responses, to_chat
from greffier.testing.asgi import ask
from greffier.testing.pipelines import KEY

PATH = "/v1/responses"
AUTH = (("authorization", f"Bearer {KEY}"),)
ARRIVAL = Arrival("req_1", "responses", None, "", 1_700_000_000_123, 0.0)
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


def translate(**body: Any) -> ChatRequest:
    ruling = decode_responses(encode(body), max_depth=64)
    assert isinstance(ruling, Allow), ruling
    chat = to_chat(ruling.value)
    assert isinstance(chat, Allow), chat
    return chat.value


def test_items_become_turns_and_calls_join_their_turn() -> None:
    request = translate(
        instructions="Be brief",
        input=[
            {"role": "user", "content": "weather?"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "let me see"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}", "status": "completed"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "and this?"},
                    {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                ],
            },
        ],
    )
    roles = [message.role for message in request.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    assistant = request.messages[2]
    assert (assistant.content, [call.id for call in assistant.tool_calls or ()]) == ("let me see", ["c1", "c2"])
    assert request.messages[3] == Message(role="tool", content="sunny", tool_call_id="c1")
    parts = request.messages[5].content
    assert isinstance(parts, tuple)
    assert isinstance(parts[2], FilePart)


def test_settings_are_translated() -> None:
    request = translate(
        input="hi",
        max_output_tokens=7,
        temperature=0.1,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        safety_identifier="s",
        store=False,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
    )
    assert request.max_tokens == 7
    assert request.tools[0].function.strict is True
    assert request.tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert request.params == {"temperature": 0.1, "parallel_tool_calls": False, "reasoning_effort": "low"}
    assert request.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    assert request.end_user == "s"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "store": True}, "store"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "truncation": "auto"}, "truncation"),
        ({"input": "x", "prompt": {"id": "p"}}, "prompt"),
        ({"input": "x", "metadata": {"a": "b"}}, "metadata"),
        ({"input": []}, "input"),
        ({}, "input"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input[0].type"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
        ({"input": [{"type": "function_call", "call_id": "x"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "call_id": "no words here", "name": "f"}]}, "input[0].call_id"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///etc/passwd"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ],
)
def test_what_the_gateway_does_not_do_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    ruling = decode_responses(encode(body), max_depth=64)
    refused = ruling if isinstance(ruling, Deny) else to_chat(ruling.value)
    assert isinstance(refused, Deny)
    assert refused.param == param


async def test_a_whole_answer(app: GatewayApp) -> None:
    body = (await ask(app, "POST", PATH, {"input": "hi there", "temperature": 0.5}, AUTH)).json()
    assert (body["object"], body["status"], body["store"], body["temperature"]) == ("response", "completed", False, 0.5)
    assert body["output"][0]["content"][0] == {
        "type": "output_text",
        "text": "hi there",
        "annotations": [],
        "logprobs": [],
    }
    assert body["usage"]["total_tokens"] == 6
    body = (await ask(app, "POST", PATH, {"input": "!tool", "tools": [TOOL]}, AUTH)).json()
    assert [(item["type"], item["call_id"]) for item in body["output"]] == [("function_call", "call_0")]


async def test_an_answer_can_be_sent_back_as_input(app: GatewayApp) -> None:
    first = (await ask(app, "POST", PATH, {"input": "!tool", "tools": [TOOL]}, AUTH)).json()
    result = {"type": "function_call_output", "call_id": "call_0", "output": "sunny"}
    turn = {"role": "user", "content": "and?"}
    again = await ask(app, "POST", PATH, {"input": [turn, *first["output"], result, turn], "tools": [TOOL]}, AUTH)
    assert again.status == 200
    back = {"input": [turn, *again.json()["output"], turn]}
    assert (await ask(app, "POST", PATH, back, AUTH)).status == 200


async def test_events_of_a_text_come_in_order(app: GatewayApp) -> None:
    reply = await ask(app, "POST", PATH, {"input": "hi there", "stream": True}, AUTH)
    events = reply.events()
    assert [name for name, _ in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert all(name == data["type"] for name, data in events)
    assert [data["sequence_number"] for _, data in events] == list(range(10))
    assert events[-1][1]["response"]["output"][0]["content"][0]["text"] == "hi there "
    assert events[-1][1]["response"]["usage"]["output_tokens"] == 2


async def test_events_of_parallel_calls_come_in_order(app: GatewayApp) -> None:
    tools = [TOOL, {**TOOL, "name": "time"}]
    reply = await ask(app, "POST", PATH, {"input": "!tool", "stream": True, "tools": tools}, AUTH)
    events = reply.events()
    done = [data for name, data in events if name == "response.function_call_arguments.done"]
    assert [(data["output_index"], data["arguments"]) for data in done] == [
        (0, '{"city":"Ulm"}'),
        (1, '{"city":"Ulm"}'),
    ]
    assert [item["name"] for item in events[-1][1]["response"]["output"]] == ["weather", "time"]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))


async def test_a_stopped_stream_fails_and_then_raises(app: GatewayApp) -> None:
    reply = await ask(app, "POST", PATH, {"input": "!stop output_blocked", "stream": True}, AUTH)
    (failed, failure), (error, frame) = reply.events()[-2:]
    assert (failed, failure["response"]["status"]) == ("response.failed", "failed")
    assert failure["response"]["error"]["code"] == "output_blocked"
    assert (error, frame["code"], frame["error"]["code"]) == ("error", "output_blocked", "output_blocked")
    assert b"response.completed" not in reply.body


def test_text_refusal_and_calls_in_one_stream_keep_their_places() -> None:
    writer = ResponsesWriter(ARRIVAL, WireResponses(input="x"))
    body = writer.feed(ChatChunk(text="a", model="m"))
    body += writer.feed(ChatChunk(refusal="no"))
    body += writer.feed(ChatChunk(tool_calls=(ToolCallDelta(0, "c0", "function", FunctionDelta("f", "{")),)))
    body += writer.feed(ChatChunk(tool_calls=(ToolCallDelta(1, "c1", "function", FunctionDelta("g", "{")),)))
    body += writer.feed(ChatChunk(tool_calls=(ToolCallDelta(0, function=FunctionDelta(arguments="}")),)))
    body += writer.feed(ChatChunk(tool_calls=(ToolCallDelta(1, function=FunctionDelta(arguments="}")),)))
    body += writer.feed(ChatChunk(text="b"))
    states = [writer.complete]
    body += writer.feed(ChatChunk(finish_reason="length", usage=Usage(1, 2)))
    assert [*states, writer.complete] == [False, True]
    body += writer.finish()
    last = decode(body.decode().strip().split("\n\n")[-1].split("data: ", 1)[1])
    assert last["type"] == "response.incomplete"
    output = last["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call", "message"]
    assert [part["type"] for part in output[0]["content"]] == ["output_text", "refusal"]
    assert [item["arguments"] for item in output[1:3]] == ["{}", "{}"]
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
