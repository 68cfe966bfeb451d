"""What the words of a text are worth, known or not: whole words, the letters in them, and the ideas they stand for.

The concept models (`tone`, `attack_features`) see only what a lexicon lists. Here every word counts: itself, and its
stretches of three and four letters, so that inflected, compound and misspelt words share what they have in common. On
top come ideas that six languages have words for (`intents.txt`, `toxic.txt`, `tone.txt`, `harm.txt`) and their pairs:
what was learned from one language's texts counts in the others. A text is read in windows of two dozen words; the sum
over the words of a window is divided by the root of their number.

What was worked out about a word is kept under its hash (no word of a caller is kept), so that a text costs a look-up
per word. Cost is linear in the length of the text.
"""

import hashlib
from functools import lru_cache, reduce
from itertools import pairwise, repeat
from operator import or_
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import numpy as np

from greffier.guardrails.detectors.learned.concept_gate import squeezed
from greffier.guardrails.detectors.learned.text import (
    Floats,
    Ints,
    code_points,
    fold_codes,
    lexicon_key,
    read_sections,
    squeeze,
    unleet,
)

BITS: Final = 17
SIZE: Final = 1 << BITS
"""Places of the table of words and letters."""
BLOCK: Final = 12
"""Words of a block; a window has two."""
DAMPING: Final = 8.0
"""Added to the number of words before the root is taken, so that a single word says little."""
IDEA: Final = 0.5
PAIR: Final = 0.3
"""What an idea and a pair of ideas count, against a word."""

_LONGEST: Final = 28
"""Letters of a word that count."""
_GRAMS: Final = (3, 4)
_MASK: Final = SIZE - 1
_KEPT: Final = 1 << 14
"""Words that are kept; then the store begins anew."""
_STEM: Final = 4
"""Least letters of an idea's word outside `intents.txt`: shorter ones mean something else in another language."""
_OWN: Final = "intents.txt"
_FILES: Final = ("toxic.txt", "tone.txt", "harm.txt", _OWN)
_SPACE: Final = 32
_VOTE: Final = "LANG"
"""Says which language a text is in, nothing else."""


def word_features(word: str) -> tuple[Ints, Floats]:
    """Return the places of a word and of its letters, and what each counts; the letters count as much as the word."""
    word = word[:_LONGEST]
    places = {crc32(word.encode()) & _MASK: 1.0}
    edged = f"<{word}>"
    grams = [edged[at : at + size] for size in _GRAMS for at in range(len(edged) - size + 1)]
    share = max(len(grams), 1) ** -0.5
    for gram in grams:
        place = crc32(gram.encode(), 1) & _MASK
        places[place] = places.get(place, 0.0) + share
    return np.array(list(places), dtype=np.int64), np.array(list(places.values()))


class Ideas:
    """Which ideas a word stands for, in any of the languages: single words and stems of the lexicons."""

    def __init__(self, lexicons: Path) -> None:
        numbers: dict[str, int] = {}
        self._whole: dict[str, set[int]] = {}
        self._stems: dict[str, set[int]] = {}
        digest = hashlib.sha256()
        for name in _FILES:
            digest.update((lexicons / name).read_bytes())
            for concept, languages in read_sections(lexicons / name).items():
                if concept != _VOTE:
                    number = numbers.setdefault(concept, len(numbers))
                    for entries in languages.values():
                        self._add(entries, number, 1 if name == _OWN else _STEM)
        self.digest = digest.hexdigest()
        self.names: tuple[str, ...] = tuple(numbers)

    def _add(self, entries: tuple[str, ...], number: int, least: int) -> None:
        for entry in entries:
            key = lexicon_key(entry)
            word = key.strip(" ")
            if " " not in word and len(word) >= least:
                (self._whole if key.endswith(" ") else self._stems).setdefault(word, set()).add(number)

    def of(self, word: str) -> set[int]:
        """Return the numbers of a word's ideas."""
        found = set(self._whole.get(word, ()))
        for end in range(1, len(word) + 1):
            found |= self._stems.get(word[:end], set())
        return found


