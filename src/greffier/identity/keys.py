"""API keys: how one looks, what is kept of it, and who its holder is.

A key reads ``grf_<id>_<secret><checksum>``, 53 characters:

* ``grf_`` says whose key it is, to people and to secret scanners.
* The id (12 characters of Crockford's base32) is no secret. It stands in records and on the command line.
* The secret is 30 random base62 characters: 178 bits.
* The checksum is the CRC-32 of everything before it, as 6 base62 characters. Like GitHub's
  (https://github.blog/engineering/behind-githubs-new-authentication-token-formats/), it lets a scanner that sees only
  text tell a real key from a look-alike. It proves nothing about authenticity.

Scanners match ``KEY_PATTERN`` and then check the checksum.

Only the SHA-256 of a key is stored. A slow password hash protects secrets that can be guessed; 178 random bits cannot,
so one fast hash is enough and keeps authentication at microseconds.
"""

import hashlib
import secrets
import zlib
from typing import Literal

import msgspec

KEY_PREFIX = "grf_"
KEY_PATTERN = r"\bgrf_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]{36}\b"
"""Regular expression that finds candidate keys in text; `is_well_formed` then checks the checksum."""

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_LENGTH = 30
_CHECKSUM_LENGTH = 6
KEY_LENGTH = len(KEY_PREFIX) + _ID_LENGTH + 1 + _SECRET_LENGTH + _CHECKSUM_LENGTH

PrincipalType = Literal["user", "service", "agent"]


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key. Times are milliseconds since the Unix epoch.

    Attributes:
        id: Public part of the key.
        digest: SHA-256 of the whole key; never printed.
        tenant: Tenant on whose behalf the key acts.
        use_case: The one use case it may call.
        principal_type: Kind of actor that holds it.
        groups: Groups that policy rules may read.
        roles: Roles, likewise.
        purpose: Purpose the key was issued for; None takes the use case's own.
        attributes: Further attributes that policy rules may read.
        label: What people call it.
        created_ms: When it was issued.
        expires_ms: The first millisecond in which it is no longer accepted.
        revoked_ms: When it was withdrawn, or None.
        revoked_reason: Why it was withdrawn.
        family: Id of the first key of its line. Limits count on it, so rotation neither resets nor doubles them.
        successor: Id of the key that replaced it; empty while it is the newest of its line.
    """

    id: str
    digest: bytes
    tenant: str
    use_case: str
    created_ms: int
    expires_ms: int
    principal_type: PrincipalType = "service"
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    purpose: str | None = None
    attributes: dict[str, str] = {}
    label: str = ""
    revoked_ms: int | None = None
    revoked_reason: str = ""
    family: str = ""
    successor: str = ""

    def __repr__(self) -> str:
        return f"KeyRecord({self.id}, tenant={self.tenant}, use_case={self.use_case})"

    def state(self, now_ms: int) -> Literal["active", "retiring", "expired", "revoked"]:
        """Where the key stands: ``retiring`` is still valid, but a successor exists."""
        if self.revoked_ms is not None:
            return "revoked"
        if now_ms >= self.expires_ms:
            return "expired"
        return "retiring" if self.successor else "active"


class IssuedKey(msgspec.Struct, frozen=True):
    """A key at the only moment it is known in full: show ``key`` once, store ``record``."""

    key: str
    record: KeyRecord

    def __repr__(self) -> str:
        return f"IssuedKey({self.record.id})"


def issue_key(
    *,
    tenant: str,
    use_case: str,
    created_ms: int,
    expires_ms: int,
    principal_type: PrincipalType = "service",
    groups: tuple[str, ...] = (),
    roles: tuple[str, ...] = (),
    purpose: str | None = None,
    attributes: dict[str, str] | None = None,
    label: str = "",
) -> IssuedKey:
    """Make a new key; see `KeyRecord` for the arguments. Nothing is stored yet."""
    key_id, key = _generate()
    record = KeyRecord(
        id=key_id,
        digest=digest_of(key),
        tenant=tenant,
        use_case=use_case,
        created_ms=created_ms,
        expires_ms=expires_ms,
        principal_type=principal_type,
        groups=groups,
        roles=roles,
        purpose=purpose,
        attributes=attributes or {},
        label=label,
        family=key_id,
    )
    return IssuedKey(key, record)


def issue_successor(old: KeyRecord, *, created_ms: int, expires_ms: int) -> IssuedKey:
    """Make a key with a new secret and the same rights and line as ``old``. Nothing is stored yet."""
    key_id, key = _generate()
    record = msgspec.structs.replace(
        old, id=key_id, digest=digest_of(key), created_ms=created_ms, expires_ms=expires_ms, successor=""
    )
    return IssuedKey(key, record)


def digest_of(key: str) -> bytes:
    """SHA-256 of a key: what is stored, and what is looked up."""
    return hashlib.sha256(key.encode()).digest()


def is_well_formed(key: str) -> bool:
    """Whether ``key`` has the shape and checksum of a key. Says nothing about whether it exists."""
    if len(key) != KEY_LENGTH or not key.startswith(KEY_PREFIX) or not key.isascii():
        return False
    separator = len(KEY_PREFIX) + _ID_LENGTH
    if key[separator] != "_" or not key[separator + 1 :].isalnum():
        return False
    body = key[:-_CHECKSUM_LENGTH]
    return key[-_CHECKSUM_LENGTH:] == _checksum(body)


def _generate() -> tuple[str, str]:
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH))
    body = f"{KEY_PREFIX}{key_id}_{secret}"
    return key_id, body + _checksum(body)


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):  # 62**6 > 2**32: six digits always hold it
        value, digit = divmod(value, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
