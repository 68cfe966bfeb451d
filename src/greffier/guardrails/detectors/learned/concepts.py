"""What single words and phrases of six languages stand for: the concepts and ideas that the models were trained on.

A text is read word by word. What a word means alone is worked out once and kept under its hash (`wording.Store`), so
that a lexicon of twenty thousand entries costs a look-up per word; only phrases are compared with what follows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from re import escape
from typing import Final, NamedTuple

import re2

from greffier.guardrails.detectors.learned.text import (
    Lexicon,
    Markers,
    code_points,
    fold,
    fold_codes,
    lexicon_key,
    read_lexicon,
    read_sections,
    squeeze,
    unleet,
)
from greffier.guardrails.detectors.learned.tone_words import watched_words
from greffier.guardrails.matching import Pattern, PatternSet, Text

IDEA_LETTERS: Final = 28
"""Letters of a word in which ideas are looked for."""

_FOREIGN: Final = 0x7F  # a letter that no lexicon knows
_STEM: Final = 4
"""Least letters of an idea's word outside `intents.txt`: shorter ones mean something else in another language."""
_OWN: Final = "intents.txt"
_FILES: Final = ("toxic.txt", "tone.txt", "harm.txt", _OWN)
_VOTE: Final = "LANG"
"""Says which language a text is in, nothing else."""
BEGINS: Final = 1
CONTINUES: Final = 2
"""Where a word may stand in a phrase: first, second."""
_AT: Final = "@"
"""The one entry that may stand within a word."""


def _fold_table() -> bytes:
    """Folding of Windows-1252, which holds most western texts, byte by byte."""
    table = bytearray(b" " * 256)
    for code in range(256):
        try:
            char = bytes([code]).decode("cp1252")
        except UnicodeDecodeError:
            continue  # such bytes never come: encoding refuses the character
        plain = ord(fold(char))
        table[code] = min(plain, _FOREIGN)
    return bytes(table)


_FOLDED: Final = _fold_table()
_ZEROED: Final = str.maketrans("123456789", "0" * 9)
_UNUSUAL: Final = re2.compile(b"[a-z][0-9][a-z]| [^ ] [^ ] [^ ] ")
"""Leetspeak or letters set apart, which need the careful folding."""


def squeezed(text: str) -> str:
    """Return the text as lexicons match it; the same words as the models' own folding, in a tenth of the time."""
    try:
        data = text.encode("ascii" if text.isascii() else "cp1252").translate(_FOLDED)  # ASCII is ten times quicker
    except UnicodeEncodeError:
        return _carefully(text)
    plain = b" %b " % b" ".join(data.split())
    return _carefully(text) if _UNUSUAL.search(plain) else plain.decode("latin-1")


