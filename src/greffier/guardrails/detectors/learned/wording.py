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
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

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

Bytes = npt.NDArray[np.uint8]

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

    def __init__(self, width: int, most: int = _KEPT) -> None:
        self.rows: dict[int, int] = {}
        self.features: list[tuple[Ints, Floats]] = []
        self.ideas: Bytes = np.zeros((most, width), dtype=np.uint8)


class Words(msgspec.Struct, frozen=True):
    """The words of a text.

    Attributes:
        store: Where they were looked up.
        rows: Row of each word in the store.
        ideas: Which ideas each window holds (windows x ideas, 0 or 1).
        starts: First word of each block.
        counts: Words of each window.
        shares: What a word of each window counts.
    """

    store: _Store
    rows: Ints
    ideas: Floats
    starts: Ints
    counts: Ints
    shares: Floats


class WordReader:
    """Splits texts into words and windows; keeps the last answer (numbers only), because two models ask."""

    def __init__(self, lexicons: Path) -> None:
        self._ideas = Ideas(lexicons)
        self.digest = self._ideas.digest
        self.names = self._ideas.names
        self._width = -(-len(self.names) // 8)
        self._store = _Store(self._width)
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
                store = _Store(self._width, max(fresh, _KEPT))
                if fresh <= _KEPT:  # otherwise the text gets a store of its own
                    self._store = store
                found = [-1] * len(words)
            found = [self._row(store, word) if row < 0 else row for row, word in zip(found, words, strict=True)]
        rows = np.fromiter(found, dtype=np.int64, count=len(found))
        starts = np.arange(0, len(found) or 1, BLOCK)
        if not found:
            return Words(store, rows, np.zeros((1, len(self.names))), starts, starts, np.zeros(1))
        blocks = np.bitwise_or.reduceat(store.ideas[rows], starts, axis=0)
        counts = np.full(len(starts), BLOCK, dtype=np.int64)
        counts[-1] = len(found) - starts[-1]
        if len(starts) > 1:
            blocks, counts = blocks[:-1] | blocks[1:], counts[:-1] + counts[1:]
        bits = np.unpackbits(blocks, axis=1, count=len(self.names), bitorder="little")
        return Words(
            store,
            rows,
            bits.astype(np.float64),
            starts,
            counts,
            np.asarray((counts + DAMPING) ** -0.5, dtype=np.float64),
        )

    def _row(self, store: _Store, word: str) -> int:
        key = hash(word)
        row = store.rows.get(key)
        if row is None:
            row = len(store.features)
            for idea in self._ideas.of(word[:_LONGEST]):
                store.ideas[row, idea // 8] |= 1 << idea % 8
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
        self._ideas = ideas * IDEA
        self._pairs = np.triu(pairs, 1) * PAIR
        self._bias = bias
        self._store: _Store | None = None
        self._sums: Floats = np.zeros(0)

    def margins(self, words: Words) -> Floats:
        """Return the margin of each window."""
        sums = np.add.reduceat(self._values(words.store)[words.rows], words.starts) if len(words.rows) else np.zeros(1)
        if len(words.starts) > 1:
            sums = sums[:-1] + sums[1:]
        held = words.ideas
        return np.asarray(sums * words.shares + ((held @ self._pairs + self._ideas) * held).sum(axis=1) + self._bias)

    def reason(self, words: Words, window: int) -> str:
        """Return the ideas that weighed most; words are not named, for they are the caller's."""
        held = np.flatnonzero(words.ideas[window])
        weighed = [(float(self._ideas[one]), self._reader.names[one]) for one in held]
        weighed += [
            (float(self._pairs[one, two]), f"{self._reader.names[one]}+{self._reader.names[two]}")
            for at, one in enumerate(held)
            for two in held[at + 1 :]
        ]
        best = sorted(weighed, key=lambda one: (-one[0], one[1]))[:3]
        return " ".join(name for weight, name in best if weight > 0)

    def _values(self, store: _Store) -> Floats:
        """Return the sum of each word in a store."""
        if store is not self._store:
            self._store, self._sums = store, np.zeros(0)
        known, count = len(self._sums), len(store.features)
        if known < count:
            fresh = [float(self._words[places] @ shares) for places, shares in store.features[known:count]]
            self._sums = np.concatenate((self._sums, fresh))
        return self._sums


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
