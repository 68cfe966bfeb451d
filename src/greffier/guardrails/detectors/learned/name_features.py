"""What the tagger of names and addresses sees of each word: shape, gazetteer, ending, neighbours."""

from typing import Final

import numpy as np

from greffier.guardrails.detectors.learned.text import Ints
from greffier.guardrails.detectors.learned.tokens import DIGITS, LOWER_WORD, Tokens

BUCKETS: Final = 1 << 16
FIRST, LAST, COMMON, CITY = 1, 2, 4, 8
CATEGORY_SHIFT: Final = 4
"""Gazetteer flags: four bits for the kinds of names, the rest the number of a section of ``names.txt``."""
PARTICLE, STREET = 2, 9
"""Places of these sections in ``names.txt``, from one."""

TAGS: Final = ("O", "B-PERSON", "I-PERSON", "B-ADDRESS", "I-ADDRESS")


_REACH: Final = 3
_TEMPLATES: Final = 19
_SALT: Final = (np.arange(_TEMPLATES, dtype=np.uint64)[:, None] + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)


class _Neighbours:
    """Values of the neighbours of every word as views of one padded array; -1 beyond the text."""

    __slots__ = ("_count", "_padded")

    def __init__(self, values: Ints) -> None:
        self._count = len(values)
        self._padded = np.empty(self._count + 2 * _REACH, dtype=np.int64)
        self._padded[:_REACH] = -1
        self._padded[_REACH + self._count :] = -1
        self._padded[_REACH : _REACH + self._count] = values

    def __getitem__(self, by: int) -> Ints:
        return self._padded[_REACH + by : _REACH + by + self._count]


def feature_table(tokens: Tokens, flags: Ints) -> Ints:
    """Return (words x templates) feature numbers below `BUCKETS`."""
    shape, gap = tokens.shape, tokens.gap
    names, section = flags & 15, flags >> CATEGORY_SHIFT
    # A word written small is known by what it is, a word with a capital only by its kind: names must not be memorised.
    plain = (shape == LOWER_WORD) | (shape >= DIGITS)
    word = np.where(plain, (tokens.hash >> np.uint64(40)).astype(np.int64), -2 - section)
    kind = names + 16 * section + 512 * shape
    after = _Neighbours(gap)[1]
    two, three, four = tokens.tail
    kinds, shapes, words = _Neighbours(kind), _Neighbours(shape), _Neighbours(word)
    shorts, threes, name_bits = _Neighbours(section + 32 * shape), _Neighbours(three), _Neighbours(names)
    before1, next1 = kinds[-1], kinds[1]
    kind_gap, kind_after = kind * 8 + gap, kind * 8 + after
    shape_gap, shape_after = shape * 8 + gap, shape * 8 + after
    # One row per template; numpy's cost on a text is per call, not per word, so every call that can be saved is.
    rows = np.empty((_TEMPLATES, len(kind)), dtype=np.int64)
    rows[0] = kind
    rows[1] = kind_gap
    rows[2] = kind_after
    rows[3] = kind_gap * 8191 + before1
    rows[4] = kind_after * 8191 + next1
    rows[5] = ((before1 * 8 + gap) * 8191 + kinds[-2]) * 16 + shape
    rows[6] = ((next1 * 8 + after) * 8191 + kinds[2]) * 16 + shape
    rows[7] = (shape_gap * 8 + after) * 1024 + shapes[-1] * 32 + shapes[1]
    rows[8] = two * 16 + shape
    rows[9] = three * 16 + shape
    rows[10] = four * 16 + shape
    rows[11] = words[-1] * 128 + shape_gap
    rows[12] = words[1] * 128 + shape_after
    rows[13] = words[-2] * 16 + shape
    rows[14] = (shorts[-3] * 512 + shorts[-2]) * 512 + shorts[-1] * 16 + shape
    rows[15] = (shorts[3] * 512 + shorts[2]) * 512 + shorts[1] * 16 + shape
    rows[16] = np.where(plain, word, -1) * 64 + gap * 8 + after
    rows[17] = threes[-1] * 128 + shape_gap
    rows[18] = (name_bits[-1] * 32 + names) * 32 + name_bits[1]
    mixed = rows.view(np.uint64)
    mixed ^= _SALT
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed >>= np.uint64(48)
    return rows.T
