"""Taking spans out of a text, and giving pseudonyms that can be taken back."""

from collections.abc import Iterable, Iterator

import msgspec

from greffier.guardrails.words import fold


class Edit(msgspec.Struct, frozen=True):
    """Replace ``[start, end)`` by ``text``."""

    start: int
    end: int
    text: str


def merge(edits: Iterable[Edit]) -> list[Edit]:
    """Join overlapping edits: the first one's replacement stands for the union, so nothing covered survives."""
    merged: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, -e.end)):
        if merged and edit.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Edit(last.start, max(last.end, edit.end), last.text)
        else:
            merged.append(edit)
    return merged


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all edits made."""
    pieces: list[str] = []
    at = 0
    for edit in merge(edits):
        pieces += (text[at : edit.start], edit.text)
        at = edit.end
    pieces.append(text[at:])
    return "".join(pieces)


def apply_json(text: str, edits: Iterable[Edit]) -> str:
    """Return JSON text with all edits made, still valid: only the inside of strings and whole numbers change.

    A span that runs over several strings is cut into one edit per string; a number becomes a string.
    """
    wanted = merge(edits)
    if not wanted:
        return text
    pieces: list[Edit] = []
    at = 0
    for start, end, string in _literals(text):
        while at < len(wanted) and wanted[at].end <= start:
            at += 1
        inside = at
        while inside < len(wanted) and wanted[inside].start < end:
            edit = wanted[inside]
            if string:
                lo, hi = _whole_escapes(text, start, end, max(start, edit.start), min(end, edit.end))
                pieces.append(Edit(lo, hi, json_inner(edit.text)))
            else:
                pieces.append(Edit(start, end, f'"{json_inner(edit.text)}"'))
            inside += 1
    return apply(text, pieces)


def json_inner(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(text).decode()[1:-1]


def _literals(text: str) -> list[tuple[int, int, bool]]:
    """Spans of string contents (without quotes) and of bare numbers."""
    found: list[tuple[int, int, bool]] = []
    at, length = 0, len(text)
    while at < length:
        char = text[at]
        if char == '"':
            stop = at + 1
            while stop < length and text[stop] != '"':
                stop += 2 if text[stop] == "\\" else 1
            found.append((at + 1, min(stop, length), True))
            at = stop + 1
        elif char in "-0123456789":
            stop = at + 1
            while stop < length and text[stop] in "0123456789.eE+-":
                stop += 1
            found.append((at, stop, False))
            at = stop
        else:
            at += 1
    return found


def _whole_escapes(text: str, start: int, end: int, lo: int, hi: int) -> tuple[int, int]:
    """Widen ``[lo, hi)`` so that no escape sequence of the string ``[start, end)`` is cut."""
    return _escape_around(text, start, lo)[0], min(end, max(hi, _escape_around(text, start, hi)[1]))


def _escape_around(text: str, start: int, offset: int) -> tuple[int, int]:
    """Start and end of the escape sequence that ``offset`` falls inside of; ``offset`` twice if none."""
    for back in range(1, min(_LONGEST_ESCAPE, offset - start + 1)):
        at = offset - back
        if text[at] == "\\":
            slashes = _slashes(text, start, at)
            length = _LONGEST_ESCAPE if text[at + 1 : at + 2] == "u" else 2
            if slashes % 2 and back < length:
                return at, at + length
    return offset, offset


def _slashes(text: str, start: int, at: int) -> int:
    """Backslashes in a row that end at ``at``: an odd number means the last one begins an escape."""
    count = 0
    while at - count >= start and text[at - count] == "\\":
        count += 1
    return count


_LONGEST_ESCAPE = 6  # backslash, u and four digits


class Pseudonyms:
    """Reversible placeholders of one request: the same entity gets the same token, numbered by first appearance.

    The client sends the whole conversation with every request, in the same order, so the numbering is stable over a
    conversation without anything being stored. The mapping lives in memory for the length of one request and is never
    shared with another, so nothing can be re-identified for a different caller.
    """

    __slots__ = ("_counts", "_originals", "_taken", "_text", "_tokens")

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], str] = {}
        self._originals: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._text = ""
        self._taken: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Pseudonyms({len(self._tokens)} tokens)"

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def token(self, kind: str, value: str, text: str) -> str:
        """The placeholder for ``value``; skips numbers that ``text`` already uses as literal words."""
        key = (kind, " ".join(fold(value).split()))
        token = self._tokens.get(key)
        if token is None:
            number = self._counts.get(kind, 0) + 1
            if text is not self._text:
                self._text, self._taken = text, frozenset(text[s:e] for s, e in _bracketed(text))
            while f"<{kind}_{number}>" in self._taken:
                number += 1
            self._counts[kind] = number
            token = f"<{kind}_{number}>"
            self._tokens[key] = token
            self._originals[token] = value
        return token

    def edits(self, text: str) -> list[Edit]:
        """Edits that put the originals back."""
        return [
            Edit(start, end, self._originals[text[start:end]])
            for start, end in _bracketed(text)
            if text[start:end] in self._originals
        ]

    def restore(self, text: str) -> str:
        """The text with the originals put back."""
        return apply(text, self.edits(text)) if self._tokens and "<" in text else text


def _bracketed(text: str) -> Iterator[tuple[int, int]]:
    """Spans that could be placeholders: short, between angle brackets."""
    at = text.find("<")
    while at >= 0:
        stop = text.find(">", at, at + _LONGEST_TOKEN)
        if stop >= 0:
            yield at, stop + 1
        at = text.find("<", at + 1)


_LONGEST_TOKEN = 48
