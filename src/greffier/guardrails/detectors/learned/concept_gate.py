"""The cheap first step of the learned detectors: which concepts a text can hold, and whether they can be enough.

Counting pairs of concepts in windows takes a few hundred microseconds whatever the text. Most texts hold so few
concepts that no arrangement of them could reach a model's threshold, and that is seen from the concepts alone: the sum
of all positive weights between the concepts near each other bounds every window from above. One scan serves all models
of a text. The bound is sound: where it says no, the model would have found nothing.
"""

from collections.abc import Iterator
from re import escape
from typing import Final

import ahocorasick
import msgspec
import numpy as np
import numpy.typing as npt
import re2

from greffier.guardrails.detectors.learned.text import (
    Floats,
    Lexicon,
    Markers,
    code_points,
    fold,
    fold_codes,
    squeeze,
    unleet,
)
from greffier.guardrails.matching import Pattern, PatternSet, Text

_BLOCK: Final = 32
_SPAN: Final = 6
"""Blocks that hold any 161 positions in a row: a model's window of 160 characters and the end of the text."""

_FOREIGN: Final = 0x7F  # a letter that no lexicon knows
_ROUNDING: Final = 1e-6  # sums are taken in another order than the models take them


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
_UNUSUAL: Final = re2.compile(b"[a-z][0-9][a-z]| [^ ] [^ ] [^ ] ")
"""Leetspeak or letters set apart, which need the careful folding."""


def squeezed(text: str) -> str:
    """Return the text as lexicons match it; the same words as the models' own folding, in a tenth of the time."""
    try:
        data = text.encode("cp1252")
    except UnicodeEncodeError:
        return _carefully(text)
    plain = b" %b " % b" ".join(data.translate(_FOLDED).split())
    return _carefully(text) if _UNUSUAL.search(plain) else plain.decode("latin-1")


def _carefully(text: str) -> str:
    return squeeze(unleet(fold_codes(code_points(text))))[0]


class Present(msgspec.Struct, frozen=True):
    """Concepts of a text as bits.

    Attributes:
        anywhere: Those of the whole text.
        blocks: Those of each stretch of 32 squeezed characters.
        everywhere: Those that may stand in any place.
    """

    anywhere: int
    blocks: list[int]
    everywhere: int

    def windows(self, size: int) -> npt.NDArray[np.bool_]:
        """Return (stretches x concepts): every window of a model lies within one of the stretches."""
        held = []
        for at in range(max(1, len(self.blocks) - _SPAN + 1)):
            near = self.everywhere
            for block in self.blocks[at : at + _SPAN]:
                near |= block
            held.append(near)
        width = -(-size // 8)
        packed = np.frombuffer(b"".join(near.to_bytes(width, "little") for near in held), dtype=np.uint8)
        bits = np.unpackbits(packed.reshape(len(held), width), axis=1, bitorder="little")
        return bits[:, :size].astype(np.bool_)


class ConceptScan:
    """Finds which concepts of the lexicons a text holds; keeps the last answer, because several models ask."""

    def __init__(self, lexicon: Lexicon, markers: Markers) -> None:
        self._words = ahocorasick.Automaton()
        for key, concepts in lexicon.meanings.items():
            self._words.add_word(key, (len(key) - 2, sum(1 << concept for concept in concepts)))
        self._words.make_automaton()
        self.size = len(lexicon.concepts) + len(markers.concepts)
        first = len(lexicon.concepts)
        self._bits = [1 << (first + index) for index in range(len(markers.concepts))]
        self._markers = PatternSet(
            [
                Pattern(concept, "|".join(escape(literal) for literal in literals))
                for concept, literals in zip(markers.concepts, markers.literals, strict=True)
            ]
        )
        self._last: tuple[int, int, Present] | None = None

    def look(self, text: str) -> Present:
        """Return the concepts that ``text`` may hold: all that the models see in it, seldom more."""
        key, last = hash(text), self._last
        if last is not None and last[0] == key and last[1] == len(text):
            return last[2]
        present = self._look(text)
        self._last = (key, len(text), present)
        return present

    def _look(self, text: str) -> Present:
        everywhere = 0
        for index in self._markers.candidates(Text(text.lower())):
            everywhere |= self._bits[index]
        plain = squeezed(text)
        blocks = [0] * (len(plain) // _BLOCK + 1)
        hits: Iterator[tuple[int, tuple[int, int]]] = self._words.iter(plain)
        for end, (back, concepts) in hits:
            blocks[(end - back) // _BLOCK] |= concepts
        anywhere = everywhere
        for block in blocks:
            anywhere |= block
        return Present(anywhere, blocks, everywhere)


class Gate:
    """Bounds one linear model over concepts and pairs of concepts.

    Args:
        weights: Of each concept, then of each ordered pair of concepts.
        size: Number of concepts; those beyond ``seen`` may stand anywhere.
        seen: Number of concepts that a `ConceptScan` reports.
        needed: Sum of weights from which a window matters.
    """

    def __init__(self, weights: Floats, size: int, seen: int, needed: float) -> None:
        single = np.maximum(weights[:size], 0.0)
        pairs = np.maximum(weights[size:].reshape(size, size), 0.0)
        assumed = slice(seen, size)
        self._needed = needed - float(single[assumed].sum() + pairs[assumed, assumed].sum()) - _ROUNDING
        self._single = single[:seen] + pairs[:seen, assumed].sum(axis=1) + pairs[assumed, :seen].sum(axis=0)
        self._pairs = pairs[:seen, :seen]
        self._size = seen
        self._must = self._indispensable()

    def _indispensable(self) -> int:
        """Concepts (bits) of which at least one must occur: all others together are not enough."""
        rest = np.ones(self._size, dtype=np.bool_)
        must = 0
        while rest.any() and self._bounds(rest[np.newaxis])[0] >= self._needed:
            inside = self._pairs * rest
            share = (self._single + inside.sum(axis=1) + (self._pairs.T * rest).sum(axis=1)) * rest
            heaviest = int(share.argmax())
            rest[heaviest] = False
            must |= 1 << heaviest
        return must if rest.any() or self._needed > 0 else -1

    def _bounds(self, held: npt.NDArray[np.bool_]) -> Floats:
        present = held.astype(np.float64)
        return np.asarray(present @ self._single + ((present @ self._pairs) * present).sum(axis=1), dtype=np.float64)

    def open(self, present: Present) -> bool:
        """Whether a window of the text could reach what is needed."""
        if not present.anywhere & self._must:
            return self._must == -1
        return bool((self._bounds(present.windows(self._size)) >= self._needed).any())


def least_margin(depth: Floats) -> float:
    """Return the least margin of the strongest window from which the margin of the whole text can be zero or more.

    The whole text's margin is the strongest window's, and a share (``depth``) of how far the next ones are above -2.
    """
    share = float(np.maximum(depth, 0.0).sum())
    return -2.0 * share / (1.0 + share)
