import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.adapters.providers.openai_wire import (
    ANSWER,
    EMBEDDINGS,
    ChunkReader,
    Dialect,
    embeddings_of,
    encode_chat,
    response_of,
)
from greffier.adapters.providers.wire import decode
from greffier.core.chat import ChatChunk, ChatRequest, EmbeddingRequest, Message, Usage
from greffier.core.errors import Code
from greffier.llm.ports import ProviderError


def answer(**fields: Any) -> Any:
    body = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]} | fields
    return decode(json.dumps(body).encode(), ANSWER, "an answer")


def read_all(*payloads: dict[str, Any] | bytes) -> list[ChatChunk]:
    reader = ChunkReader()
    chunks: list[ChatChunk] = []
    for payload in payloads:
        chunks += reader.read(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    last = reader.finish()
    return [*chunks, last] if last else chunks


def piece(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def test_usage_is_split_into_disjoint_buckets() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 99},
    }
    got = response_of(answer(usage=usage)).usage
    assert got == Usage(input_tokens=6, output_tokens=7, cached_tokens=4, reasoning_tokens=7)
    assert got.prompt_tokens == 10


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": 3}])
def test_usage_that_says_nothing_is_none(usage: Any) -> None:
    assert response_of(answer(usage=usage)).usage is None


@pytest.mark.parametrize("tokens", [-1, 2**60, "7", 1.5])
def test_impossible_usage_is_refused(tokens: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        answer(usage={"prompt_tokens": tokens})
    assert caught.value.code is Code.UPSTREAM_MALFORMED


def test_tolerates_what_other_servers_do() -> None:
    message = {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hi"}],
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
    }
    body = {"choices": [{"message": message, "finish_reason": "tool_call"}], "created": 1.5, "novel": {"x": []}}
    response = response_of(decode(json.dumps(body).encode(), ANSWER, "an answer"))
    choice = response.choices[0]
    assert choice.message.content == "hi"
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].id == "call_0"
    assert choice.message.tool_calls[0].function.arguments == '{"a":1}'


def test_an_error_in_an_ok_answer_is_an_error() -> None:
    with pytest.raises(ProviderError) as caught:
        response_of(answer(error={"message": "x", "code": "rate_limit_exceeded"}))
    assert caught.value.code is Code.UPSTREAM_RATE_LIMITED


def test_repeated_names_and_missing_indexes_are_mended() -> None:
    call = {"id": "t", "function": {"name": "f", "arguments": '{"a"'}}
    again = {"id": "t", "function": {"name": "f", "arguments": ":1}"}}
    chunks = read_all(piece(tool_calls=[call]), piece(tool_calls=[again]), piece(finish="tool_calls"))
    first, second = (chunk.tool_calls[0] for chunk in chunks[:2])
    assert (first.index, first.id, first.function.name if first.function else "") == (0, "t", "f")
    assert (second.index, second.id) == (0, None)
    assert second.function is not None
    assert second.function.name is None
    assert second.function.arguments == ":1}"


def test_usage_on_every_chunk_comes_out_once() -> None:
    counts = [{"usage": {"prompt_tokens": 1, "completion_tokens": n}} for n in range(3)]
    chunks = read_all(piece(content="a") | counts[0], piece(content="b") | counts[1], piece(finish="stop") | counts[2])
    assert [chunk.usage.output_tokens for chunk in chunks if chunk.usage] == [2]


@pytest.mark.parametrize(
    "payloads",
    [
        (),
        (piece(content="a"),),
        (piece(content="a"), {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        (piece(0, "stop"), piece(1, content="b")),
    ],
    ids=["nothing", "text", "usage", "second answer"],
)
def test_a_stream_without_its_finish_is_truncated(payloads: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ProviderError) as caught:
        read_all(*payloads)
    assert caught.value.code is Code.UPSTREAM_TRUNCATED


def test_a_second_finish_is_dropped() -> None:
    assert [c.finish_reason for c in read_all(piece(finish="stop"), piece(finish="length"))] == ["stop"]


def test_developer_messages_become_system_where_unknown() -> None:
    request = ChatRequest("m", (Message("developer", "d"), Message("user", "u")))
    for known, role in ((False, "system"), (True, "developer")):
        body = json.loads(encode_chat(request, "x", 5, Dialect(developer_role=known), stream=False))
        assert body["messages"][0] == {"role": role, "content": "d"}


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": "!!"}],
        [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": "AAA="}],
    ],
    ids=["none", "one", "twice", "not base64", "half a float"],
)
def test_vectors_that_do_not_fit_are_refused(data: Any) -> None:
    read = decode(json.dumps({"data": data}).encode(), EMBEDDINGS, "x")
    with pytest.raises(ProviderError) as caught:
        embeddings_of(read, EmbeddingRequest("m", ("a", "b")))
    assert caught.value.code is Code.UPSTREAM_MALFORMED


def test_vectors_come_back_in_the_order_of_the_inputs() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": "AACAPw=="}]
    read = decode(json.dumps({"data": data}).encode(), EMBEDDINGS, "x")
    assert embeddings_of(read, EmbeddingRequest("m", ("a", "b"))).vectors == ([1.0], [2.0])


def test_huge_floats_cannot_break_packing() -> None:
    read = decode(b'{"data": [{"index": 0, "embedding": [1e300]}]}', EMBEDDINGS, "x")
    with pytest.raises(ProviderError):
        embeddings_of(read, EmbeddingRequest("m", ("a",), encoding_format="base64"))


keys = st.sampled_from(
    [
        "choices",
        "message",
        "delta",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "usage",
        "finish_reason",
        "error",
        "prompt_tokens",
        "id",
        "model",
        "data",
        "embedding",
        "type",
        "text",
        "code",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
wire = st.one_of(
    st.binary(max_size=80),
    values.map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 5000),
    st.just(b'{"choices":' * 5000),
    st.just(b'{"choices":[{"message":{"content":"\xff"}}]}'),
)


@given(wire)
def test_arbitrary_answers_raise_nothing_but_provider_errors(data: bytes) -> None:
    for attempt in (
        lambda: response_of(decode(data, ANSWER, "x")),
        lambda: embeddings_of(decode(data, EMBEDDINGS, "x"), EmbeddingRequest("m", ("a",))),
        lambda: ChunkReader().read(data),
    ):
        with contextlib.suppress(ProviderError):
            attempt()


text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.lists(text, max_size=6), st.sampled_from(["stop", "length", "tool_calls"]))
def test_text_survives_streaming(pieces: list[str], finish: str) -> None:
    chunks = read_all(*[piece(content=part) for part in pieces], piece(finish=finish))
    assert "".join(chunk.text for chunk in chunks) == "".join(pieces)


def test_a_request_encodes_as_the_wire_wants_it() -> None:
    request = ChatRequest("m", (Message("user", "x"),), response_format={"type": "json_object"}, params={"top_p": 1})
    body = msgspec.json.decode(encode_chat(request, "real", 9, Dialect(), stream=True))
    assert body == {
        "top_p": 1,
        "model": "real",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 9,
        "response_format": {"type": "json_object"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
