"""LangChain programs over its OpenAI classes: two generations, against the real platform."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Results = dict[str, Any]


@pytest.fixture(params=["old", "new"])
def sdk(suite: Callable[[str, str], Results], request: pytest.FixtureRequest) -> Results:
    return suite("langchain", request.param)


def test_no_case_crashed(sdk: Results) -> None:
    assert not {name: result["crashed"] for name, result in sdk.items() if "crashed" in result}


def test_answers(sdk: Results) -> None:
    assert sdk["invoke"] == {"text": "Good morning", "usage": True}
    assert sdk["stream"] == {"text": "one two three", "several": True}
    assert sdk["responses_api"] == {"text": "Good morning"}
    assert sdk["embeddings"] == {"vectors": 2, "floats": True}


def test_tokens_are_counted_once(sdk: Results) -> None:
    assert sdk["stream_usage"] == {"same_as_plain": True}


def test_tools(sdk: Results) -> None:
    assert sdk["tools"] == {"name": "weather", "args": {"city": "Paris"}, "again": "done"}
    assert sdk["tools_stream"] == {"name": "weather", "args": {"city": "Paris"}}


@pytest.mark.parametrize(
    ("case", "kind", "code", "status"),
    [
        ("guardrail", "BadRequestError", "guardrail_blocked", 400),
        ("over_budget", "RateLimitError", "budget_exceeded", 429),
        ("output_blocked_in_mid_stream", "APIError", "output_blocked", None),
        ("upstream_cut", "APIError", "upstream_truncated", None),
    ],
)
def test_refusals_raise(sdk: Results, case: str, kind: str, code: str, status: int | None) -> None:
    assert kind in sdk[case]["kinds"]
    assert (sdk[case]["code"], sdk[case]["status"]) == (code, status)
