import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.chat import (
    AudioPart,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    FunctionCall,
    FunctionDelta,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from greffier.core.context import Arrival
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.gateway.wire.messages_answer import MessagesWriter, encode_message
from greffier.gateway.wire.messages_request import decode_messages
from greffier.llm.anthropic_wire import (
    AnthropicAnswer,
    AnthropicErrorEvent,
    AnthropicStreamDecoder,
    WireError,
    request_to_anthropic,
    response_from_anthropic,
)
from greffier.llm.sse import SseParser

PNG = "data:image/png;base64,iVBORw0KGgo="


ARRIVAL = Arrival("req_1", "messages", None, "", 0, 0.0)


def read(body: bytes) -> ChatRequest:
    """As the gateway's ``/v1/messages`` reads it: the other side of the translation."""
    decoded = decode_messages(body, max_depth=64)
    assert isinstance(decoded, Allow), decoded
    return decoded.value


def written(request: ChatRequest) -> dict[str, Any]:
    sent = request_to_anthropic(request, "claude", 100, stream=request.stream)
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(sent))
    return decoded


def test_writes_system_prompts_apart_and_merges_turns() -> None:
    request = ChatRequest(
        "m",
        (
            Message("system", "One."),
            Message("developer", (TextPart("Two."),)),
            Message("user", "a"),
            Message("user", "b"),
            Message("assistant", "", tool_calls=(ToolCall("t1", FunctionCall("f", "")),)),
            Message("tool", "r1", tool_call_id="t1"),
            Message("user", "c"),
            Message("assistant", "prefill  "),
        ),
        max_tokens=7,
        params={"temperature": 1.7, "stop": "X", "seed": 3, "presence_penalty": 0},
        end_user="alice",
    )
    body = written(request)
    assert body == {
        "model": "claude",
        "max_tokens": 7,
        "system": "One.\n\nTwo.",
        "temperature": 1.0,
        "stop_sequences": ["X"],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "r1"},
                    {"type": "text", "text": "c"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "prefill"}]},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        (None, None),
    ],
)
def test_writes_tool_choice(choice: Any, expected: Any) -> None:
    tools = (ToolSpec(FunctionSpec("f")),)
    body = written(ChatRequest("m", (Message("user", "x"),), tools=tools, tool_choice=choice))
    assert body.get("tool_choice") == expected
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("m", (Message("user", (AudioPart({}),)),)),
        ChatRequest("m", (Message("user", (ImagePart(ImageUrl("http://169.254.169.254/")),)),)),
        ChatRequest("m", (Message("user", (ImagePart(ImageUrl("file:///etc/passwd")),)),)),
        ChatRequest("m", (Message("user", (FilePart({"file_id": "x"}),)),)),
        ChatRequest("m", (Message("function", "x"),)),
        ChatRequest("m", (Message("tool", "x"),)),
        ChatRequest("m", (Message("assistant", None, tool_calls=(ToolCall("t", FunctionCall("f", "[1]")),)),)),
        ChatRequest("m", (Message("assistant", None, tool_calls=(ToolCall("t", FunctionCall("f", "{")),)),)),
        ChatRequest("m", (), params={"n": 2}),
        ChatRequest("m", (), params={"temperature": "hot"}),
        ChatRequest("m", (), params={"stop": [1]}),
        ChatRequest("m", (), params={"modalities": ["audio"]}),
        ChatRequest("m", (), params={"frequency_penalty": 0.5}),
        ChatRequest("m", (), response_format={"type": "json_schema"}),
        ChatRequest("m", (), response_format={"type": "json_object"}, tools=(ToolSpec(FunctionSpec("f")),)),
        ChatRequest("m", (), tools=(ToolSpec(FunctionSpec("f")),), tool_choice={"type": "function"}),
    ],
    ids=str,
)
def test_refuses_what_anthropic_cannot_express(request_: ChatRequest) -> None:
    with pytest.raises(WireError):
        request_to_anthropic(request_, "claude", 10, stream=False)


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: text == text.rstrip()
)
parts = st.one_of(
    texts.map(TextPart),
    st.just(ImagePart(ImageUrl(PNG))),
    st.just(ImagePart(ImageUrl("https://example.test/a.png"))),
    st.just(FilePart({"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="})),
)
ids = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
calls = st.builds(
    ToolCall,
    ids,
    st.builds(
        FunctionCall,
        texts,
        st.dictionaries(texts, st.one_of(texts, st.integers(-5, 5))).map(
            lambda value: msgspec.json.encode(value).decode()
        ),
    ),
)
users = st.one_of(
    texts.map(lambda text: Message("user", text)),
    st.lists(parts, min_size=2, max_size=4).map(lambda some: Message("user", tuple(some))),
)
assistants = st.one_of(
    texts.map(lambda text: Message("assistant", text)),
    st.builds(
        lambda text, some: Message("assistant", text, tool_calls=tuple(some)),
        st.none() | texts,
        st.lists(calls, min_size=1, max_size=3),
    ),
)
tools = st.builds(
    ToolSpec,
    st.builds(FunctionSpec, texts, st.none() | texts, st.just({"type": "object", "properties": {"a": {}}})),
)


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    messages: list[Message] = [Message("system", draw(texts))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(draw(users))
        answer = draw(assistants)
        messages.append(answer)
        messages += [Message("tool", draw(texts), tool_call_id=call.id) for call in answer.tool_calls or ()]
    offered = tuple(draw(st.lists(tools, max_size=2)))
    choice: Any = draw(st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "f"}}]))
    stops = draw(st.lists(texts, max_size=2))
    return ChatRequest(
        "claude",
        tuple(messages),
        stream=draw(st.booleans()),
        max_tokens=draw(st.integers(1, 100)),
        tools=offered,
        tool_choice=choice if offered else None,
        params={"temperature": 0.25} | ({"stop": tuple(stops)} if stops else {}),
    )


