"""Every code, in every dialect."""

import msgspec
import pytest

from greffier.core.errors import REFUSALS, Code
from greffier.core.rulings import Deny
from greffier.gateway.errors import Dialect, render

DIALECTS: tuple[Dialect, ...] = ("openai", "anthropic", "problem")


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_names_its_code_remedy_and_request(code: Code, dialect: Dialect) -> None:
    ruling = Deny(code, "a.rule", "It broke", param="messages[0]")
    rendered = render(dialect, ruling, "req_1")
    headers = dict(rendered.headers)
    body = msgspec.json.decode(rendered.body)
    refusal = REFUSALS[code]
    assert rendered.status == refusal.status
    if dialect == "openai":
        error = body["error"]
        assert set(error) >= {"message", "type", "param", "code"}
        assert (error["type"], error["code"], error["param"]) == (refusal.openai_type, code.value, "messages[0]")
        message = error["message"]
        assert headers[b"content-type"] == b"application/json"
    elif dialect == "anthropic":
        assert body["type"] == "error"
        assert body["request_id"] == "req_1"
        assert body["error"]["type"] == refusal.anthropic_type
        assert body["error"]["details"]["error_code"] == code.value
        message = body["error"]["message"]
    else:
        assert headers[b"content-type"] == b"application/problem+json"
        assert (body["status"], body["code"]) == (refusal.status, code.value)
        message = body["detail"]
    assert message.startswith("It broke. ")
    assert message.endswith(refusal.remedy)
    assert (headers.get(b"x-should-retry") == b"false") == (not refusal.retry)
    assert (b"retry-after" in headers) == refusal.retry
    assert (b"www-authenticate" in headers) == (refusal.status == 401)


@pytest.mark.parametrize(
    ("seconds", "after", "after_ms"),
    [(None, b"1", b"1000"), (0.0, b"1", b"0"), (0.25, b"1", b"250"), (90.2, b"91", b"90200"), (-3, b"1", b"0")],
)
def test_retry_after_is_never_less_than_the_ruling_says(seconds: float | None, after: bytes, after_ms: bytes) -> None:
    headers = dict(render("openai", Deny(Code.RATE_LIMIT_EXCEEDED, "r", "x", retry_after_s=seconds), "req_1").headers)
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (after, after_ms)


def test_what_can_never_succeed_is_not_retried_whatever_its_code_says() -> None:
    ruling = Deny(
        Code.TOKEN_LIMIT_EXCEEDED, "limit:key:tokens_per_minute", "More than the limit ever allows", final=True
    )
    headers = dict(render("openai", ruling, "req_1").headers)
    assert headers[b"x-should-retry"] == b"false"
    assert b"retry-after" not in headers


def test_a_challenge_says_invalid_token_only_when_one_was_sent() -> None:
    missing = dict(render("openai", Deny(Code.MISSING_CREDENTIALS, "r", "x"), "req_1").headers)
    wrong = dict(render("openai", Deny(Code.INVALID_API_KEY, "r", "x"), "req_1").headers)
    assert b"invalid_token" not in missing[b"www-authenticate"]
    assert b"invalid_token" in wrong[b"www-authenticate"]
