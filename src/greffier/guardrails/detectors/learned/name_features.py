"""What the tagger of names and addresses sees of each word: shape, gazetteer, ending, neighbours."""

from typing import Final

import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.text import Ints
from greffier.guardrails.detectors.learned.tokens import COLON, COMMA, DIGITS, LOWER_WORD, NEWLINE, OTHER, Tokens

_BITS: Final = 17
BUCKETS: Final = 1 << _BITS
FIRST, LAST, COMMON, CITY, GIVEN, FAMILY = 1, 2, 4, 8, 16, 32
"""FIRST and LAST are what any list of names holds, GIVEN and FAMILY the names that are hardly anything else."""
CATEGORY_SHIFT: Final = 6
"""Gazetteer flags: six bits for the kinds of names, the rest the number of a section of ``names.txt``."""
_NAME_BITS: Final = 63
TITLE, PARTICLE, ORG, STREET = 1, 2, 7, 9
"""Places of these sections in ``names.txt``, from one."""
BRAND = 11
"""What follows them: the brands that the training knows."""

TAGS: Final = ("O", "B-PERSON", "I-PERSON", "B-ADDRESS", "I-ADDRESS")


_REACH: Final = 3
_TEMPLATES: Final = 28
_PRIME: Final = 16381
_COLUMNS: Final = 24
_PARTING: Final = (OTHER, COMMA, COLON)
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


def feature_table(tokens: Tokens, flags: Ints) -> Ints:  # noqa: PLR0915 - one row per template
    """Return (words x templates) feature numbers below `BUCKETS`."""
    shape, gap = tokens.shape, tokens.gap
    names, section = flags & _NAME_BITS, flags >> CATEGORY_SHIFT
    small = shape == LOWER_WORD
    # A word written small, or one that is written small elsewhere, is known by what it is; another word with a capital
    # only by its kind: names must not be memorised.
    plain = small | (shape >= DIGITS) | ((names & (_NAME_BITS ^ CITY)) == COMMON)
    word = np.where(plain, (tokens.hash >> np.uint64(40)).astype(np.int64), -2 - section)
    kind = names + 64 * section + 1024 * shape
    after = _Neighbours(gap)[1]
    two, three, four = tokens.tail
    kinds, shapes, words = _Neighbours(kind), _Neighbours(shape), _Neighbours(word)
    shorts, threes, name_bits = _Neighbours(section + 32 * shape), _Neighbours(three), _Neighbours(names)
    before1, next1 = kinds[-1], kinds[1]
    kind_gap, kind_after = kind * 8 + gap, kind * 8 + after
    shape_gap, shape_after = shape * 8 + gap, shape * 8 + after
    line, column = _lines(tokens)
    # One row per template; numpy's cost on a text is per call, not per word, so every call that can be saved is.
    rows = np.empty((_TEMPLATES, len(kind)), dtype=np.int64)
    rows[0] = kind
    rows[1] = kind_gap
    rows[2] = kind_after
    rows[3] = kind_gap * _PRIME + before1
    rows[4] = kind_after * _PRIME + next1
    rows[5] = ((before1 * 8 + gap) * _PRIME + kinds[-2]) * 16 + shape
    rows[6] = ((next1 * 8 + after) * _PRIME + kinds[2]) * 16 + shape
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
    rows[18] = (name_bits[-1] * 64 + names) * 64 + name_bits[1]
    rows[19] = (kind * 8 + _manner(tokens)) * 2 + _written_small(tokens, small)
    rows[20] = line * 16 + shape
    rows[21] = column * 16 + shape
    rows[22] = (words[-2] * _PRIME + words[-1]) * 128 + shape_gap
    rows[23] = tokens.head * 16 + shape
    rows[24] = words[-1] * _PRIME + words[1] * 16 + shape
    rows[25] = words[2] * 16 + shape
    rows[26] = np.minimum(tokens.end - tokens.start, 15) * 1024 + names * 16 + shape
    brand = section == BRAND
    rows[27] = kind * 4 + np.minimum(int(brand.sum()) - brand, 3)  # firms are named in company
    mixed = rows.view(np.uint64)
    mixed ^= _SALT
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed >>= np.uint64(64 - _BITS)
    return rows.T


def _manner(tokens: Tokens) -> int:
    """How a text uses capitals, in five steps from none (a chat) over German prose to nothing else."""
    words = tokens.shape < DIGITS
    count = int(words.sum())
    large = count - int((tokens.shape == LOWER_WORD).sum())
    return 0 if not large else 1 + sum(large > count * share for share in (0.15, 0.35, 0.7))


def _written_small(tokens: Tokens, small: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether a word with a capital stands elsewhere in the text without one."""
    return ~small & np.isin(tokens.hash, tokens.hash[small])


def _lines(tokens: Tokens) -> tuple[Ints, Ints]:
    """Return for every word what its line begins with, and what heads its column in a table of values.

    Both are hashes of words, small or not: they are labels ("From", "surname"), not names; -1 where there is none.
    """
    count = len(tokens)
    breaks = tokens.gap == NEWLINE
    first = np.maximum.accumulate(np.where(breaks, np.arange(count), 0))
    hashes = (tokens.hash >> np.uint64(40)).astype(np.int64)
    since = np.minimum(np.arange(count) - first, 3)
    line = np.where(since > 0, hashes[first] * 4 + since, -1)
    column = np.full(count, -1, dtype=np.int64)
    heads = int(np.argmax(breaks[1:])) + 1 if breaks[1:].any() else 0
    if heads > 1:
        parted = np.isin(tokens.gap, _PARTING)
        place: Ints = np.cumsum(parted) - np.cumsum(parted)[first]
        by_place = np.full(_COLUMNS, -1, dtype=np.int64)
        by_place[np.minimum(place[:heads], _COLUMNS - 1)] = hashes[:heads]
        column[heads:] = by_place[np.minimum(place[heads:], _COLUMNS - 1)]
    return line, column
