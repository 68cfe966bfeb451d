"""Strict reading of JSON and of compact JWS, where common decoders are lenient.

Leniency is what token attacks live on: two parsers that read one token differently, a member given twice, a number
that is not a number, base64 with ignored characters.
"""

import binascii
import json
from typing import Any, NoReturn

import msgspec

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class Malformed(Exception):  # noqa: N818 - named for the condition
    """The text is not what it claims to be. The message never quotes it."""


class Jws(msgspec.Struct, frozen=True):
    """A compact JWS (RFC 7515 section 7.1), decoded but not verified."""

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes


def split_jws(token: str) -> Jws:
    """Take a compact JWS apart.

    Raises:
        Malformed: It has not three parts, a part is not unpadded base64url, or the header is not a strict JSON object.
    """
    if not token.isascii():
        raise Malformed("not ASCII")
    data = token.encode()
    parts = data.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515 section 7.1
        raise Malformed("not three parts")
    header, payload, signature = (unbase64url(part) for part in parts)
    return Jws(read_object(header), payload, data[: data.rindex(b".")], signature)


def read_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object; a member that occurs twice, ``NaN`` and ``Infinity`` are refused (RFC 7519 section 4).

    Raises:
        Malformed: It is not such an object, or nested deeper than the decoder can follow.
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Malformed("not strict JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not an object")
    return value


def unbase64url(part: bytes) -> bytes:
    """Decode unpadded base64url (RFC 7515 section 2); characters outside its alphabet are refused, not skipped.

    Raises:
        Malformed: It is something else.
    """
    if b"+" in part or b"/" in part or b"=" in part:
        raise Malformed("not base64url")
    try:
        return binascii.a2b_base64(part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4), strict_mode=True)
    except binascii.Error as error:
        raise Malformed("not base64url") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a member occurs twice")
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise Malformed("not a JSON number")
