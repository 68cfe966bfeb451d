"""A prompt told in other words: sentence by sentence, reordered, shortened, from "never do" to "I must not".

Names and facts of a prompt are what answers are made of, so only its *instructions* count: sentences that order, forbid
or make conditions. An answer tells the prompt if it holds most of the content words of several of them, each within a
sentence or two of its own.
"""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import re2

from greffier.guardrails.packs import read_pack
from greffier.guardrails.words import fold

_PACK = read_pack("prompt_words")
_EMPTY = frozenset(" ".join(_PACK["empty"]).split())
_ORDERS = re2.compile(_PACK["orders"])
_UNITS = re2.compile(r"[.!?;…]+(?:[\s\"')»”]|$)|\n+|(?:^|\s)(?:[-*•>]|[0-9]{1,2}[.)])\s|\s(?:->|=>|→)\s|\"\s?,\s?\"")
_JOINT = re2.compile(r", | (?:and|but|und|aber|et|mais|y|pero|ma|en|maar|sowie|so) ")
_SPACES = dict.fromkeys(map(ord, "!\"#$%&'()*+,/:;<=>?[\\]^`{|}~«»“”„‘’…–—•→"), " ")  # noqa: RUF001 - quotation marks and dashes
_MARK = re2.compile(
    r"[A-Za-z0-9À-ÿ]+(?:_[A-Za-z0-9À-ÿ]+)+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+|[A-Z]{2,}(?:-[A-Z0-9]+)+|[A-Z]{4,}|[A-Za-z]+[0-9][A-Za-z0-9]*"
)  # tools, addresses, codes and fields
_STEM = 5  # letters; endings differ between "never discuss" and "I do not discuss"
_FEWEST_STEMS = 3
_FEWEST_SHARED = 3
_COVERED = 0.5
_PRECISE = 0.3
_MARKED = 0.6
_LONG_SENTENCE = 9
_FEWEST_OF_TWO = 8
_GATE = 5
_MANY = 3
_MARK_WEIGHT = 2.0
_FEW = 2
_LEAST_LETTERS = 3  # "of", "im" say nothing
_STRETCH, _OVERLAP = 6_000, 1_500  # characters


class Unit(NamedTuple):
    """A sentence, a clause or an item of a list: its content words, and where it stands."""

    stems: frozenset[str]
    start: int
    end: int


class Telling(NamedTuple):
    """Where an answer tells a prompt, and how many of its instructions."""

    start: int
    end: int
    instructions: int


class _Match(NamedTuple):
    """An instruction that a unit tells: the share of its weight, and the words they have in common."""

    unit: Unit
    share: float
    shared: frozenset[str]


class Gist:
    """The instructions of a prompt by their content words."""

    __slots__ = ("_forms", "_instructions", "_marks", "_places", "_weights", "_wholes")

    def __init__(self, prompt: str) -> None:
        folded = fold(prompt)
        self._marks = frozenset(fold(match[0]) for match in _MARK.finditer(prompt))
        found = units(folded, self._marks)
        self._instructions = [
            unit.stems
            for unit in found
            if len(unit.stems) >= _FEWEST_STEMS
            and (_ORDERS.search(folded[unit.start : unit.end]) is not None or not self._marks.isdisjoint(unit.stems))
        ]
        counts = Counter(stem for unit in found for stem in unit.stems)
        self._weights = {stem: (_MARK_WEIGHT if stem in self._marks else 1.0) / n for stem, n in counts.items()}
        self._wholes = [self._weight(stems) for stems in self._instructions]
        self._places: dict[str, list[int]] = {}
        for index, stems in enumerate(self._instructions):
            for stem in stems:
                self._places.setdefault(stem, []).append(index)
        self._forms = frozenset(word for word in prompt.lower().split() if len(word) >= _STEM and word not in _EMPTY)

    def told(self, text: str) -> Telling | None:
        """Where a text tells the instructions in other words, or None; read in stretches, so linear in the text."""
        if len(self._instructions) < _FEW or len(self._forms.intersection(text.lower().split())) < _GATE:
            return None
        folded = fold(text)
        for at in range(0, max(1, len(folded) - _OVERLAP), _STRETCH - _OVERLAP):
            telling = self._judged(self._matches(folded[at : at + _STRETCH]))
            if telling is not None:
                return Telling(telling.start + at, telling.end + at, telling.instructions)
        return None

    def _matches(self, folded: str) -> list[_Match]:
        """For each instruction that is told, the unit that tells most of it."""
        said = units(folded, self._marks)
        both = (Unit(a.stems | b.stems, a.start, b.end) for a, b in pairwise(said))
        best: dict[int, _Match] = {}
        for unit in (*said, *both, *_clauses(folded, said, self._marks)):
            hits: Counter[int] = Counter()
            for stem in unit.stems:
                hits.update(self._places.get(stem, ()))
            for index, shared in hits.items():
                if shared >= _FEWEST_SHARED and shared >= _PRECISE * len(unit.stems):
                    words = unit.stems & self._instructions[index]
                    share = self._weight(words) / self._wholes[index]
                    if share >= _COVERED and (index not in best or share > best[index].share):
                        best[index] = _Match(unit, share, words)
        return list(best.values())

    def _judged(self, matches: list[_Match]) -> Telling | None:
        """Three instructions tell the prompt; two do if each is told nearly whole or by a name of the prompt's own."""
        if len(matches) < _MANY:
            clear = all(match.share >= _MARKED or not self._marks.isdisjoint(match.shared) for match in matches)
            if len(matches) < _FEW or not clear or sum(len(match.shared) for match in matches) < _FEWEST_OF_TWO:
                return None
        start = min(match.unit.start for match in matches)
        return Telling(start, max(match.unit.end for match in matches), len(matches))

    def _weight(self, stems: frozenset[str]) -> float:
        return sum(self._weights[stem] for stem in stems)


def units(folded: str, marks: frozenset[str]) -> list[Unit]:
    """Sentences and items of a folded text, with their content words.

    Args:
        folded: Without accents, in lower case.
        marks: Words that are names and keep their endings.
    """
    found = []
    at = 0
    for start, end in [*((m.start(), m.end()) for m in _UNITS.finditer(folded)), (len(folded), len(folded))]:
        if start > at:
            stems = _stems(folded[at:start], marks)
            if stems:
                found.append(Unit(stems, at, start))
        at = end
    return found


def _clauses(folded: str, said: list[Unit], marks: frozenset[str]) -> list[Unit]:
    """Long sentences in parts: two instructions may be told in one breath."""
    found = []
    for unit in said:
        if len(unit.stems) > _LONG_SENTENCE:
            at = unit.start
            for joint in (*_JOINT.finditer(folded[unit.start : unit.end]), None):
                end = unit.end if joint is None else unit.start + joint.start()
                found.append(Unit(_stems(folded[at:end], marks), at, end))
                at = end if joint is None else unit.start + joint.end()
    return found


def _stems(text: str, marks: frozenset[str]) -> frozenset[str]:
    stems = set()
    for piece in text.translate(_SPACES).split():
        word = piece.strip(".-@")
        if word in marks:
            stems.add(word)
            continue
        for part in word.split("-"):
            if part not in _EMPTY and (len(part) >= _LEAST_LETTERS or part.isdigit()):
                stems.add(part[:_STEM] if part.isalpha() and part not in marks else part)
    return frozenset(stems)
