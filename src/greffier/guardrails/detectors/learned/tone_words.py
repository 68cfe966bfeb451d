"""Finds the words of `toxic.txt` and `tone.txt` in a text: in the text's own languages, and in disguise too.

Cost is linear in the length of the text; sentences far from any word of `toxic.txt` are passed over.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import ahocorasick
import msgspec
import numpy as np
import re2

from greffier.guardrails.detectors.learned.disguise import Disguises, Meaning
from greffier.guardrails.detectors.learned.text import (
    code_points,
    fold_codes,
    lexicon_key,
    read_sections,
    squeeze,
    unleet,
)

LANGUAGES: Final = ("en", "de", "fr", "es", "it", "nl")
_EVERY: Final = (1 << len(LANGUAGES)) - 1
_SHORT: Final = 6
"""Words up to this length may mean something else in another language, so they count in their own only."""
_SHARE: Final = 0.7
"""A text is in every language that has this share of the votes of the first."""
_LEAST: Final = 4
"""Least length (letters) of a word that is searched for a disguised one."""
_MOST: Final = 40
"""Longer words are no words."""
_LOOKED_AT: Final = 120
"""Unknown words of a stretch that are searched for disguised ones."""
LONGEST: Final = 240
"""A longer sentence (characters) is read in pieces."""
_LOOK_BACK: Final = 8
"""Events that may still cover a later one."""

_CENSORED: Final = re2.compile(
    "(?i)\\b[a-z]{1,3}[*#@$%]{2,}[a-z]*|\\b[a-z]{1,2}[*#@$%][a-z]*[*#@$%]?[a-z]+\\b|[#@$%&!]{4,}"
)
_CLAUSE: Final = re2.compile("[,;:!?] |[.] ")
_END: Final = np.zeros(0x2028, dtype=np.bool_)
_END[[ord(mark) for mark in ".!?\n\u2026"]] = True
_FEW: Final = 2
"""Sentence ends that are looked over for neighbours (two, because an ellipsis is no end)."""

_WEAK: Final = ("HARMV", "CRIMEN", "LESSER")
"""Words of the news and of complaints: they make nobody read a text in which no group is named."""
_VAGUE: Final = frozenset({*_WEAK, "SEX", "RAPE"})
"""Not looked for in disguise."""
_VOTE: Final = "LANG"
_FINAL: Final = "."
"""Marks the concept of a phrase that says its own "not"."""

Entries = dict[str, dict[str, int]]
"""What each literal of a squeezed text means, and in which languages (bits)."""


class Event(msgspec.Struct, frozen=True):
    """A recognised word.

    Attributes:
        concept: Section of the lexicon.
        start: First character in the text.
        end: One past its last.
        final: Whether it says its own "not", so that no other one takes it back.
    """

    concept: str
    start: int
    end: int
    final: bool = False


class Page:
    """A text, its squeezed form, and where its sentences end."""

    def __init__(self, text: str) -> None:
        codes = code_points(text)
        self.text = text
        self.plain, origin = squeeze(unleet(fold_codes(codes)))
        self.places = origin.data
        self.borders: list[int] = (np.flatnonzero(_END.take(codes, mode="clip")) + 1).tolist()

    def border(self, place: int) -> int:
        """Return where the sentence ends to which a place belongs."""
        at = bisect_right(self.borders, place)
        while at + 1 < len(self.borders) and self.borders[at + 1] == self.borders[at] + 1:
            at += 1  # "?!"
        return self.borders[at] if at < len(self.borders) else len(self.text)

    def around(self, places: Sequence[int]) -> list[tuple[int, int]]:
        """Return the stretches that hold the sentences of some places, and the neighbouring sentences."""
        stretches: list[tuple[int, int]] = []
        for place in sorted(places):
            at = bisect_right(self.borders, place)
            start = max(self.borders[at - _FEW] if at >= _FEW else 0, place - LONGEST)
            end = min(self.borders[at + _FEW] if at + _FEW < len(self.borders) else len(self.text), place + LONGEST)
            if stretches and start <= stretches[-1][1]:
                stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
            else:
                stretches.append((start, end))
        return stretches


class ToneWords:
    """The two lexicons.

    Args:
        lexicons: Folder of `toxic.txt` and `tone.txt`.
        ordinary: Words that only look like words of contempt in disguise.
    """

    def __init__(self, lexicons: Path, ordinary: Collection[str] = ()) -> None:
        sections = {name: read_sections(lexicons / name) for name in ("toxic.txt", "tone.txt")}
        self.digest = hashlib.sha256(b"".join((lexicons / name).read_bytes() for name in sections)).hexdigest()
        self.harms: tuple[str, ...] = tuple(sections["toxic.txt"])
        self.watched: tuple[str, ...] = (*self.harms, "GROUP")
        self._rank = {concept: place for place, concept in enumerate(self.harms)}
        self._greedy = frozenset({*self.harms, "ONLY"})
        self._group_bit = 1 << len(self.harms)
        self._weak_bits = self._group_bit | sum(1 << self._rank[concept] for concept in _WEAK)
        entries, own = self._entries(sections["toxic.txt"] | sections["tone.txt"])
        self._automaton = ahocorasick.Automaton()
        self._watching = ahocorasick.Automaton()
        for key, meanings in entries.items():
            # Votes first: that is what most words are.
            ordered = tuple(sorted(meanings.items(), key=lambda one: (not one[0].startswith(_VOTE), one[0])))
            self._automaton.add_word(key, (len(key) - 1, len(key.strip(" ")), ordered))
            bits = sum({1 << self.watched.index(c) for c in map(_plain, meanings) if c in self.watched})
            if bits:
                self._watching.add_word(key, (len(key) - 1, bits))
        self._automaton.make_automaton()
        self._watching.make_automaton()
        self._disguises = self._index(own, ordinary)

    def _entries(self, sections: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[Entries, Entries]:
        """Return what literals mean, in the languages where they count; and in the languages that have the word."""
        entries: Entries = {}
        own: Entries = {}
        nots = {language: {one for one in words if "_" not in one} for language, words in sections["NOT"].items()}
        for concept, languages in sections.items():
            for language, words in languages.items():
                bit = 1 << LANGUAGES.index(language)
                for word in words:
                    key = lexicon_key(word)
                    if concept == _VOTE:
                        _add(entries, key, f"{_VOTE}{language}", _EVERY)
                    elif concept in self._rank and "_" in word and nots[language] & set(word.split("_")):
                        _add(entries, key, f"{concept}{_FINAL}", _EVERY)
                    else:
                        alone = concept not in self._rank or len(word.strip("*")) <= _SHORT
                        _add(entries, key, concept, bit if alone else _EVERY)
                    _add(own, key, concept, bit)
        return entries, own

    def _index(self, own: Entries, ordinary: Collection[str]) -> Disguises:
        words: dict[str, Meaning] = {}
        stems: dict[str, Meaning] = {}
        others: dict[str, int] = {}
        sought = frozenset({*self.harms, "GROUP"}) - _VAGUE
        for key, meanings in own.items():
            word = key.strip(" ")
            if " " in word:
                continue
            kept = tuple((concept, languages) for concept, languages in meanings.items() if concept in sought)
            if kept and key.endswith(" "):
                words[word] = kept
            elif kept:
                stems[word] = kept
            elif key.endswith(" "):
                for languages in meanings.values():
                    others[word] = others.get(word, 0) | languages
        return Disguises(words, stems, others, ordinary)

    def worth_reading(self, held: int) -> bool:
        """Whether a text with these of the `watched` concepts (bits) can be toxic.

        A text that names a group is read there whatever else it holds: it may hold contempt in disguise.
        """
        return bool(held & (~self._weak_bits | self._group_bit))

    def mistaken(self, folded: str) -> bool:
        """Whether a word that is known to be ordinary would be taken for a disguised one."""
        known = any(last == back for last, (back, _, _) in self._automaton.iter(f" {folded} "))
        return len(folded) >= _LEAST and not known and bool(self._disguises.find(folded))

    def hits(self, page: Page) -> tuple[int, list[int]]:
        """Return which `watched` concepts a text holds (bits), and where contempt stands; or else where groups do."""
        held = 0
        places: list[int] = []
        groups: list[int] = []
        for last, (back, bits) in self._watching.iter(page.plain):
            held |= bits
            (groups if bits == self._group_bit else places).append(page.places[last - back + 1])
        return held, places or groups

    def events(self, page: Page, start: int, end: int) -> list[Event]:
        """Return what a stretch of a text holds, in order."""
        places = page.places
        first = bisect_left(places, start, 1)
        plain = page.plain[first : bisect_left(places, end, 1)]
        first += plain.startswith(" ")
        plain = f" {plain.strip(' ')} "
        found: list[tuple[int, int, str, int]] = []

        def note(at: int, length: int, meanings: Meaning) -> None:
            begin = places[first + at - 1]
            stop = places[min(first + at + length - 1, len(places)) - 1] + 1
            torn = stop - begin > length and bool(_CLAUSE.search(page.text[begin:stop]))
            for concept, languages in meanings:
                if not torn or _plain(concept) not in self._rank:  # "Oh fuck, the milk" is no phrase of contempt
                    found.append((begin, stop, concept, languages))

        votes = dict.fromkeys(LANGUAGES, 0)
        known: set[int] = set()
        for last, (back, length, meanings) in self._automaton.iter(plain):
            at = last - back + 1
            known.add(at)
            rest = meanings
            while rest and rest[0][0].startswith(_VOTE):
                votes[rest[0][0].removeprefix(_VOTE)] += 1
                rest = rest[1:]
            note(at, length, rest)
        for at, word in _unknown(plain, known):
            for hidden in self._disguises.find(word):
                note(at + hidden.start, hidden.length, hidden.meaning)
        found.extend((begin, stop, "PROF", _EVERY) for begin, stop in censored(page.text, start, end))
        last_rank = len(self._rank)
        found.sort(key=lambda one: (one[0], -one[1], self._rank.get(_plain(one[2]), last_rank), one[2]))
        return self._settled(found, _likely(votes))

    def _settled(self, found: Sequence[tuple[int, int, str, int]], likely: int) -> list[Event]:
        """Return the events in a language of the text: each word once, phrases instead of the words in them."""
        events: list[Event] = []
        for start, end, name, languages in found:
            concept = _plain(name)
            if languages & likely and not any(
                self._covers(one, concept, start, end) for one in events[-_LOOK_BACK:] if one.end > start
            ):
                events.append(Event(concept, start, end, name != concept))
        return events

    def _covers(self, one: Event, concept: str, start: int, end: int) -> bool:
        if one.concept == concept:
            return True
        if concept in self._rank:
            return one.concept in self._rank
        return concept != "GROUP" and one.end - one.start > end - start and one.concept in self._greedy


def censored(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return where a stretch of a text holds words with signs instead of letters ("sh*t").

    RE2 encodes and counts the whole of what it is given, so it is given the stretch, with the character at either side
    that decides whether a word begins or ends there.
    """
    first = max(0, start - 1)
    matches = _CENSORED.finditer(text[first : end + 1], start - first, end - first)
    return [(match.start() + first, match.end() + first) for match in matches]


