"""Words and numbers of a text as arrays: shapes, separators, hashes, and what a gazetteer knows about each.

Nothing here loops over words in Python; hashes of all words come from one cumulative polynomial over the text.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.text import Codes, Ints, code_points, fold_codes

Hashes = npt.NDArray[np.uint64]

_BASE: Final = 0x9E3779B97F4A7C15 | 1
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_MIX: Final = 0xBF58476D1CE4E5B9
_TABLE: Final = 0x3000
_CHUNK: Final = 4096
_MASK: Final = (1 << 64) - 1

# Classes of characters.
_LOWER, _UPPER, _DIGIT = 1, 2, 3


def _class_of(code: int) -> int:
    char = chr(code)
    if char.isdecimal():
        return _DIGIT
    if not char.isalnum():
        return 0
    return _UPPER if char.isupper() or char.istitle() else _LOWER


# The last entries of the tables stand for everything beyond them, so that one clipped look-up does.
_CLASS: Final = np.array([*(_class_of(code) for code in range(_TABLE)), 0], dtype=np.int64)

# What stands between two words, by rising precedence: the strongest character in the gap decides.
JOINED, SPACE, OTHER, COMMA, STOP, COLON, NEWLINE, GLUE = range(8)
_GAP: Final = np.full(_TABLE + 1, OTHER, dtype=np.int64)
for _chars, _kind in (
    ("-'\u2019\u2010", JOINED),
    (" \t\u00a0", SPACE),
    (",", COMMA),
    (".!?", STOP),
    (":;=", COLON),
    ("\n\r", NEWLINE),
    ("@_\\/", GLUE),
):
    _GAP[[ord(_char) for _char in _chars]] = _kind

# Shapes of words.
LOWER_WORD, CAPITAL, SHOUTED, MIXED, INITIAL, ALNUM, DIGITS = range(7)
"""From ``DIGITS`` on, the shape also tells the number of digits: DIGITS + 1 to DIGITS + 6."""


class Tokens(msgspec.Struct, frozen=True):
    """The words of a text.

    Attributes:
        start: First code point of each word.
        end: One past its last.
        shape: Capital, digits...
        gap: What separates the word from the one before (NEWLINE for the first).
        hash: Hash of the folded word.
        tail: Folded last letters, packed: (two, three, four) letters.
        head: Folded first three letters, packed.
    """

    start: Ints
    end: Ints
    shape: Ints
    gap: Ints
    hash: Hashes
    tail: tuple[Ints, Ints, Ints]
    head: Ints

    def __len__(self) -> int:
        return len(self.start)


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


_POWERS: Final = _powers(_BASE, _CHUNK)
_INVERSES: Final = _powers(_INVERSE, _CHUNK)


def _word_hashes(folded: Codes, start: Ints, end: Ints) -> Hashes:
    """Hash each folded[start:end]. Positions are taken modulo a chunk, so the tables of powers stay small."""
    count = len(folded)
    sums = np.zeros(count + 1, dtype=np.uint64)
    terms = folded.astype(np.uint64)
    terms += np.uint64(7)
    if count <= _CHUNK:  # most texts: no word crosses an edge
        terms *= _POWERS[:count]
        np.cumsum(terms, out=sums[1:])
        return _mixed((sums[end] - sums[start]) * _INVERSES[start])
    terms *= _POWERS[np.arange(count) % _CHUNK]
    np.cumsum(terms, out=sums[1:])
    first = start % _CHUNK
    # A word across the edge of a chunk is summed in two parts.
    crossing = first + (end - start) > _CHUNK
    hashes = (sums[end] - sums[start]) * _INVERSES[first]
    if crossing.any():
        edge = (start[crossing] // _CHUNK + 1) * _CHUNK
        stop = np.minimum(end[crossing], edge + _CHUNK)
        left = (sums[edge] - sums[start[crossing]]) * _INVERSES[first[crossing]]
        lift = _POWERS[(edge - start[crossing]) % _CHUNK]
        hashes[crossing] = left + (sums[stop] - sums[edge]) * lift
    return _mixed(hashes)


def _mixed(hashes: Hashes) -> Hashes:
    # The first letter only reaches the low bits of the sum: mix, so that every letter reaches every bit.
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(_MIX)
    return hashes ^ (hashes >> np.uint64(29))


def hash_word(word: str) -> int:
    """Return the hash of one word, as `tokenize` computes it."""
    folded = fold_codes(code_points(word))
    return int(_word_hashes(folded, np.array([0]), np.array([len(folded)]))[0])


def hash_letters(folded: str) -> int:
    """Return the hash of one folded word, like `hash_word`, without arrays."""
    total, power = 0, 1
    for char in folded:
        total += (ord(char) + 7) * power
        power = power * _BASE & _MASK
    total &= _MASK
    total ^= total >> 31
    total = total * _MIX & _MASK
    return total ^ (total >> 29)


def tokenize(text: str) -> Tokens:
    """Return the words of a text: runs of letters and digits."""
    codes = code_points(text)
    classes = _CLASS.take(codes, mode="clip")
    inside = np.zeros(len(codes) + 2, dtype=np.bool_)
    np.greater(classes, 0, out=inside[1:-1])
    edges = (inside[1:] != inside[:-1]).nonzero()[0]
    start, end = edges[::2], edges[1::2]
    folded = fold_codes(codes)
    if not len(start):
        nothing = np.zeros(0, dtype=np.int64)
        return Tokens(start, end, nothing, nothing, np.zeros(0, dtype=np.uint64), (nothing, nothing, nothing), nothing)
    return Tokens(
        start,
        end,
        _shapes(classes, start, end),
        _gaps(codes, start, end),
        _word_hashes(folded, start, end),
        _tails(folded, start, end),
        _heads(folded, start, end),
    )


_BITS: Final = 21
_COUNT: Final = (1 << _BITS) - 1
_COUNTED: Final = np.array([0, 1, 1 << _BITS, 1 << 2 * _BITS], dtype=np.int64)


def _shape_of(marks: int) -> int:
    small, capital, large, one, digit, digits = (bool(marks >> bit & 1) for bit in range(5, -1, -1))
    if digits:
        return DIGITS
    if digit:
        return ALNUM
    if large:
        return INITIAL if one else SHOUTED
    if small:
        return LOWER_WORD
    return CAPITAL if capital and not one else MIXED


_SHAPE_OF: Final = np.array([_shape_of(marks) for marks in range(64)], dtype=np.int64)


def _shapes(classes: Ints, start: Ints, end: Ints) -> Ints:
    length = end - start
    sums = np.zeros(len(classes) + 1, dtype=np.int64)
    np.cumsum(_COUNTED.take(classes), out=sums[1:])  # three counts in one number
    counts = sums[end] - sums[start]
    lower, upper, digit = counts & _COUNT, (counts >> _BITS) & _COUNT, counts >> 2 * _BITS
    digits = digit == length
    marks = (lower == length).view(np.int8) << 1
    marks |= (lower == length - 1) & (classes[start] == _UPPER)
    marks <<= 1
    marks |= upper == length
    marks <<= 1
    marks |= length == 1
    marks <<= 1
    marks |= digit > 0
    marks <<= 1
    marks |= digits
    shape: Ints = _SHAPE_OF.take(marks)
    shape += digits * np.minimum(length, 6)
    return shape


def _gaps(codes: Codes, start: Ints, end: Ints) -> Ints:
    gap = np.empty(len(start), dtype=np.int64)
    gap[0] = NEWLINE
    if len(start) > 1:
        # Between words there is at least one character, so the two-step slices below are never empty.
        borders = np.empty(2 * len(start) - 2, dtype=np.int64)
        borders[::2] = end[:-1]
        borders[1::2] = start[1:]
        gap[1:] = np.maximum.reduceat(_GAP.take(codes, mode="clip"), borders)[::2]
    return gap


_BACK: Final = np.array([[1], [2], [3], [4]], dtype=np.int64)


def _tails(folded: Codes, start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    at = end - _BACK
    letters = folded.take(np.maximum(at, 0)).astype(np.int64)
    letters &= 0xFF
    letters *= at >= start
    two = letters[0] | letters[1] << 8
    three = two | letters[2] << 16
    return two, three, three | letters[3] << 24


_FORTH: Final = np.array([[0], [1], [2]], dtype=np.int64)


def _heads(folded: Codes, start: Ints, end: Ints) -> Ints:
    at = start + _FORTH
    letters = folded.take(np.minimum(at, len(folded) - 1)).astype(np.int64)
    letters &= 0xFF
    letters *= at < end
    packed: Ints = letters[0] | letters[1] << 8 | letters[2] << 16
    return packed


class Gazetteer:
    """What is known about words: a sorted array of hashes with flags."""

    def __init__(self, hashes: npt.NDArray[np.uint32], flags: npt.NDArray[np.uint16]) -> None:
        self._hashes = hashes
        self._flags = flags

    def look_up(self, tokens: Tokens) -> Ints:
        """Return the flags of each word, 0 for unknown ones."""
        short = (tokens.hash >> np.uint64(32)).astype(np.uint32)
        at = np.minimum(np.searchsorted(self._hashes, short), len(self._hashes) - 1)
        flags: Ints = np.where(self._hashes[at] == short, self._flags[at], 0).astype(np.int64)
        return flags

    def flags_of(self, word_hash: int) -> int:
        """Return the flags of one word."""
        short = np.uint32(word_hash >> 32)
        at = min(int(np.searchsorted(self._hashes, short)), len(self._hashes) - 1)
        return int(self._flags[at]) if self._hashes[at] == short else 0
