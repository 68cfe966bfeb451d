"""Programs that only know the OpenAI SDK: two Python generations and Node, against the real platform."""

from collections.abc import Callable
from typing import Any

import pytest

from greffier.testing.journal import outcome_of
from greffier.testing.platform import Platform

pytestmark = pytest.mark.slow

Suite = Callable[[str, str], dict[str, Any]]
Results = dict[str, Any]

LONG = "a harmless sentence without any meaning "
ARGUMENTS = '{"city": "Paris"}'


@pytest.fixture(params=["old", "new"])
def python(suite: Suite, request: pytest.FixtureRequest) -> Results:
    return suite("openai", request.param)


@pytest.fixture
def node(suite: Suite) -> Results:
    return suite("node", "node")


def test_no_case_crashed(python: Results, node: Results) -> None:
    crashed = {
        name: result["crashed"] for results in (python, node) for name, result in results.items() if "crashed" in result
    }
    assert not crashed


def test_chat(python: Results) -> None:
    plain = python["chat_plain"]
    assert plain.pop("request_id").startswith("req_")
    assert plain == {"text": "Good morning", "role": "assistant", "finish": "stop", "model": "assistant", "usage": True}
    assert python["chat_raw_headers"]["x-request-id"].startswith("req_")
    assert python["chat_large_prompt"] == {"text": "read", "prompt_tokens": True}


def test_chat_stream(python: Results) -> None:
    assert python["chat_stream"] == {"text": "one two three", "finish": "stop", "usages": []}
    usages = python["chat_stream_usage"].pop("usages")
    assert python["chat_stream_usage"] == {"text": "one two three", "finish": "stop"}
    assert len(usages) == 1
    assert usages[0] > 0


def test_tools(python: Results) -> None:
    assert python["chat_tools"] == {
        "finish": "tool_calls",
        "names": ["weather", "time"],
        "arguments": ARGUMENTS,
        "again": "done",
    }
    assert python["chat_tools_stream"] == {
        "finish": "tool_calls",
        "names": ["weather", "time"],
        "arguments": [ARGUMENTS, ARGUMENTS],
    }


def test_legacy_completions(python: Results) -> None:
    assert python["legacy_plain"] == {"text": "Good morning", "object": "text_completion"}
    assert python["legacy_stream"] == {"text": "one two"}


def test_responses(python: Results) -> None:
    assert python["responses_plain"] == {"text": "Good morning", "status": "completed", "usage": True}
    assert python["responses_stream"] == {
        "text": "one two",
        "first": "response.created",
        "last": "response.completed",
        "usage": True,
    }
    assert python["responses_tools"] == {
        "type": "function_call",
        "name": "weather",
        "arguments": ARGUMENTS,
        "again": "done",
        "streamed": ["weather", ARGUMENTS],
    }


def test_embeddings_models_and_moderations(python: Results) -> None:
    assert python["embeddings"] == {"vectors": 2, "same": True, "usage": True}
    assert python["models"] == {"listed": ["assistant", "vectors"], "one": "assistant"}
    assert python["moderations"] == {"flagged": [False, True]}


