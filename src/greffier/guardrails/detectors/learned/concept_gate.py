"""The cheap first step of the learned detectors: which concepts a text can hold, and whether they can be enough.

Counting pairs of concepts in windows takes a few hundred microseconds whatever the text. Most texts hold so few
concepts that no arrangement of them could reach a model's threshold, and that is seen from the concepts alone: the sum
of all positive weights between the concepts near each other bounds every window from above. One scan serves all models
of a text. The bound is sound: where it says no, the model would have found nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from re import escape
from typing import Final

import ahocorasick
import msgspec
import numpy as np
import numpy.typing as npt
import re2

from greffier.guardrails.detectors.learned.text import (
    Floats,
    Ints,
    Lexicon,
    Markers,
    code_points,
    fold,
    fold_codes,
    squeeze,
    unleet,
)
from greffier.guardrails.matching import Pattern, PatternSet, Text

Codes = npt.NDArray[np.uint32]

_BLOCK: Final = 32
_SPAN: Final = 6
"""Blocks that hold any 161 positions in a row: a model's window of 160 characters and the end of the text."""

_REACH: Final = 3
"""Blocks between two concepts that count as a pair: they are up to 72 characters apart."""
_HANDFUL: Final = 6
"""Concepts whose pairs are summed faster one by one than as arrays."""

_FEW: Final = 24
"""Stretches worth a closer look; more of them cost as much as the model."""

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
_SPACE: Final = 32
_UNUSUAL: Final = re2.compile(b"[a-z][0-9][a-z]| [^ ] [^ ] [^ ] ")
"""Leetspeak or letters set apart, which need the careful folding."""


def squeezed(text: str) -> str:
    """Return the text as lexicons match it; the same words as the models' own folding, in a tenth of the time."""
    data = _folded(text)
    if data is None:
        return _carefully(text)
    plain = b" %b " % b" ".join(data.split())
    return _carefully(text) if _UNUSUAL.search(plain) else plain.decode("latin-1")


def squeezed_codes(text: str) -> tuple[Codes, Ints]:
    """Return the squeezed text as code points, and the origin of each; the same as `squeeze`, most texts quicker."""
    data = _folded(text)
    if data is not None and _FOREIGN not in data:
        codes = np.frombuffer(data, dtype=np.uint8)
        spaces = codes == _SPACE
        keep = ~spaces
        keep[1:] |= ~spaces[:-1]
        origin = np.flatnonzero(keep)
        edged = np.full(len(origin) + 2, _SPACE, dtype=np.uint8)
        edged[1:-1] = codes[origin]
        if not _UNUSUAL.search(edged.tobytes()):
            return edged.astype(np.uint32), np.concatenate(([0], origin, [len(text)]))
    plain, origin = squeeze(unleet(fold_codes(code_points(text))))
    return np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32), origin


def _folded(text: str) -> bytes | None:
    try:
        return text.encode("cp1252").translate(_FOLDED)
    except UnicodeEncodeError:
        return None


def _carefully(text: str) -> str:
    return squeeze(unleet(fold_codes(code_points(text))))[0]


class Present(msgspec.Struct, frozen=True):
    """Concepts of a text as bits.

    Attributes:
        anywhere: Those of the whole text.
        blocks: Those of each stretch of 32 squeezed characters, and those that may stand anywhere in every stretch.
        shapes: Kinds of marks that the text holds, in the order of the models.
        watched: Concepts of the lexicon that is only watched for.
        words: Hash of each word, in order: what the word models look up.
    """

    anywhere: int
    blocks: list[int]
    shapes: int
    watched: int
    words: list[int]

    def bits(self, size: int) -> npt.NDArray[np.bool_]:
        """Return (blocks x concepts)."""
        return _unpacked(self.blocks, size)

    def windows(self, size: int) -> npt.NDArray[np.bool_]:
        """Return (stretches x concepts): every window of a model lies within one of the stretches."""
        blocks = self.blocks
        count = max(1, len(blocks) - _SPAN + 1)
        # Six at a time by doubling: two, then four, then four and two.
        two = [first | second for first, second in pairwise([*blocks, 0])]
        four = [first | second for first, second in zip(two, [*two[2:], 0, 0], strict=False)]
        six = [first | second for first, second in zip(four, [*two[4:], 0, 0, 0, 0], strict=False)]
        return _unpacked(six[:count], size)


def _unpacked(sets: list[int], size: int) -> npt.NDArray[np.bool_]:
    width = -(-size // 8)
    packed = np.frombuffer(b"".join(one.to_bytes(width, "little") for one in sets), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(sets), width), axis=1, bitorder="little")
    return bits[:, :size].astype(np.bool_)


