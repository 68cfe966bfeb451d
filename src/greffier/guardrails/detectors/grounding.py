# ruff: noqa: RUF001 - quotation marks of six languages
"""Grounding: quotations and figures in an answer must stand in what the model was given.

A quotation counts as grounded when its letters and digits follow one another in a source, whatever the case, accents,
line breaks or punctuation; where it was shortened (``...``, ``[...]``), each piece counts. A figure counts as grounded
when any way to read it (1,234 or 1.234 or 1 234) is a way to read a figure of a source; "3 million" is 3000000. Figures
that the model worked out (a sum, a share) stand nowhere and are found: let a rule flag them, and deny quotations only.
"""

import unicodedata
from collections.abc import Iterable, Iterator

import ahocorasick
import re2

from greffier.core.rulings import Finding
from greffier.guardrails.matching import Text
from greffier.guardrails.settings import GroundingSettings
from greffier.guardrails.words import fold

_QUOTED = re2.compile(
    r"“([^“”„\n]+)[”“]|„([^“”„\n]+)[“”]|«([^«»\n]+)»|»([^«»\n]+)«|\"([^\"\n]+)\""
    r"|‹([^‹›\n]+)›|(?m:^[ \t]*>[ \t]?([^\n]+)$)"
)
_GROUPS = range(1, 8)
_SHORTENED = re2.compile(r"\[?(?:\.\.\.|…)\]?|\[[^\]\n]{0,40}\]")
_FIGURE = re2.compile(r"\d+(?:[.,'’\x{a0}\x{202f} ]\d+)*")
_SCALES = {
    **dict.fromkeys(("thousand", "tausend", "mille", "mil", "mila", "duizend", "tsd"), 1_000),
    **dict.fromkeys(
        ("million", "millions", "mio", "mln", "millionen", "millon", "millones", "milione", "milioni", "miljoen", "m€"),
        1_000_000,
    ),
    **dict.fromkeys(
        ("billion", "billions", "bn", "milliarde", "milliarden", "mrd", "milliard", "milliards", "miliardo", "miliardi",
         "miljard", "mld"),
        1_000_000_000,
    ),
}  # fmt: skip
_FEWEST_DIGITS = 2
_THREE = 3
_LONGEST_READING = 40
_FEW = 8
_DEEPEST_INDENT = 40


class Grounding:
    """Looks for what an answer quotes in the texts that the model was given.

    Args:
        settings: What is looked for.
        sources: The texts; they are read when the first answer quotes something, and not before.
    """

    name = "grounding"
    version = "1"

    def __init__(self, settings: GroundingSettings, sources: Iterable[str]) -> None:
        self._settings = settings
        self._sources = tuple(sources)
        self._letters: str | None = None
        self._figures: frozenset[str] | None = None

    def examine(self, text: str) -> Iterator[Finding]:
        """``ungrounded_quote`` and ``ungrounded_figure`` findings in an answer."""
        wrapped = Text(text)
        if self._settings.quotes:
            yield from self._quotes(text, wrapped)
        if self._settings.figures:
            yield from self._numbers(text, wrapped)

    def _quotes(self, text: str, wrapped: Text) -> Iterator[Finding]:
        quoted: list[tuple[int, int, list[str]]] = []
        for match in _QUOTED.finditer(wrapped.data):
            group = next(number for number in _GROUPS if match.start(number) >= 0)
            start, end = wrapped.point(match.start(group)), wrapped.point(match.end(group))
            if len(text[start:end].split()) >= self._settings.min_words:
                shortened = map(_letters, _SHORTENED.split(text[start:end]))
                quoted.append((start, end, [piece for piece in shortened if piece]))
        if not quoted:
            return
        known = self._known({piece for _, _, pieces in quoted for piece in pieces})
        for start, end, pieces in quoted:
            if not known.issuperset(pieces):
                yield Finding(self.name, "ungrounded_quote", start, end, 0.9, rule="quote")

    def _known(self, pieces: set[str]) -> set[str]:
        """Those that stand in a source; all are looked for in one pass, however many there are."""
        if self._letters is None:
            self._letters = "\n".join(_letters(source) for source in self._sources)
        if len(pieces) <= _FEW:
            return {piece for piece in pieces if piece in self._letters}
        automaton = ahocorasick.Automaton()
        for piece in pieces:
            automaton.add_word(piece, piece)
        automaton.make_automaton()
        return {piece for _, piece in automaton.iter(self._letters)}

    def _numbers(self, text: str, wrapped: Text) -> Iterator[Finding]:
        for start, end in _figures(text, wrapped):
            if self._figures is None:
                self._figures = frozenset(reading for source in self._sources for reading in _all_readings(source))
            if self._figures.isdisjoint(_readings(text, start, end)) and not self._in_parts(text[start:end]):
                yield Finding(self.name, "ungrounded_figure", start, end, 0.7, rule="figure")

    def _in_parts(self, written: str) -> bool:
        """Whether a figure of three parts or more, which is no number but a date or a reference, stands in pieces."""
        groups = _groups(written)
        known = self._figures or frozenset()
        return (
            len(groups) >= _THREE
            and len(list(_plain(written))) == 1
            and all(_trimmed(group) in known for group in groups)
        )


