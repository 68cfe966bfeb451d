"""How a stream ends that a rule of its screen denies in the middle: an error, or the finish reason of the protocol."""

from collections.abc import Callable
from typing import Any

import pytest

from greffier.testing.peers import Peers
from greffier.testing.platform import Answer, Platform

SCREENS = """
topics:
  bluebird: {title: A secret project, terms: [project bluebird]}
  payroll: {title: Payroll, terms: [salary list]}
screens:
  held:
    stream: {window_chars: 64, overlap_chars: 32, blocked: %s}
    output:
      - {id: bluebird, types: ["topic:bluebird"], then: deny}
      - {id: payroll, types: ["topic:payroll"], then: escalate}
"""
SAFE = "The weather was fine and the parcel came in time. "
SECRET = SAFE * 8 + "It is called project bluebird. " + SAFE * 8

Start = Callable[..., Platform]


def streamed(platform: Platform, path: str, said: str, orders: str = "") -> tuple[Answer, list[Any]]:
    key = platform.create_key("acme", "assistant")
    text = f"{orders} [[chunks=40]] [[say={said}]]"
    if path == "/v1/responses":
        body: dict[str, Any] = {"input": text}
    else:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 900}
    answer = platform.request("POST", path, {"model": "assistant", "stream": True, **body}, key=key)
    return answer, answer.frames


@pytest.fixture
def finishing(make: Start) -> Platform:
    return make(0, SCREENS % "finish")


def test_an_error_frame_is_what_happens_unless_a_screen_says_otherwise(make: Start, peers: Peers) -> None:
    answer, frames = streamed(make(0, SCREENS % "error"), "/v1/chat/completions", SECRET)
    assert answer.status == 200
    assert frames[-1]["error"]["code"] == "output_blocked"


def test_a_blocked_chat_finishes_with_content_filter(finishing: Platform, peers: Peers) -> None:
    answer, frames = streamed(finishing, "/v1/chat/completions", SECRET)
    assert frames[-1] == "[DONE]"
    finish = [frame["choices"][0]["finish_reason"] for frame in frames[:-1] if frame["choices"]]
    assert finish[-1] == "content_filter"
    assert set(finish[:-1]) == {None}
    assert SAFE.encode() in answer.body
    assert b"bluebird" not in answer.body
    told = finishing.records(answer.headers["x-request-id"])[-1]
    assert (told["outcome"], told["code"]) == ("denied", "output_blocked")


def test_a_blocked_response_is_incomplete_and_a_blocked_message_a_refusal(finishing: Platform, peers: Peers) -> None:
    _, frames = streamed(finishing, "/v1/responses", SECRET)
    assert frames[-1]["type"] == "response.incomplete"
    assert frames[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    answer, frames = streamed(finishing, "/v1/messages", SECRET)
    assert [f["delta"]["stop_reason"] for f in frames if f["type"] == "message_delta"] == ["refusal"]
    assert frames[-1]["type"] == "message_stop"
    assert b"bluebird" not in answer.body


@pytest.mark.parametrize(
    ("said", "orders", "code"),
    [
        (SAFE * 8 + "Here is the salary list. " + SAFE * 8, "", "escalated"),
        (SAFE * 20, "[[cut]]", "upstream_truncated"),
    ],
)
def test_only_a_denial_by_a_rule_finishes(finishing: Platform, peers: Peers, said: str, orders: str, code: str) -> None:
    _, frames = streamed(finishing, "/v1/chat/completions", said, orders)
    assert "[DONE]" not in frames
    assert frames[-1]["error"]["code"] == code
