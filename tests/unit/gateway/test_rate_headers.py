"""Limits in the words of each dialect."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.gateway.rate_headers import in_anthropic_words
from greffier.limits.headers import duration

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reset", "time"),
    [
        (b"0s", b"2026-11-28T12:00:00Z"),
        (b"20ms", b"2026-11-28T12:00:01Z"),
        (b"6m0s", b"2026-11-28T12:06:00Z"),
        (b"1h0m5s", b"2026-11-28T13:00:05Z"),
    ],
)
def test_the_same_facts_under_anthropics_names(reset: bytes, time: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"x-ratelimit-limit-requests", b"10"),
        (b"x-ratelimit-remaining-tokens", b"900"),
        (b"x-ratelimit-reset-tokens", reset),
    ]
    assert in_anthropic_words(headers, NOON) == [
        (b"anthropic-ratelimit-requests-limit", b"10"),
        (b"anthropic-ratelimit-tokens-remaining", b"900"),
        (b"anthropic-ratelimit-tokens-reset", time),
    ]


@given(st.integers(0, 10**8))
def test_a_reset_is_never_told_too_early(milliseconds: int) -> None:
    headers = [(b"x-ratelimit-reset-requests", duration(milliseconds).encode())]
    ((_, time),) = in_anthropic_words(headers, NOON)
    told = datetime.fromisoformat(time.decode())
    assert timedelta() <= told - (NOON + timedelta(milliseconds=milliseconds)) < timedelta(seconds=2)
