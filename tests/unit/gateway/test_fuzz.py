"""Whatever is sent, the answer is no 5xx and speaks the caller's dialect."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greffier.gateway.app import GatewayApp
from greffier.gateway.routes import ROUTES
from greffier.testing.asgi import Reply, ask
from greffier.testing.pipelines import KEY, ScriptedHealth, scripted_pipelines

AUTH = (("authorization", f"Bearer {KEY}"),)
POSTS = sorted(path for path, route in ROUTES.items() if route.method == "POST")

TEXT = st.text(max_size=12).filter(lambda text: not text.startswith("!"))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "input",
        "prompt",
        "text",
        "content",
        "role",
        "type",
        "stream",
        "tools",
        "tool_choice",
        "function",
        "name",
        "arguments",
        "id",
        "output",
        "call_id",
        "tool_calls",
        "tool_call_id",
        "max_tokens",
        "temperature",
        "stop",
        "n",
        "system",
        "source",
        "media_type",
        "data",
        "url",
        "image_url",
        "input_schema",
        "parameters",
        "response_format",
        "format",
        "schema",
        "metadata",
        "user_id",
        "stream_options",
        "include_usage",
        "rating",
        "request_id",
        "comment",
        "reason",
        "direction",
        "context",
        "explain",
        "session",
        "encoding_format",
        "dimensions",
    ]
)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "tool",
        "developer",
        "text",
        "message",
        "function_call",
        "function_call_output",
        "input_text",
        "output_text",
        "image_url",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "base64",
        "json_schema",
        "function",
        "custom",
        "auto",
        "any",
        "none",
        "input",
        "output",
    ]
)
VALUE = st.recursive(
    SCALAR | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=5),
    max_leaves=25,
)
TURN = st.fixed_dictionaries({"role": WORDS, "content": VALUE}, optional={"tool_calls": VALUE, "type": WORDS})
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(TURN, max_size=3),
        "input": TEXT | st.lists(TURN | TEXT, max_size=3),
        "prompt": TEXT,
        "text": TEXT | VALUE,
        "max_tokens": st.integers(-1, 5),
        "stream": st.booleans(),
        "tools": st.lists(VALUE, max_size=2),
        "request_id": TEXT,
        "rating": st.integers(0, 6),
    },
)
BODIES = (
    st.binary(max_size=120)
    | VALUE.map(lambda value: json.dumps(value).encode())
    | PLAUSIBLE.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda base, extra: json.dumps({**base, **extra}).encode(), PLAUSIBLE, st.dictionaries(NAMES, VALUE))
)


def in_dialect(path: str, reply: Reply) -> bool:
    body: Any = reply.json()
    if path.startswith("/v1/messages"):
        error = body["error"]
        return body["type"] == "error" and {"type", "message"} <= set(error) and bool(body["request_id"])
    return {"message", "type", "param", "code"} <= set(body["error"])


@pytest.mark.parametrize("path", POSTS)
@given(body=BODIES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
async def test_any_body_gets_an_answer_or_a_refusal_in_dialect(path: str, body: bytes) -> None:
    faults: list[BaseException] = []
    app = GatewayApp(scripted_pipelines(), ScriptedHealth(), on_fault=lambda _request_id, error: faults.append(error))
    reply = await ask(app, "POST", path, body, AUTH)
    assert not faults
    assert reply.complete
    assert reply.status in (200, 400, 404)
    assert reply.headers["x-request-id"]
    if reply.status != 200:
        assert in_dialect(path, reply)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
    path=st.sampled_from([*ROUTES, "/v1/models/x", "/healthz", "/v1", "/"]) | st.text(max_size=20).map("/".__add__),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["authorization", "x-api-key", "traceparent", "x-request-id", "content-length", "a"]),
            st.text(st.characters(max_codepoint=255), max_size=20),
        ),
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
async def test_any_request_line_and_headers_get_a_known_status(
    method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    app = GatewayApp(scripted_pipelines(), ScriptedHealth())
    reply = await ask(app, method, path, b"", headers)
    assert reply.complete
    assert reply.status in (200, 400, 401, 404, 405, 413)
    assert reply.headers["x-request-id"].startswith("req_")