def _letters(text: str) -> str:
    """Letters and digits only, folded; compatibility forms (ligatures, full-width) as what they stand for."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return "".join([char for char in fold(plain) if char.isalnum()])


def _figures(text: str, wrapped: Text) -> Iterator[tuple[int, int]]:
    """Spans of figures worth looking for: two digits or more, no part of a word, no number of a list."""
    for match in _FIGURE.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        if sum(char.isdigit() for char in text[start:end]) < _FEWEST_DIGITS:
            continue
        if start and (text[start - 1].isalpha() or text[start - 1] in "_#/"):
            continue
        if start > 1 and text[start - 1] in "-." and text[start - 2].isalpha():  # "T-1000", "v.12": a name
            continue
        if end < len(text) and (text[end].isalpha() or text[end] == "_") and not text[end:].startswith(("€", "h", "k")):
            continue
        if _opens_line(text, start) and text[end : end + 1] in {".", ")"}:
            continue
        yield start, end


def _opens_line(text: str, start: int) -> bool:
    """Whether only an indentation stands before; further left than that nobody looks."""
    indent = text[max(0, start - _DEEPEST_INDENT) : start]
    return not indent.rsplit("\n", maxsplit=1)[-1].strip(" \t") and ("\n" in indent or len(indent) == start)


def _all_readings(source: str) -> Iterator[str]:
    wrapped = Text(source)
    for match in _FIGURE.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        yield from _readings(source, start, end)
        yield from map(_trimmed, _groups(source[start:end]))


def _readings(text: str, start: int, end: int) -> Iterator[str]:
    """Every number that the figure may stand for, in plain writing; its parts too, if it is no single number."""
    written = text[start:end]
    numbers = list(dict.fromkeys(_plain(written)))
    scale = _SCALES.get(fold(text[end : end + 14]).lstrip(" \u00a0\u202f.-").split(" ")[0].strip(".,;:!?)"))
    yield from numbers
    if scale is not None:
        for number in numbers:
            yield _scaled(number, scale)


def _plain(written: str) -> Iterator[str]:
    """``1.234,50``, ``1,234.50`` and ``1 234.5`` as ``1234.5``; ``12.05.2026`` as it stands."""
    marks = [char for char in written if not char.isdigit()]
    groups = _groups(written)
    digits = "".join(groups)
    if not marks:
        yield _trimmed(digits)
        return
    if len(digits) > _LONGEST_READING:
        yield digits
        return
    thousands = len(groups[0]) <= _THREE and all(len(group) == _THREE for group in groups[1:])
    if len(set(marks)) == 1:
        if thousands:
            yield _trimmed(digits)
        if len(marks) == 1 and marks[0] in ".,":
            yield _trimmed(groups[0], groups[1])
    elif marks[-1] in ".," and marks.count(marks[-1]) == 1:
        yield _trimmed("".join(groups[:-1]), groups[-1])
    yield digits


def _groups(written: str) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in written).split()


def _trimmed(whole: str, fraction: str = "") -> str:
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _scaled(number: str, scale: int) -> str:
    whole, _, fraction = number.partition(".")
    zeros = len(str(scale)) - 1
    return _trimmed(whole + fraction[:zeros].ljust(zeros, "0"), fraction[zeros:])
