"""Folding text for comparison: case and accents off, one code point in, one code point out."""

import sys
import unicodedata

CONTEXT_CHARS = 60
"""How far before a candidate a label may stand; research/guardrails.md section 2."""


def _fold_table() -> dict[int, str]:
    """Map every upper-case or accented letter to its plain lower-case letter, where that is a single one."""
    table = {}
    for code in range(0x41, min(sys.maxunicode, 0x2000)):
        char = chr(code)
        plain = unicodedata.normalize("NFD", char)[0].lower()
        if len(plain) == 1 and plain != char and char.isalpha():
            table[code] = plain
    table[ord("ß")] = "s"
    table[ord("ø")] = table[ord("Ø")] = "o"
    table[ord("ł")] = table[ord("Ł")] = "l"
    table[0x2019] = "'"
    return table


_FOLD = _fold_table()


def fold(text: str) -> str:
    """Lower case without accents; the length never changes, so offsets stay."""
    if text.isascii():
        return text.lower()
    western = _western(text, _FOLD_BYTES)
    return text.translate(_FOLD) if western is None else western


_ACCENTS = {code: plain if chr(code).islower() else plain.upper() for code, plain in _FOLD.items() if code > 0x7F}  # noqa: PLR2004 - ASCII has none


def unaccented(text: str) -> str:
    """Letters without accents, case kept; the length never changes."""
    if text.isascii():
        return text
    western = _western(text, _ACCENT_BYTES)
    return text.translate(_ACCENTS) if western is None else western


def _western(text: str, table: bytes) -> str | None:
    """Translate text that a single-byte encoding can hold, thirty times faster than code point by code point."""
    try:
        return text.encode("cp1252").translate(table).decode("cp1252")
    except UnicodeEncodeError:
        return None


def _byte_table(mapping: dict[int, str]) -> bytes:
    table = bytearray(range(256))
    for byte in range(256):
        char = bytes([byte]).decode("cp1252", "replace")
        if char != "\ufffd":
            table[byte] = mapping.get(ord(char), char).encode("cp1252")[0]
    return bytes(table)


_FOLD_BYTES = _byte_table(_FOLD)
_ACCENT_BYTES = _byte_table(_ACCENTS)


def before(text: str, start: int, chars: int = CONTEXT_CHARS) -> str:
    """The folded text before ``start``."""
    return fold(text[max(0, start - chars) : start])


def after(text: str, end: int, chars: int = CONTEXT_CHARS) -> str:
    """The folded text after ``end``."""
    return fold(text[end : end + chars])


def heading(text: str, start: int) -> str:
    """The folded heading of the column that ``start`` stands in; empty where the text around is no table.

    The heading stands in one of the first lines after the blank line above, has as many separators as the line in
    question, and no digits.
    """
    begin = text.rfind("\n", max(0, start - _LINE), start) + 1
    end = text.find("\n", start, start + _LINE)
    line = text[begin : end if end >= 0 else start + _LINE]
    mark = next((mark for mark in _SEPARATORS if mark in line), "")
    if begin and "  " in line and mark in _LOOSE:
        return _aligned(text, begin, start)
    if not mark or not begin:
        return ""
    floor = max(0, begin - _TABLE)
    top = text.rfind("\n\n", floor, begin)
    if top < 0 < floor:
        return ""  # too far above
    column = text.count(mark, begin, start)
    for above in text[max(top, floor) : begin].strip("\n").split("\n", _LEADING)[:_LEADING]:
        if above.count(mark) == line.count(mark):
            cell = above.split(mark)[column]
            return "" if any(char.isdigit() for char in cell) else fold(cell).replace("_", " ")
    return ""


_SEPARATORS = ("\t", "\\t", "|", ";", ",")
_LOOSE = {"", ","}
"""Where blanks make columns: no separator, or commas within cells."""
_LEADING = 3
"""Lines that may stand above a heading: "Here is the list:"."""
_LINE = 1000
_TABLE = 4000
"""How far above its heading a cell is looked up, in characters: bounds the work per number."""


def _aligned(text: str, begin: int, start: int) -> str:
    """The heading above where blanks align the columns: the last one that begins left of the cell, or right above."""
    floor = max(0, begin - _TABLE)
    top = text.rfind("\n\n", floor, begin)
    if top < 0 < floor:
        return ""  # too far above
    for above in text[max(top, floor) : begin].strip("\n").split("\n", _LEADING)[:_LEADING]:
        if "  " in above and not any(char.isdigit() for char in above):
            begins = [at for at in range(len(above)) if above[at] != " " and (at == 0 or above[at - 2 : at] == "  ")]
            last = max((at for at in begins if at <= start - begin + 1), default=-1)
            return "" if last < 0 else fold(above[last:].split("  ", 1)[0]).replace("_", " ")
    return ""


def names(window: str, labels: tuple[str, ...]) -> bool:
    """Whether a label begins a word of the folded ``window``; endings may differ (plural, case)."""
    for label in labels:  # noqa: SIM110 - a generator takes twice as long
        if label in window and _begins_word(window, label):
            return True
    return False


def _begins_word(window: str, label: str) -> bool:
    if len(label) >= _LONG_LABEL:
        return True
    at = window.find(label)
    while at >= 0:
        if at == 0 or not window[at - 1].isalnum():
            return True
        at = window.find(label, at + 1)
    return False


_LONG_LABEL = 7  # long labels also count inside compounds ("Rentenversicherungsnummer")


def bounded(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit continues the span on either side."""
    return not (start and text[start - 1].isalnum()) and not (end < len(text) and text[end].isalnum())
