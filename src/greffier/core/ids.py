"""Identifiers: time-ordered, opaque, safe in URLs and logs."""

import time

from greffier.core.randomness import random_bytes

_TIMESTAMP_BITS = 48
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford, lower case: no letters that are read as digits
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)  # two characters at a time: half the work


def new_id(prefix: str) -> str:
    """Return ``prefix_`` followed by 26 characters of a UUIDv7-like value (RFC 9562 section 5.7).

    The first 48 bits are the Unix time in milliseconds, the other 80 bits are random, so identifiers sort by time
    and cannot be guessed.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(random_bytes(10), "big")
    pairs = [_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(pairs)}"
