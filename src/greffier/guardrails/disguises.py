"""Ways to hide an instruction, for test cases: files of cases stay readable, and one text tries every disguise."""

import base64
import codecs
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

Disguise = Literal[
    "base64", "hex", "rot13", "reversed", "leet", "fullwidth", "zero_width", "tags", "spaced", "url", "homoglyphs"
]

_LEET = str.maketrans("aeiost", "4310$7")
_HOMOGLYPHS = str.maketrans("aceopxy", "асеорху")  # noqa: RUF001 - Cyrillic letters that look Latin are the point
_FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def _tags(text: str) -> str:
    """As Unicode tag characters, which nobody sees, behind an honest sentence."""
    return "Please summarise this." + "".join(chr(0xE0000 + ord(char)) for char in text if char.isascii())


DISGUISES: dict[Disguise, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "leet": lambda text: text.translate(_LEET),
    "fullwidth": lambda text: text.translate(_FULLWIDTH),
    "zero_width": "\u200b".join,
    "tags": _tags,
    "spaced": " ".join,
    "url": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()) if text.isascii() else quote(text),
    "homoglyphs": lambda text: text.translate(_HOMOGLYPHS),
}
"""What each disguise makes of a text."""
