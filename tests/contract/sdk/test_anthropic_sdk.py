"""Programs that only know the Anthropic SDK: two generations, against the real platform over an OpenAI-shaped model."""

from collections.abc import Callable
from typing import Any

import pytest

from greffier.testing.journal import outcome_of
from greffier.testing.platform import Platform

pytestmark = pytest.mark.slow

Results = dict[str, Any]


@pytest.fixture(params=["old", "new"])
def sdk(suite: Callable[[str, str], Results], request: pytest.FixtureRequest) -> Results:
    return suite("anthropic", request.param)


def test_no_case_crashed(sdk: Results) -> None:
    assert not {name: result["crashed"] for name, result in sdk.items() if "crashed" in result}


def test_messages(sdk: Results) -> None:
    plain = dict(sdk["plain"])
    assert plain.pop("request_id").startswith("req_")
    assert plain == {"text": "Good morning", "stop_reason": "end_turn", "model": "assistant", "usage": True}
    assert sdk["large_prompt"] == {"text": "read"}
    assert sdk["count_tokens"] == {"counted": True}
    assert sdk["models"] == {"listed": ["assistant", "vectors"], "one": "assistant"}


def test_stream(sdk: Results) -> None:
    assert sdk["stream"] == {
        "text": "one two three",
        "stop_reason": "end_turn",
        "output_tokens": True,
        "blocks": [{"type": "text"}],
    }
    kinds = sdk["stream_events"]["kinds"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_tools(sdk: Results) -> None:
    assert sdk["tools"] == {
        "stop_reason": "tool_use",
        "names": ["weather", "time"],
        "input": {"city": "Paris"},
        "again": "done",
    }
    assert sdk["tools_stream"]["stop_reason"] == "tool_use"
    blocks = [(block["name"], block["input"]) for block in sdk["tools_stream"]["blocks"]]
    assert blocks == [("weather", {"city": "Paris"}), ("time", {"city": "Paris"})]


REFUSALS = {
    # case: exception class, status, Anthropic type, our code, requests made
    "unknown_parameter": ("BadRequestError", 400, "invalid_request_error", "unsupported_parameter", 1),
    "wrong_key": ("AuthenticationError", 401, "authentication_error", "invalid_api_key", 1),
    "unapproved_use_case": ("PermissionDeniedError", 403, "permission_error", "use_case_not_approved", 1),
    "unknown_model": ("NotFoundError", 404, "not_found_error", "model_not_found", 1),
    "too_large": ("APIStatusError", 413, "request_too_large", "request_too_large", 1),
    "rate_limited": ("RateLimitError", 429, "rate_limit_error", "rate_limit_exceeded", 1),
    "over_budget": ("RateLimitError", 429, "rate_limit_error", "budget_exceeded", 1),
    "guardrail": ("BadRequestError", 400, "invalid_request_error", "guardrail_blocked", 1),
    "guardrail_stream": ("BadRequestError", 400, "invalid_request_error", "guardrail_blocked", 1),
    "output_blocked": ("BadRequestError", 400, "invalid_request_error", "output_blocked", 1),
    "upstream_down": ("InternalServerError", 502, "api_error", "upstream_unavailable", 3),
    "upstream_silent": ("InternalServerError", 504, "api_error", "upstream_timeout", 1),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_the_exception_its_sdk_knows(sdk: Results, case: str) -> None:
    result = sdk[case]
    kind, status, error_type, code, calls = REFUSALS[case]
    assert kind in result["kinds"]
    assert (result["status"], result["type"]) == (status, error_type)
    assert (result["code"], result["calls"]) == (code, calls)
    assert result["request_id"].startswith("req_")
    assert result["message"]


@pytest.mark.parametrize(
    ("case", "code"), [("output_blocked_in_mid_stream", "output_blocked"), ("upstream_cut", "upstream_truncated")]
)
def test_a_stream_that_is_stopped_raises(sdk: Results, case: str, code: str) -> None:
    result = sdk[case]
    assert (result["raised"], result["status"], result["code"]) == ("APIStatusError", 200, code)
    assert result["text"].startswith("a harmless sentence")
    assert "bluebird" not in result["text"]


def test_hanging_up_is_recorded(sdk: Results, platform: Platform) -> None:
    assert outcome_of(platform.workspace, sdk["hanging_up"]["request_id"])["outcome"] == "cancelled"