def _carefully(text: str) -> str:
    return squeeze(unleet(fold_codes(code_points(text))))[0]


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded."""
    return squeezed(text).split()


class Phrase(NamedTuple):
    """What follows the first two words of a phrase.

    Attributes:
        words: The words after them, without the last.
        last: The last one; empty for a phrase of two words.
        whole: Whether it must be the whole word, or only how one begins.
        bits: What the phrase means.
    """

    words: tuple[str, ...]
    last: str
    whole: bool
    bits: int

    def follows(self, words: Sequence[str], place: int) -> bool:
        """Whether the rest of the phrase stands at a place."""
        if not self.last:
            return True
        end = place + len(self.words)
        if end >= len(words) or tuple(words[place:end]) != self.words:
            return False
        return words[end] == self.last if self.whole else words[end].startswith(self.last)


class Concepts:
    """What words, phrases and marks mean, as bits: ideas first, then concepts, then those that are only watched for.

    Attributes:
        ideas: Names of the ideas: single words and stems, in whichever language.
        concepts: Names of the concepts of attacks and of harm, phrases and marks among them.
        attack_digest: Of the lexicons of `concepts`, so that a model can insist on those it was trained with.
        idea_digest: The same of `ideas`.
        concept_shift: Place of the first concept.
        watched_shift: Place of the first concept that is only watched for.
    """

    def __init__(self, lexicons: Path) -> None:
        self._whole: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._phrases: dict[tuple[str, str], list[Phrase]] = {}
        self._inflected: dict[str, list[tuple[str, int]]] = {}
        self._first: set[str] = set()
        self._second: set[str] = set()
        self._second_stems: set[str] = set()
        self._idea_whole: dict[str, int] = {}
        self._idea_stems: dict[str, int] = {}
        self.ideas, self.idea_digest = self._read_ideas(lexicons)
        lexicon, markers = (
            read_lexicon(lexicons / "attack.txt", lexicons / "harm.txt"),
            Markers(lexicons / "markers.txt"),
        )
        self.concepts = lexicon.concepts + markers.concepts
        self.attack_digest = f"{lexicon.digest[:32]}{markers.digest[:32]}"
        self.concept_shift = len(self.ideas)
        self.watched_shift = self.concept_shift + len(self.concepts)
        watched = watched_words(lexicons)
        self._at = 0
        self._numbers: set[str] = set()
        for key, bits in self._entries(lexicon, watched):
            self._add(key, bits)
        self._longest = max(map(len, (*self._stems, *self._idea_stems, *self._second_stems)))
        first = self.concept_shift + len(lexicon.concepts)
        self._marks = [1 << (first + index) for index in range(len(markers.concepts))]
        self._markers = PatternSet(
            [
                Pattern(concept, "|".join(escape(literal) for literal in literals))
                for concept, literals in zip(markers.concepts, markers.literals, strict=True)
            ]
        )

    def plain(self, word: str) -> str:
        """Return the word under which another one is known: numbers of one length are one, for there are too many."""
        return word if word.isalpha() or word in self._numbers else word.translate(_ZEROED)

    def of(self, word: str) -> int:
        """Return what a word means alone. Beyond the longest entry nothing is looked at: a word may be a megabyte."""
        bits = self._whole.get(word, 0) | self._idea_whole.get(word[:IDEA_LETTERS], 0)
        for end in range(1, min(len(word), self._longest) + 1):
            start = word[:end]
            bits |= self._stems.get(start, 0)
            if end <= IDEA_LETTERS:
                bits |= self._idea_stems.get(start, 0)
        if _AT in word:
            bits |= self._at
        return bits

    def place_in_phrases(self, word: str) -> int:
        """Return `BEGINS`, `CONTINUES`, both or neither."""
        starts = (word[:end] for end in range(1, min(len(word), self._longest) + 1))
        second = word in self._second or not self._second_stems.isdisjoint(starts)
        return (BEGINS if word in self._first else 0) | (CONTINUES if second else 0)

    def of_phrases(self, words: Sequence[str], place: int) -> int:
        """Return what the phrases mean that begin with a word, which is not the last."""
        first, second = words[place], words[place + 1]
        bits = 0
        for phrase in self._phrases.get((first, second), ()):
            if phrase.follows(words, place + 2):
                bits |= phrase.bits
        for stem, meaning in self._inflected.get(first, ()):
            if second.startswith(stem):
                bits |= meaning
        return bits

    def of_marks(self, text: str) -> int:
        """Return what the marks in a text mean, wherever they stand."""
        bits = 0
        for index in self._markers.candidates(Text(text.lower())):
            bits |= self._marks[index]
        return bits

    def _read_ideas(self, lexicons: Path) -> tuple[tuple[str, ...], str]:
        numbers: dict[str, int] = {}
        digest = hashlib.sha256()
        for name in _FILES:
            digest.update((lexicons / name).read_bytes())
            for concept, languages in read_sections(lexicons / name).items():
                if concept != _VOTE:
                    number = numbers.setdefault(concept, len(numbers))
                    for entries in languages.values():
                        self._add_ideas(entries, 1 << number, 1 if name == _OWN else _STEM)
        return tuple(numbers), digest.hexdigest()

    def _add_ideas(self, entries: Iterable[str], bit: int, least: int) -> None:
        for entry in entries:
            key = lexicon_key(entry)
            word = key.strip(" ")
            if " " not in word and len(word) >= least:
                known = self._idea_whole if key.endswith(" ") else self._idea_stems
                known[word] = known.get(word, 0) | bit

    def _entries(self, lexicon: Lexicon, watched: dict[str, int]) -> Iterator[tuple[str, int]]:
        for key, numbers in lexicon.meanings.items():
            yield key, sum(1 << (self.concept_shift + number) for number in numbers)
        for key, bits in watched.items():
            yield key, bits << self.watched_shift

    def _add(self, key: str, bits: int) -> None:
        whole, (first, *rest) = key.endswith(" "), key.split()
        self._numbers.update(word for word in (first, *rest) if not word.isalpha())
        if key == _AT:
            self._at |= bits
        elif rest:
            self._add_phrase(first, rest, whole=whole, bits=bits)
        else:
            known = self._whole if whole else self._stems
            known[first] = known.get(first, 0) | bits

    def _add_phrase(self, first: str, rest: list[str], *, whole: bool, bits: int) -> None:
        second, *more = rest
        self._first.add(first)
        if more or whole:
            self._second.add(second)
            end = more[-1] if more else ""
            self._phrases.setdefault((first, second), []).append(Phrase(tuple(more[:-1]), end, whole, bits))
        else:
            self._second_stems.add(second)
            self._inflected.setdefault(first, []).append((second, bits))


@lru_cache(maxsize=4)
def shared_concepts(lexicons: Path) -> Concepts:
    """Return the one set of concepts of these lexicons that all models share."""
    return Concepts(lexicons)
