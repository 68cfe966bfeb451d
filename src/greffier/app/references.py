"""Keyed references to people and machines: equal values give equal references, which only the key's holder can tell."""

import hashlib
import hmac
from functools import lru_cache

_BYTES = 16
_REMEMBERED = 8192


class References:
    """HMAC-SHA-256 of a kind and a value under the installation's pseudonym key (GDPR Art. 4(5), pseudonymisation)."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cached = lru_cache(maxsize=_REMEMBERED)(self._compute)

    def __call__(self, kind: str, value: str) -> str:
        """Reference of 128 bits, with the kind's first word in front: ``peer:5d41402abc4b2a76b9719d911017c592``."""
        return self._cached(kind, value)

    def _compute(self, kind: str, value: str) -> str:
        message = kind.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
        digest = hmac.new(self._key, message, hashlib.sha256).hexdigest()[: 2 * _BYTES]
        return f"{kind.partition(':')[0]}:{digest}"
