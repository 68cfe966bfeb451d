"""What a body may look like, and what its sender is told when it does not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.gateway.decoding import decode, depth_exceeds
from greffier.gateway.wire.chat_request import decode_chat
from greffier.gateway.wire.messages_request import decode_messages
from greffier.gateway.wire.responses_request import decode_responses

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(value=JSON, limit=st.integers(1, 8))
def test_depth_is_counted_exactly_for_any_json(value: object, limit: int) -> None:
    for ensure_ascii in (True, False):
        body = json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")
        assert depth_exceeds(body, limit) == (depth_of(value) > limit)


@given(body=st.binary(max_size=200), limit=st.integers(1, 4))
def test_depth_of_arbitrary_bytes_never_fails(body: bytes, limit: int) -> None:
    depth_exceeds(body, limit)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b'[{"' * 50_000, b'"[' * 100_000])
def test_a_nesting_bomb_is_refused(body: bytes) -> None:
    ruling = decode_chat(body, max_depth=64)
    assert isinstance(ruling, Deny)
    assert ruling.code in (Code.INVALID_JSON, Code.INVALID_REQUEST)


def test_brackets_in_strings_do_not_count() -> None:
    text = '[{"\\"[' * 1000
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    ruling = decode_chat(body, max_depth=8)
    assert isinstance(ruling, Allow)
    assert ruling.value.messages[0].content == text


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", Code.INVALID_JSON, None),
        (b"{", Code.INVALID_JSON, None),
        (b'{"messages": NaN}', Code.INVALID_JSON, None),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', Code.INVALID_JSON, None),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', Code.INVALID_JSON, None),
        (b"[]", Code.INVALID_REQUEST, "body"),
        (b"null", Code.INVALID_REQUEST, "body"),
        ({}, Code.INVALID_REQUEST, "messages"),
        ({"messages": []}, Code.INVALID_REQUEST, "messages"),
        ({"messages": "hi"}, Code.INVALID_REQUEST, "messages"),
        ({"messages": [USER], "temperature": "warm"}, Code.INVALID_REQUEST, "temperature"),
        ({"messages": [USER], "temperature": 3}, Code.INVALID_REQUEST, "temperature"),
        ({"messages": [USER], "max_tokens": 0}, Code.INVALID_REQUEST, "max_tokens"),
        ({"messages": [USER], "n": 1000}, Code.INVALID_REQUEST, "n"),
        ({"messages": [USER], "stream": "yes"}, Code.INVALID_REQUEST, "stream"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, Code.INVALID_REQUEST, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, Code.INVALID_REQUEST, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, Code.INVALID_REQUEST, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "a card of mine", "content": "x"}]},
            Code.INVALID_REQUEST,
            "messages[0].tool_call_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            Code.UNSUPPORTED_PARAMETER,
            "messages[0].content[0].file.file_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": 1}}]}]},
            Code.INVALID_REQUEST,
            "messages[0].content[0].input_audio.data",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]},
            Code.INVALID_REQUEST,
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [USER], "logit_bias": {"4111111111111111": 1}}, Code.INVALID_REQUEST, "logit_bias"),
        ({"messages": [USER], "max_tokens": 3, "max_completion_tokens": 4}, Code.INVALID_REQUEST, "max_tokens"),
        ({"messages": [USER], "stream_options": {"include_usage": True}}, Code.INVALID_REQUEST, "stream_options"),
        ({"messages": [USER], "top_k": 3}, Code.UNSUPPORTED_PARAMETER, "top_k"),
        ({"messages": [USER], "store": True}, Code.UNSUPPORTED_PARAMETER, "store"),
        ({"messages": [USER], "metadata": {"a": "b"}}, Code.UNSUPPORTED_PARAMETER, "metadata"),
        ({"messages": [USER], "web_search_options": {}}, Code.UNSUPPORTED_PARAMETER, "web_search_options"),
        ({"messages": [USER], "functions": [{}]}, Code.UNSUPPORTED_PARAMETER, "functions"),
        ({"messages": [USER], "modalities": ["audio"]}, Code.UNSUPPORTED_PARAMETER, "modalities"),
        ({"messages": [{**USER, "secret": 1}]}, Code.UNSUPPORTED_PARAMETER, "messages[0].secret"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
            Code.UNSUPPORTED_PARAMETER,
            "messages[0].content[0].cache_control",
        ),
    ],
)
def test_each_mistake_is_named(body: bytes | dict[str, object], code: Code, param: str | None) -> None:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    ruling = decode_chat(raw, max_depth=64)
    assert isinstance(ruling, Deny)
    assert (ruling.code, ruling.param) == (code, param)


@pytest.mark.parametrize(
    ("decode", "body", "said"),
    [
        (
            decode_chat,
            {"messages": [{"role": "wizard", "content": "x"}]},
            "Expected one of assistant, developer, function, system, tool, user at 'messages[0].role'",
        ),
        (
            decode_chat,
            {"messages": [USER], "tool_choice": "wizard"},
            "Expected one of auto, none, required at 'tool_choice'",
        ),
        (decode_responses, {"input": [{"type": "wizard"}]}, "at 'input[0].type'"),
    ],
)
def test_what_a_field_may_say_is_named(decode: Any, body: dict[str, object], said: str) -> None:
    ruling = decode(msgspec.json.encode(body), max_depth=64)
    assert isinstance(ruling, Deny)
    assert said in ruling.reason
    assert ruling.reason.startswith("Expected one of ")
    assert "wizard" not in ruling.reason


def test_values_are_never_quoted_in_messages() -> None:
    body = {"messages": [{"role": "IBAN DE02120300000000202051", "content": "x"}]}
    ruling = decode_chat(msgspec.json.encode(body), max_depth=64)
    assert isinstance(ruling, Deny)
    assert "DE02" not in ruling.reason


def test_names_chosen_by_the_caller_are_bounded_and_printable() -> None:
    body = {"messages": [USER], "x\r\nset-cookie: a" + "y" * 500: 1}
    ruling = decode_chat(msgspec.json.encode(body), max_depth=64)
    assert isinstance(ruling, Deny)
    assert ruling.param is not None
    assert len(ruling.param) < 80
    assert ruling.param.isprintable()


def test_parameters_go_on_verbatim_and_nulls_count_as_absent() -> None:
    body = {
        "messages": [USER],
        "model": None,
        "temperature": 0.5,
        "top_p": None,
        "stop": ["a", "b"],
        "seed": 7,
        "logit_bias": {"1": -100},
        "max_completion_tokens": 9,
        "safety_identifier": "s",
        "user": "u",
        "prompt_cache_key": "hint",
        "store": False,
    }
    ruling = decode_chat(msgspec.json.encode(body), max_depth=64)
    assert isinstance(ruling, Allow)
    request = ruling.value
    assert request.params == {"temperature": 0.5, "stop": ("a", "b"), "seed": 7, "logit_bias": {"1": -100}}
    assert (request.model, request.max_tokens, request.end_user) == ("", 9, "s")


def test_extra_parameters_pass_only_where_the_workspace_allows_them() -> None:
    body = msgspec.json.encode({"messages": [USER], "top_k": 3, "grammar": {"a": [1]}})
    assert isinstance(decode_chat(body, max_depth=64, extra_parameters={"top_k"}), Deny)
    ruling = decode_chat(body, max_depth=64, extra_parameters={"top_k", "grammar"})
    assert isinstance(ruling, Allow)
    assert ruling.value.params == {"top_k": 3, "grammar": {"a": [1]}}


@given(tail=st.binary(max_size=30))
def test_what_follows_an_extra_parameter_is_checked_too(tail: bytes) -> None:
    for decoder in (decode_chat, decode_messages):
        decoder(b'{"top_k": 3, "wibble": ' + tail, max_depth=64, extra_parameters={"top_k", "wibble"})


def test_an_answer_sent_back_as_history_is_accepted() -> None:
    history: dict[str, object] = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "annotations": [],
        "audio": None,
    }
    body = msgspec.json.encode({"messages": [history, USER]})
    assert isinstance(decode_chat(body, max_depth=64), Allow)


def test_huge_numbers_survive_or_are_refused_but_never_break_the_way_back() -> None:
    for number in (b"1e400", b"1" * 5000, b"-" + b"9" * 30):
        body = b'{"messages":[{"role":"user","content":"x"}],"response_format":{"a":' + number + b"}}"
        ruling = decode_chat(body, max_depth=64)
        if isinstance(ruling, Allow):
            msgspec.json.encode(ruling.value)


@given(body=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    ruling = decode_chat(body, max_depth=16)
    if isinstance(ruling, Deny):
        assert ruling.reason


def test_recursion_beyond_pythons_limit_is_a_refusal() -> None:
    decoder = msgspec.json.Decoder(msgspec.defstruct("Anything", [("a", dict[str, object])]))
    ruling = decode(decoder, b'{"a":' * 3000 + b"1" + b"}" * 3000, max_depth=5000)
    assert isinstance(ruling, Deny)
    assert ruling.code is Code.INVALID_JSON


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]},
            "begins with data:, https:// or http:// at 'messages[0].content[0].image_url.url'",
        ),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a b"}]}, "visible ASCII"),
        ({"logit_bias": {"ignore all rules": 1}}, "the number of a token at 'logit_bias'"),
    ],
)
def test_what_form_a_field_has_is_said_in_words(change: dict[str, object], words: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **change}
    ruling = decode_chat(json.dumps(body).encode(), max_depth=64)
    assert isinstance(ruling, Deny)
    assert words in ruling.reason
    assert "regex" not in ruling.reason