class _Store:
    """What was worked out about words; rows are only added."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.features: list[tuple[Ints, Floats]] = []
        self.ideas: list[int] = []
        """Which ideas each word stands for, as bits."""


class Words(msgspec.Struct, frozen=True):
    """The words of a text.

    Attributes:
        store: Where they were looked up.
        blocks: Rows of the words of each block in the store.
        ideas: Which ideas each window holds, as bits.
        shares: What a word of each window counts.
    """

    store: _Store
    blocks: list[list[int]]
    ideas: list[int]
    shares: list[float]


class WordReader:
    """Splits texts into words and windows; keeps the last answer (numbers only), because two models ask."""

    def __init__(self, lexicons: Path) -> None:
        self._ideas = Ideas(lexicons)
        self.digest = self._ideas.digest
        self.names = self._ideas.names
        self._store = _Store()
        self._last: tuple[int, int, Words] | None = None

    def read(self, text: str, keys: list[int] | None = None) -> Words:
        """Return the words of a text.

        Args:
            text: The text.
            keys: The hash of each word, where a `ConceptScan` has worked them out already.
        """
        last, key = self._last, hash(text)
        if last is not None and last[0] == key and last[1] == len(text):
            return last[2]
        words = self._read(text, list(map(hash, squeezed(text).split())) if keys is None else keys)
        self._last = (key, len(text), words)
        return words

    def _read(self, text: str, keys: list[int]) -> Words:
        store = self._store
        found = list(map(store.rows.get, keys, repeat(-1)))
        if -1 in found:
            words = squeezed(text).split()
            fresh = len(set(words))
            if len(store.features) + fresh > _KEPT:
                store = _Store()
                if fresh <= _KEPT:  # otherwise the text gets a store of its own
                    self._store = store
                found = [-1] * len(words)
            found = [self._row(store, word) if row < 0 else row for row, word in zip(found, words, strict=True)]
        blocks = [found[start : start + BLOCK] for start in range(0, len(found), BLOCK)] or [[]]
        ideas = [reduce(or_, map(store.ideas.__getitem__, block), 0) for block in blocks]
        counts = list(map(len, blocks))
        if len(blocks) > 1:
            ideas = [first | second for first, second in pairwise(ideas)]
            counts = [first + second for first, second in pairwise(counts)]
        return Words(store, blocks, ideas, [(count + DAMPING) ** -0.5 for count in counts])

    def _row(self, store: _Store, word: str) -> int:
        key = hash(word)
        row = store.rows.get(key)
        if row is None:
            row = len(store.features)
            store.ideas.append(reduce(or_, (1 << idea for idea in self._ideas.of(word[:_LONGEST])), 0))
            store.features.append(word_features(word))
            store.rows[key] = row
        return row


class WordModel:
    """One linear model over the windows of a text.

    Args:
        reader: Splits the texts.
        words: Weight of each place.
        ideas: Weight of each idea.
        pairs: Weight of each pair of ideas (square; the half above the diagonal).
        bias: Added to every window.
    """

    def __init__(self, reader: WordReader, words: Floats, ideas: Floats, pairs: Floats, bias: float) -> None:
        self._reader = reader
        self._words = words
        self._ideas: list[float] = (ideas * IDEA).tolist()
        self._pairs: list[list[float]] = (np.triu(pairs, 1) * PAIR).tolist()
        self._bias = bias
        self._store: _Store | None = None
        self._sums: list[float] = []
        self._worth: dict[int, float] = {}

    def margins(self, words: Words) -> Floats:
        """Return the margin of each window."""
        value = self._values(words.store).__getitem__
        sums = [sum(map(value, block)) for block in words.blocks]
        if len(sums) > 1:
            sums = [first + second for first, second in pairwise(sums)]
        worth = map(self._worth_of, words.ideas)
        return np.array(
            [total * share + held + self._bias for total, share, held in zip(sums, words.shares, worth, strict=True)]
        )

    def reason(self, words: Words, window: int) -> str:
        """Return the ideas that weighed most; words are not named, for they are the caller's."""
        held, names = numbers(words.ideas[window]), self._reader.names
        weighed = [(self._ideas[one], names[one]) for one in held]
        weighed += [
            (self._pairs[one][two], f"{names[one]}+{names[two]}")
            for at, one in enumerate(held)
            for two in held[at + 1 :]
        ]
        best = sorted(weighed, key=lambda one: (-one[0], one[1]))[:3]
        return " ".join(name for weight, name in best if weight > 0)

    def _worth_of(self, ideas: int) -> float:
        """Return what ideas and their pairs weigh; kept, because most windows hold few and the same."""
        worth = self._worth.get(ideas)
        if worth is None:
            held = numbers(ideas)
            worth = sum(self._ideas[one] for one in held)
            worth += sum(self._pairs[one][two] for at, one in enumerate(held) for two in held[at + 1 :])
            if len(self._worth) >= _KEPT:
                self._worth.clear()
            self._worth[ideas] = worth
        return worth

    def _values(self, store: _Store) -> list[float]:
        """Return the sum of each word in a store."""
        if store is not self._store:
            self._store, self._sums = store, []
        known, count = len(self._sums), len(store.features)
        if known < count:
            self._sums += [float(self._words[places] @ shares) for places, shares in store.features[known:count]]
        return self._sums


def numbers(bits: int) -> list[int]:
    """Return which bits are set."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found


def window_spans(text: str) -> list[tuple[int, int]]:
    """Return the offsets of each window's words in the text."""
    plain, origin = squeeze(unleet(fold_codes(code_points(text))))
    gaps = np.flatnonzero(code_points(plain) == _SPACE)
    real = np.diff(gaps) > 1
    starts, stops = gaps[:-1][real] + 1, gaps[1:][real] - 1
    if not len(starts):
        return [(0, len(text))]
    spans = []
    for first in range(0, max(len(starts) - BLOCK, 1), BLOCK):
        last = min(first + 2 * BLOCK, len(starts)) - 1
        spans.append((int(origin[starts[first]]), min(int(origin[stops[last]]) + 1, len(text))))
    return spans


@lru_cache(maxsize=4)
def shared_words(lexicons: Path) -> WordReader:
    """Return the one reader of these lexicons that all models share."""
    return WordReader(lexicons)
