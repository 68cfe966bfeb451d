"""What the words of a text are worth, known or not: whole words, the letters in them, and the ideas they stand for.

The concept models (`tone`, `attack_features`) see only what a lexicon lists. Here every word counts: itself, and its
stretches of three and four letters, so that inflected, compound and misspelt words share what they have in common. On
top come ideas that six languages have words for (`intents.txt`, `toxic.txt`, `tone.txt`, `harm.txt`) and their pairs:
what was learned from one language's texts counts in the others. A text is read in windows of two dozen words; the sum
over the words of a window is divided by the root of their number.

What was worked out about a word is kept under its hash (no word of a caller is kept), so that a text costs a look-up
per word. Cost is linear in the length of the text.
"""

from functools import lru_cache, reduce
from itertools import pairwise, repeat
from operator import or_
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.concepts import BEGINS, CONTINUES, shared_concepts, words_of
from greffier.guardrails.detectors.learned.text import (
    Floats,
    Ints,
    code_points,
    fold_codes,
    squeeze,
    unleet,
)

BLOCK: Final = 12
"""Words of a block; a window has two."""
BITS: Final = 17
SIZE: Final = 1 << BITS
"""Places of the table of words and letters."""
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
_STEM_LETTERS: Final = 5
_SHORT: Final = 3
"""Numbers up to this length are looked up as they are; longer ones hardly come twice."""
_SPACE: Final = 32


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


class Store:
    """What was worked out about words; rows are only added.

    Attributes:
        rows: Row of each word, by its hash.
        features: Places and counts of each word.
        meanings: What each word means alone (bits of `Concepts`).
        in_phrases: Where each word may stand in a phrase.
        stems: Hash of how each word begins, for those that look at neighbours.
    """

    def __init__(self, room: int = _KEPT) -> None:
        self.rows: dict[int, int] = {}
        self.features: list[tuple[Ints, Floats]] = []
        self.meanings: list[int] = []
        self.in_phrases: npt.NDArray[np.uint8] = np.zeros(room, dtype=np.uint8)
        self.stems: npt.NDArray[np.uint32] = np.zeros(room, dtype=np.uint32)


class Words(msgspec.Struct, frozen=True):
    """The words of a text.

    Attributes:
        store: Where they were looked up.
        rows: Row of each word in the store.
        blocks: The same, block by block.
        meanings: What each window holds (bits of `Concepts`).
        shares: What a word of each window counts.
    """

    store: Store
    rows: Ints
    blocks: list[list[int]]
    meanings: list[int]
    shares: list[float]


class WordReader:
    """Splits texts into words and windows; keeps the last answer (numbers only), because several models ask."""

    def __init__(self, lexicons: Path) -> None:
        self.concepts = shared_concepts(lexicons)
        self._store = Store()
        self._last: tuple[int, int, Words] | None = None

    def read(self, text: str) -> Words:
        """Return the words of a text. Cost is linear in its length."""
        last, key = self._last, hash(text)
        if last is not None and last[0] == key and last[1] == len(text):
            return last[2]
        words = self._read(text)
        self._last = (key, len(text), words)
        return words

    def _read(self, text: str) -> Words:
        words = words_of(text)
        rows = list(map(self._store.rows.get, map(hash, words), repeat(-1)))
        store = self._learn(words, rows) if -1 in rows else self._store
        starts = range(0, len(rows), BLOCK)
        blocks = [rows[start : start + BLOCK] for start in starts] or [[]]
        marks = self.concepts.of_marks(text)
        meanings = [reduce(or_, map(store.meanings.__getitem__, block), marks) for block in blocks]
        index = np.array(rows, dtype=np.int64)
        places = store.in_phrases.take(index)
        for place in np.flatnonzero(places[:-1] & BEGINS & (places[1:] // CONTINUES)).tolist():
            meanings[place // BLOCK] |= self.concepts.of_phrases(words, place)
        counts = list(map(len, blocks))
        if len(blocks) > 1:
            meanings = [first | second for first, second in pairwise(meanings)]
            counts = [first + second for first, second in pairwise(counts)]
        return Words(store, index, blocks, meanings, [(count + DAMPING) ** -0.5 for count in counts])

    def _learn(self, words: list[str], rows: list[int]) -> Store:
        """Work out what is not known yet, and complete the rows."""
        store, fresh = self._store, len(set(words))
        if len(store.rows) + fresh > _KEPT:
            store = Store(max(fresh, _KEPT))
            if fresh <= _KEPT:  # otherwise the text gets a store of its own
                self._store = store
            rows[:] = [-1] * len(words)
        rows[:] = [self._row(store, word) if row < 0 else row for row, word in zip(rows, words, strict=True)]
        return store

    def _row(self, store: Store, word: str) -> int:
        plain = self.concepts.plain(word)
        row = store.rows.get(hash(plain))
        if row is None:
            row = len(store.features)
            store.meanings.append(self.concepts.of(plain))
            store.features.append(word_features(plain))
            store.in_phrases[row] = self.concepts.place_in_phrases(plain)
            store.stems[row] = crc32(plain[:_STEM_LETTERS].encode(), 2)
            store.rows[hash(plain)] = row
        if len(word) <= _SHORT:
            store.rows[hash(word)] = row
        return row


class WordSums:
    """What the words of each window weigh in one table, each worked out once."""

    def __init__(self, weights: npt.NDArray[np.floating | np.integer]) -> None:
        self._weights = weights.astype(np.float64)
        self._store: Store | None = None
        self._sums: list[float] = []

    def of(self, words: Words) -> list[float]:
        """Return the sum of the words of each window."""
        value = self._values(words.store).__getitem__
        sums = [sum(map(value, block)) for block in words.blocks]
        return [first + second for first, second in pairwise(sums)] if len(sums) > 1 else sums

    def _values(self, store: Store) -> list[float]:
        """Return the sum of each word in a store."""
        if store is not self._store:
            self._store, self._sums = store, []
        known, count = len(self._sums), len(store.features)
        if known < count:
            self._sums += [float(self._weights[places] @ shares) for places, shares in store.features[known:count]]
        return self._sums


class WordModel:
    """One linear model over the windows of a text.

    Args:
        names: Of the ideas.
        words: Weight of each place.
        ideas: Weight of each idea.
        pairs: Weight of each pair of ideas (square; the half above the diagonal).
        bias: Added to every window.
    """

    def __init__(self, names: tuple[str, ...], words: Floats, ideas: Floats, pairs: Floats, bias: float) -> None:
        self._names = names
        self._words = WordSums(words)
        self._mask = (1 << len(ideas)) - 1
        self._ideas: list[float] = (ideas * IDEA).tolist()
        self._pairs: list[list[float]] = (np.triu(pairs, 1) * PAIR).tolist()
        self._bias = bias
        self._worth: dict[int, float] = {}

    def margins(self, words: Words) -> list[float]:
        """Return the margin of each window. Most texts have few, for which arrays cost more than they save."""
        return [
            total * share + self._worth_of(held & self._mask) + self._bias
            for total, share, held in zip(self._words.of(words), words.shares, words.meanings, strict=True)
        ]

    def reason(self, words: Words, window: int) -> str:
        """Return the ideas that weighed most; words are not named, for they are the caller's."""
        held, names = numbers(words.meanings[window] & self._mask), self._names
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