REFUSALS = {
    # case: exception class, status, code, type, requests made
    "unknown_parameter": ("BadRequestError", 400, "unsupported_parameter", "invalid_request_error", 1),
    "bad_value": ("BadRequestError", 400, "invalid_request", "invalid_request_error", 1),
    "wrong_key": ("AuthenticationError", 401, "invalid_api_key", "authentication_error", 1),
    "unapproved_use_case": ("PermissionDeniedError", 403, "use_case_not_approved", "permission_error", 1),
    "unknown_model": ("NotFoundError", 404, "model_not_found", "invalid_request_error", 1),
    "unknown_path": ("NotFoundError", 404, "route_not_found", "invalid_request_error", 1),
    "too_large": ("APIStatusError", 413, "request_too_large", "invalid_request_error", 1),
    "rate_limited": ("RateLimitError", 429, "rate_limit_exceeded", "rate_limit_error", 1),
    "over_budget": ("RateLimitError", 429, "budget_exceeded", "rate_limit_error", 1),
    "guardrail": ("BadRequestError", 400, "guardrail_blocked", "invalid_request_error", 1),
    "guardrail_stream": ("BadRequestError", 400, "guardrail_blocked", "invalid_request_error", 1),
    "guardrail_responses": ("BadRequestError", 400, "guardrail_blocked", "invalid_request_error", 1),
    "output_blocked": ("BadRequestError", 400, "output_blocked", "invalid_request_error", 1),
    "upstream_down": ("InternalServerError", 502, "upstream_unavailable", "server_error", 3),
    "upstream_down_stream": ("InternalServerError", 502, "upstream_unavailable", "server_error", 1),
    "upstream_silent": ("InternalServerError", 504, "upstream_timeout", "server_error", 1),
    "upstream_refuses": ("BadRequestError", 400, "upstream_rejected", "invalid_request_error", 1),
    "upstream_limits_us": ("RateLimitError", 429, "upstream_rate_limited", "rate_limit_error", 1),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_the_exception_its_sdk_knows(python: Results, case: str) -> None:
    result = python[case]
    kind, status, code, error_type, calls = REFUSALS[case]
    assert kind in result["kinds"]
    assert (result["status"], result["code"]) == (status, code)
    assert (result["type"], result["calls"]) == (error_type, calls)
    assert result["request_id"].startswith("req_")
    assert result["message"]


def test_the_field_at_fault_is_named(python: Results) -> None:
    assert python["unknown_parameter"]["param"] == "wibble"
    assert python["bad_value"]["param"] == "temperature"
    assert python["unknown_model"]["param"] == "model"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("output_blocked_in_mid_stream", "output_blocked"),
        ("upstream_cut", "upstream_truncated"),
        ("upstream_false_done", "upstream_truncated"),
    ],
)
def test_a_stream_that_is_stopped_raises_and_never_ends_quietly(python: Results, case: str, code: str) -> None:
    result = python[case]
    assert (result["raised"], result["code"]) == ("APIError", code)
    assert result["text"].startswith(LONG)
    assert "bluebird" not in result["text"]


def test_a_stream_that_is_stopped_in_its_first_window_raises_before_any_text(python: Results) -> None:
    expected = {"text": "", "raised": "APIError", "code": "output_blocked"}
    assert python["output_blocked_in_the_first_window"] == expected


def test_a_stopped_responses_stream_fails_and_raises(python: Results) -> None:
    assert python["output_blocked_in_mid_stream_of_responses"] == {
        "raised": "APIError",
        "code": "output_blocked",
        "before": "response.failed",
    }


def test_a_retry_reaches_a_model_that_recovered(python: Results) -> None:
    assert python["recovery_within_retries"] == {"text": "recovered", "calls": 2}


def test_hanging_up_is_recorded(python: Results, platform: Platform) -> None:
    outcome = outcome_of(platform.workspace, python["hanging_up"]["request_id"])
    assert outcome["outcome"] == "cancelled"


def test_refusals_are_recorded_under_the_id_the_caller_saw(python: Results, platform: Platform) -> None:
    for case in ("guardrail", "over_budget", "unknown_model", "upstream_down", "output_blocked", "bad_value"):
        outcome = outcome_of(platform.workspace, python[case]["request_id"])
        assert outcome["outcome"] in ("denied", "failed")
        assert outcome["code"] == python[case]["code"]


def test_node_answers(node: Results) -> None:
    assert node["chat_plain"]["text"] == "Good morning"
    assert node["chat_plain"]["request_id"].startswith("req_")
    assert len(node["chat_stream"].pop("usages")) == 1
    assert node["chat_stream"] == {"text": "one two three", "finish": "stop"}
    assert node["chat_tools_stream"] == {"names": ["weather", "time"], "arguments": [ARGUMENTS, ARGUMENTS]}
    assert node["responses_plain"] == {"text": "Good morning", "status": "completed"}
    assert node["responses_stream"] == {"text": "one two"}
    assert node["embeddings"] == {"vectors": 2, "floats": True}
    assert node["models"] == {"listed": ["assistant", "vectors"]}
    assert node["large_prompt"] == {"text": "read"}


@pytest.mark.parametrize(
    "case",
    ["wrong_key", "unapproved_use_case", "unknown_model", "bad_value", "over_budget", "guardrail", "upstream_down"],
)
def test_node_refusals(node: Results, case: str) -> None:
    result = node[case]
    kind, status, code, _, calls = REFUSALS[case]
    assert (result["class"], result["status"], result["code"], result["calls"]) == (kind, status, code, calls)
    assert result["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("case", "code"), [("output_blocked_in_mid_stream", "output_blocked"), ("upstream_cut", "upstream_truncated")]
)
def test_node_streams_that_are_stopped_raise(node: Results, case: str, code: str) -> None:
    assert (node[case]["raised"], node[case]["code"]) == ("APIError", code)
    assert node[case]["text"].startswith(LONG)