class ConceptScan:
    """Finds which concepts of the lexicons a text holds; keeps the last answer, because several models ask.

    Args:
        lexicon: Words and phrases.
        markers: Literal strings.
        shapes: Marks of each kind that the models see; the empty text for a kind that every text holds.
        watched: Words, and concepts (bits), of a model that has features of its own and only asks which of them occur.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        markers: Markers,
        shapes: Sequence[Sequence[str]],
        watched: Mapping[str, int] | None = None,
    ) -> None:
        self._always = sum(1 << number for number, marks in enumerate(shapes) if "" in marks)
        self._marks = tuple((1 << number, mark) for number, marks in enumerate(shapes) for mark in marks if mark)
        self.size = len(lexicon.concepts) + len(markers.concepts)
        self._seen = (1 << self.size) - 1
        bits = {key: sum(1 << concept for concept in concepts) for key, concepts in lexicon.meanings.items()}
        for key, known in (watched or {}).items():
            bits[key] = bits.get(key, 0) | known << self.size
        self._words = ahocorasick.Automaton()
        for key, concepts_of in bits.items():
            self._words.add_word(key, (len(key) - 2, concepts_of))
        self._words.make_automaton()
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
        watched = anywhere >> self.size
        if watched:
            anywhere &= self._seen
            blocks = [block & self._seen for block in blocks]
        if everywhere:
            blocks = [block | everywhere for block in blocks]
        shapes = self._always
        for bit, mark in self._marks:
            if not shapes & bit and mark in text:
                shapes |= bit
        return Present(anywhere, blocks, shapes, watched, list(map(hash, plain.split())))


class Gate:
    """Bounds one linear model over concepts and pairs of concepts.

    Args:
        weights: Of each concept, then of each ordered pair of concepts.
        size: Number of concepts; those beyond ``seen`` are shapes, which may stand anywhere if the text holds them.
        seen: Number of concepts that a `ConceptScan` reports.
        needed: Sum of weights from which a window matters.
    """

    def __init__(self, weights: Floats, size: int, seen: int, needed: float) -> None:
        single = np.maximum(weights[:size], 0.0)
        pairs = np.maximum(weights[size:].reshape(size, size), 0.0)
        self._pairs = pairs[:seen, :seen]
        self._rows: list[list[float]] = self._pairs.tolist()
        self._size = seen
        self._by_shapes: list[tuple[float, Floats]] = []
        for shapes in range(1 << (size - seen)):
            held = np.array([False] * seen + [bool(shapes >> bit & 1) for bit in range(size - seen)])
            alone = single[held].sum() + pairs[np.ix_(held, held)].sum()
            beside = pairs[:seen, held].sum(axis=1) + pairs[held, :seen].sum(axis=0)
            self._by_shapes.append((needed - float(alone) - _ROUNDING, single[:seen] + beside))
        self._must = self._indispensable(*self._by_shapes[-1])

    def _indispensable(self, needed: float, single: Floats) -> int:
        """Concepts (bits) of which at least one must occur, as all others together are not enough; -1 for none."""
        rest = np.ones(self._size, dtype=np.bool_)
        must = 0
        while self._bounds(rest[np.newaxis], single)[0] >= needed:
            if not rest.any():
                return -1
            share = (single + (self._pairs * rest).sum(axis=1) + (self._pairs.T * rest).sum(axis=1)) * rest
            heaviest = int(np.where(rest, share, -1.0).argmax())
            rest[heaviest] = False
            must |= 1 << heaviest
        return must

    def _bounds(self, held: npt.NDArray[np.bool_], single: Floats) -> Floats:
        """Return for each stretch the sum of all positive weights of the concepts in it and of all their pairs."""
        present = held.astype(np.float64)
        return np.asarray(present @ single + ((present @ self._pairs) * present).sum(axis=1), dtype=np.float64)

    def open(self, present: Present) -> bool:
        """Whether a window of the text could reach what is needed."""
        if self._must != -1 and not present.anywhere & self._must:
            return False
        needed, single = self._by_shapes[present.shapes]
        if present.anywhere.bit_count() <= _HANDFUL and self._whole(present.anywhere, single) < needed:
            return False
        held = present.windows(self._size)
        bounds = self._bounds(held, single)
        likely = np.flatnonzero(bounds >= needed)
        if not len(likely) or len(likely) > _FEW:
            return bool(len(likely))
        blocks = present.bits(self._size)
        highest = likely[np.argsort(-bounds[likely])].tolist()
        return any(self._closely(blocks[at : at + _SPAN], single) >= needed for at in highest)

    def _whole(self, anywhere: int, single: Floats) -> float:
        """Return the bound of a text that holds a few concepts as if they stood together; quicker than by stretches."""
        concepts = []
        while anywhere:
            lowest = anywhere & -anywhere
            concepts.append(lowest.bit_length() - 1)
            anywhere ^= lowest
        bound = float(single[concepts].sum())
        for row in [self._rows[concept] for concept in concepts]:
            for concept in concepts:
                bound += row[concept]
        return bound

    def _closely(self, blocks: npt.NDArray[np.bool_], single: Floats) -> float:
        """Return the bound of one stretch, counting only pairs in their order and within reach of each other."""
        held = blocks.astype(np.float64)
        after = held.copy()
        for step in range(1, _REACH + 1):
            after[:-step] += held[step:]
        return float(held.max(axis=0) @ single + self._pairs[(held.T @ after) > 0].sum())
