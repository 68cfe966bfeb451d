"""What the injection model sees: which concepts stand near which, in overlapping windows, whatever the language.

Words are replaced by concepts ("ignore", "ignoriere" and "negeer" are one), so that a model trained on few sources
weighs grammar ("override, previous, instructions") instead of the sources' vocabulary.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from greffier.guardrails.detectors.learned.concept_gate import ConceptScan, Gate
from greffier.guardrails.detectors.learned.text import (
    Codes,
    Floats,
    Ints,
    Lexicon,
    Markers,
    code_points,
    fold_codes,
    read_lexicon,
    squeeze,
    unleet,
)
from greffier.guardrails.detectors.learned.tone_words import watched_words

BLOCK: Final = 80
"""Windows are two blocks long and start at every block (characters)."""

_LAGS: Final = 8
_AHEAD: Final = np.arange(1, _LAGS + 1)
_REACH: Final = 72
_SHAPE_GAP: Final = 24  # brackets of a line of code count once
_SHAPES: Final = ("QUOTE", "QMARK", "BANG", "START", "CODE")
_MAX_CODE: Final = 0x3000


def _codes_of(chars: str) -> list[int]:
    return [ord(char) for char in chars]


_MARKS: Final = ('"`\u201c\u201d\u201e\u2018«»', "?¿", "!", "\n.:", "{}=;()")
_SHAPE_OF: Final = np.full(_MAX_CODE, -1, dtype=np.int64)
for _number, _marks in enumerate(_MARKS):
    _SHAPE_OF[_codes_of(_marks)] = _number
_ALWAYS: Final = 3  # every text begins a sentence


class Windows(msgspec.Struct, frozen=True):
    """Sparse features of each window.

    Attributes:
        count: Number of windows.
        rows: Window of each feature occurrence.
        columns: Feature of each occurrence.
        length: Length of the text (characters).
    """

    count: int
    rows: Ints
    columns: Ints
    length: int

    def span(self, window: int) -> tuple[int, int]:
        """Return the offsets of a window in the text."""
        return window * BLOCK, min(self.length, (window + 2) * BLOCK)


class AttackFeatures:
    """Turns a text into windows of concept features."""

    def __init__(self, lexicons: Path) -> None:
        self._lexicon: Lexicon = read_lexicon(lexicons / "attack.txt", lexicons / "harm.txt")
        self._markers = Markers(lexicons / "markers.txt")
        self.digest = f"{self._lexicon.digest[:32]}{self._markers.digest[:32]}"
        self.concepts = self._lexicon.concepts + self._markers.concepts + _SHAPES
        self.size = len(self.concepts)
        self.features = self.size + self.size * self.size
        """Number of features: each concept, and each ordered pair of concepts."""
        self.scan = ConceptScan(
            self._lexicon,
            self._markers,
            [("",) if number == _ALWAYS else tuple(marks) for number, marks in enumerate(_MARKS)],
            watched=watched_words(lexicons),
        )
        self._last: tuple[int, int, Windows] | None = None

    def gate(self, weights: Floats, needed: float) -> Gate:
        """Return what tells cheaply whether a window of a text can reach the sum ``needed``."""
        return Gate(weights, self.size, self.scan.size, needed)

    def name(self, feature: int) -> str:
        """Return a readable name of a feature, for explanations."""
        if feature < self.size:
            return self.concepts[feature]
        first, second = divmod(feature - self.size, self.size)
        return f"{self.concepts[first]}>{self.concepts[second]}"

    def events(self, text: str) -> tuple[Ints, Ints]:
        """Return (concept, position) of everything recognised, ordered by position."""
        codes = code_points(text)
        squeezed, origin = squeeze(unleet(fold_codes(codes)))
        concept, start, _ = self._lexicon.find(squeezed)
        lowered = text.lower()
        marker, marker_end = self._markers.find(lowered)
        shape, shape_at = self._shapes(codes)
        known = len(self._lexicon.concepts)
        # A match begins with the space before its word, so the word itself begins one later.
        places = np.concatenate(
            (origin[np.minimum(start + 1, len(origin) - 1)], np.minimum(marker_end, len(text)), shape_at)
        )
        concepts = np.concatenate((concept, marker + known, shape + known + len(self._markers.concepts)))
        order = np.argsort(places, kind="stable")
        concepts, places = concepts[order], places[order]
        # The same concept twice at one place (a word and a phrase that begins with it) counts once.
        fresh = np.ones(len(concepts), dtype=bool)
        fresh[1:] = (concepts[1:] != concepts[:-1]) | (places[1:] - places[:-1] > 1)
        return concepts[fresh], places[fresh]

    def _shapes(self, codes: Codes) -> tuple[Ints, Ints]:
        shapes = np.where(codes < _MAX_CODE, _SHAPE_OF[np.minimum(codes, _MAX_CODE - 1)], -1)
        places = np.flatnonzero(shapes >= 0)
        kinds = shapes[places]
        fresh = np.ones(len(kinds), dtype=bool)
        fresh[1:] = (kinds[1:] != kinds[:-1]) | (places[1:] - places[:-1] > _SHAPE_GAP)
        return np.concatenate(([_ALWAYS], kinds[fresh])), np.concatenate(([0], places[fresh])).astype(np.int64)

    def windows(self, text: str) -> Windows:
        """Return the features of each window. Cost is linear in the length of the text.

        Several models look at one text in turn, so the last answer is kept (numbers only, never the text).
        """
        last = self._last
        if last is not None and last[0] == hash(text) and last[1] == len(text):
            return last[2]
        windows = self._windows(text)
        self._last = (hash(text), len(text), windows)
        return windows

    def _windows(self, text: str) -> Windows:
        concepts, places = self.events(text)
        count = max(1, -(-len(text) // BLOCK) - 1)
        # Rows of the table below: an event and the eight after it. Far beyond the end, nothing is near.
        following = np.concatenate((places, np.full(_LAGS, len(text) + 2 * _REACH)))
        apart = following[np.arange(len(places))[:, np.newaxis] + _AHEAD] - places[:, np.newaxis]
        before, lag = np.nonzero(apart <= _REACH)
        after = before + lag + 1
        column = np.concatenate((concepts, self.size + concepts[before] * self.size + concepts[after]))
        blocks = places // BLOCK
        first, last = np.concatenate((blocks, blocks[before])), np.concatenate((blocks, blocks[after]))
        # Window w covers blocks w and w + 1: an occurrence is in it if both its ends are.
        inside_earlier = (first == last) & (last >= 1)
        row = np.concatenate((np.minimum(first, count - 1), np.minimum(last[inside_earlier] - 1, count - 1)))
        keys = row * self.features + np.concatenate((column, column[inside_earlier]))
        keys.sort()
        fresh = np.ones(len(keys), dtype=bool)
        fresh[1:] = keys[1:] != keys[:-1]
        keys = keys[fresh]
        rows, columns_of = np.divmod(keys, self.features)
        return Windows(count=count, rows=rows, columns=columns_of, length=len(text))


@lru_cache(maxsize=4)
def shared_features(lexicons: Path) -> AttackFeatures:
    """Return the one reader of these lexicons that all models share."""
    return AttackFeatures(lexicons)