def _unknown(plain: str, known: Collection[int]) -> Iterator[tuple[int, str]]:
    at, looked = 1, 0
    for word in plain.split():
        if _LEAST <= len(word) <= _MOST and at not in known:
            looked += 1
            if looked > _LOOKED_AT:
                return
            yield at, word
        at += len(word) + 1


def _plain(name: str) -> str:
    return name.rstrip(_FINAL)


def _add(entries: Entries, key: str, concept: str, languages: int) -> None:
    known = entries.setdefault(key, {})
    known[concept] = known.get(concept, 0) | languages


def _likely(votes: Mapping[str, int]) -> int:
    most = max(votes.values())
    return sum(1 << at for at, language in enumerate(LANGUAGES) if votes[language] >= _SHARE * most)


def watched_words(lexicons: Path) -> dict[str, int]:
    """Return the literals of `ToneWords.watched` and their concepts (bits), for the scan that all models share."""
    sections = read_sections(lexicons / "toxic.txt")
    sections["GROUP"] = read_sections(lexicons / "tone.txt")["GROUP"]
    watched: dict[str, int] = {}
    for number, languages in enumerate(sections.values()):
        for words in languages.values():
            for word in words:
                key = lexicon_key(word)
                watched[key] = watched.get(key, 0) | 1 << number
    return watched
