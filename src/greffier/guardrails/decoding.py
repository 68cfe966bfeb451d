"""Encoded pieces of a text and how to read them."""

import base64
import binascii
import html
import urllib.parse
from collections.abc import Callable

import msgspec

from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.packs import read_patterns


class Piece(msgspec.Struct, frozen=True):
    """An encoded span and what it decodes to."""

    start: int
    end: int
    text: str
    kind: str


_MIN_READABLE = 0.85
_ALMOST = 0.6

ENCODINGS: tuple[Pattern, ...] = tuple(rule for rule in read_patterns("decoding") if rule.id not in {"spaced", "leet"})
"""Shapes of encoded runs."""


def decoded_pieces(text: str, patterns: PatternSet, hints: frozenset[str]) -> list[Piece]:
    """Encoded spans that decode to something readable, in order, without overlap.

    Args:
        text: What may hold them.
        patterns: A set that begins with `ENCODINGS`.
        hints: Ids of those that may match.
    """
    found: list[Piece] = []
    wrapped = Text(text)
    for index, pattern in enumerate(ENCODINGS):
        if pattern.id not in hints:
            continue
        for match in patterns.matches(index, wrapped):
            start, end = wrapped.point(match.start()), wrapped.point(match.end())
            decoded = _DECODERS[pattern.id](text[start:end])
            if decoded and decoded != text[start:end]:
                found.append(Piece(start, end, decoded, pattern.id))
    found.sort(key=lambda piece: (piece.start, piece.start - piece.end))
    kept: list[Piece] = []
    for piece in found:
        if not kept or piece.start >= kept[-1].end:
            kept.append(piece)
    return kept


def _readable(data: bytes) -> str:
    """The bytes as text if they read like text; else empty."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A run cut in mid-character, or a few stray letters before the padding, still reads; noise does not.
        if error.start < len(data) * _MIN_READABLE:
            return ""
        text = data[: error.start].decode("utf-8")
    good = sum(char.isalnum() or char in " .,;:!?'\"-_/@()\n\t<>[]{}=+#*&%" for char in text)
    letters = sum(char.isalpha() or char == " " for char in text)
    if not text or good < len(text) * _MIN_READABLE or letters < len(text) * _ALMOST / 2:
        return ""
    return text


def _from_base64(run: str) -> str:
    letters = "".join(run.split())
    if letters.isalpha() and (letters.islower() or letters.istitle()):
        return ""  # a long word
    standard = letters.replace("-", "+").replace("_", "/").rstrip("=")
    for skip in range(4 if len(standard) % 4 == 1 else 1):
        usable = standard[skip:]
        usable = usable[: len(usable) - (len(usable) % 4 == 1)]
        try:
            text = _readable(base64.b64decode(usable + "=" * (-len(usable) % 4)))
        except (binascii.Error, ValueError):
            continue
        if text:
            return text
    return ""


def _from_base32(run: str) -> str:
    letters = run.rstrip("=")
    try:
        return _readable(base64.b32decode(letters + "=" * (-len(letters) % 8)))
    except (binascii.Error, ValueError):
        return ""


def _from_hex(run: str) -> str:
    digits = run.replace("0x", "").replace("\\x", "")
    digits = "".join(char for char in digits if char in "0123456789abcdefABCDEF")
    try:
        return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    except ValueError:
        return ""


def _from_binary(run: str) -> str:
    bits = "".join(char for char in run if char in "01")
    return _readable(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8)))


def _from_decimal(run: str) -> str:
    numbers = run.replace(",", " ").replace(";", " ").split()
    codes = [int(number) for number in numbers]
    return _readable(bytes(codes)) if all(code < 256 for code in codes) else ""  # noqa: PLR2004 - a byte


def _from_escapes(run: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(run):
        if run.startswith("\\u", at):
            digits = run[at + 2 : at + 10].lstrip("{").split("}")[0][: 6 if run[at + 2 : at + 3] == "{" else 4]
            try:
                out.append(chr(int(digits, 16)))
            except (ValueError, OverflowError):
                return ""
            at += 2 + len(digits) + (2 if run[at + 2 : at + 3] == "{" else 0)
        elif run[at] == "\\" and run[at + 1 : at + 4].isdigit():
            out.append(chr(int(run[at + 1 : at + 4], 8)))
            at += 4
        else:
            out.append(run[at])
            at += 1
    return "".join(out)


_DECODERS: dict[str, Callable[[str], str]] = {
    "base64": _from_base64,
    "base32": _from_base32,
    "hex": _from_hex,
    "url": lambda run: urllib.parse.unquote(run, errors="replace"),
    "html": html.unescape,
    "escapes": _from_escapes,
    "binary": _from_binary,
    "decimal": _from_decimal,
}