@given(conversations())
def test_a_request_survives_the_way_there_and_back(request_: ChatRequest) -> None:
    sent = request_to_anthropic(request_, "claude", 1, stream=request_.stream)
    wire = msgspec.json.encode(sent)
    assert read(wire) == msgspec.structs.replace(request_, include_usage=True)


answers = st.builds(
    lambda message, finish, usage: ChatResponse("msg_1", "claude", (Choice(message, finish),), usage),
    st.one_of(
        texts.map(lambda text: Message("assistant", text)),
        st.builds(
            lambda text, some: Message("assistant", text, tool_calls=tuple(some)),
            st.none() | texts,
            st.lists(calls, min_size=1, max_size=3),
        ),
    ),
    st.sampled_from(["stop", "length", "content_filter", "tool_calls"]),
    st.builds(Usage, *[st.integers(0, 1000)] * 4),
).map(
    lambda answer: msgspec.structs.replace(
        answer,
        choices=(
            msgspec.structs.replace(answer.choices[0], finish_reason="stop")
            if answer.choices[0].finish_reason == "tool_calls" and not answer.choices[0].message.tool_calls
            else answer.choices[0],
        ),
    )
)


@given(answers)
def test_an_answer_survives_the_way_there_and_back(answer: ChatResponse) -> None:
    wire = encode_message(answer, ARRIVAL)
    assert response_from_anthropic(msgspec.json.decode(wire, type=AnthropicAnswer)) == answer


def events_of(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    return [(event.event.decode(), json.loads(event.data)) for event in SseParser().feed(stream)]


chunks = st.one_of(
    texts.map(ChatChunk),
    st.builds(
        lambda index, piece: ChatChunk(
            tool_calls=(ToolCallDelta(index, f"call_{index}", "function", FunctionDelta("f", piece)),)
        ),
        st.integers(0, 2),
        texts,
    ),
)


@given(st.lists(chunks, max_size=8), st.sampled_from(["stop", "length", "content_filter"]))
def test_a_stream_survives_the_way_there_and_back(some: list[ChatChunk], finish: Any) -> None:
    some = sorted(some, key=lambda chunk: chunk.tool_calls[0].index if chunk.tool_calls else -1)  # one block at a time
    writer = MessagesWriter(ARRIVAL)
    usage = Usage(input_tokens=3, output_tokens=4)
    stream = b""
    for chunk in [*some, ChatChunk(finish_reason=finish), ChatChunk(usage=usage)]:
        stream += writer.feed(chunk)
    stream += writer.finish()
    decoder = AnthropicStreamDecoder()
    back = [chunk for event in SseParser().feed(stream) for chunk in decoder.feed(event.data)]
    assert decoder.complete
    assert decoder.stopped
    assert "".join(chunk.text for chunk in back) == "".join(chunk.text for chunk in some)
    assert back[-1].finish_reason == finish
    last = decoder.finish()
    assert last is not None
    assert last.usage == usage
    order: list[int] = []
    for chunk in some:
        order += [call.index for call in chunk.tool_calls if call.index not in order]
    for place, index in enumerate(order):
        sent = "".join(arguments(chunk, index) for chunk in some)
        assert "".join(arguments(chunk, place) for chunk in back) == sent


def arguments(chunk: ChatChunk, index: int) -> str:
    fragments = [call.function.arguments for call in chunk.tool_calls if call.index == index and call.function]
    return "".join(fragment or "" for fragment in fragments)


def test_an_error_event_stops_the_reader() -> None:
    frame = MessagesWriter(ARRIVAL).fail(Deny(Code.OVERLOADED, "gateway.capacity", "busy"))
    [event] = SseParser().feed(frame)
    assert event.event == b"error"
    with pytest.raises(AnthropicErrorEvent) as caught:
        AnthropicStreamDecoder().feed(event.data)
    assert caught.value.error["type"] == "overloaded_error"


def test_a_tool_without_arguments_gets_an_empty_object() -> None:
    decoder = AnthropicStreamDecoder()
    start = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    decoder.feed(json.dumps({"type": "content_block_start", "index": 0, "content_block": start}).encode())
    [chunk] = decoder.feed(b'{"type": "content_block_stop", "index": 0}')
    assert arguments(chunk, 0) == "{}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "index", "delta", "content_block", "message", "usage", "error", "text", "name"]),
            inner,
        )
    ),
    max_leaves=12,
)
event_like = st.builds(
    lambda kind, rest: json.dumps({**rest, "type": kind}).encode() if isinstance(rest, dict) else b"[]",
    st.sampled_from(
        ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "zzz"]
    ),
    json_values,
)


@given(st.lists(st.one_of(st.binary(max_size=60), event_like), max_size=6))
def test_arbitrary_events_raise_nothing_but_what_is_promised(events: list[bytes]) -> None:
    decoder = AnthropicStreamDecoder()
    for event in events:
        try:
            decoder.feed(event)
        except (msgspec.DecodeError, AnthropicErrorEvent):
            continue
