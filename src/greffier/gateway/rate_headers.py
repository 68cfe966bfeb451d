"""What is left under the limits in Anthropic's words: the same facts as ``x-ratelimit-*``, ends of periods as times.

Names and forms as Anthropic documents them ("Rate limits", response headers): ``anthropic-ratelimit-requests-reset`` is
the RFC 3339 time at which all of it is back, where OpenAI's header is a duration.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

WireHeaders = list[tuple[bytes, bytes]]

_PREFIX: Final = b"x-ratelimit-"
_PIECE: Final = re.compile(rb"(\d+)(ms|h|m|s)")
_UNITS_MS: Final = {b"ms": 1, b"s": 1000, b"m": 60_000, b"h": 3_600_000}


def in_anthropic_words(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> WireHeaders:
    """The headers that an Anthropic client looks for, made from those that an OpenAI client does."""
    found: WireHeaders = []
    for name, value in headers:
        if name.startswith(_PREFIX):
            what, _, kind = name.removeprefix(_PREFIX).partition(b"-")
            said = _end(value, now) if what == b"reset" else value
            found.append((b"anthropic-ratelimit-%b-%b" % (kind, what), said))
    return found


def _end(duration: bytes, now: datetime) -> bytes:
    milliseconds = sum(int(count) * _UNITS_MS[unit] for count, unit in _PIECE.findall(duration))
    end = now.astimezone(UTC) + timedelta(milliseconds=milliseconds)
    if end.microsecond:
        end = end.replace(microsecond=0) + timedelta(seconds=1)  # rounded up, never too early
    return end.strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")
