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


def _shift(values: Ints, by: int) -> Ints:
    """Return the values of the neighbour ``by`` words on; -1 beyond the text."""
    out = np.full_like(values, -1)
    if by > 0:
        out[:-by] = values[by:]
    else:
        out[-by:] = values[:by]
    return out


def feature_table(tokens: Tokens, flags: Ints) -> Ints:
    """Return (words x templates) feature numbers below `BUCKETS`."""
    shape, gap = tokens.shape, tokens.gap
    names, section = flags & 15, flags >> CATEGORY_SHIFT
    # A word written small is known by what it is, a word with a capital only by its kind: names must not be memorised.
    plain = (shape == LOWER_WORD) | (shape >= DIGITS)
    word = np.where(plain, (tokens.hash >> np.uint64(40)).astype(np.int64), -2 - section)
    kind = names + 16 * section + 512 * shape
    after = _shift(gap, 1)
    two, three, four = tokens.tail
    before1, next1 = _shift(kind, -1), _shift(kind, 1)
    before2, next2 = _shift(kind, -2), _shift(kind, 2)
    short = section + 32 * shape
    columns = (
        kind,
        kind * 8 + gap,
        kind * 8 + after,
        (kind * 8 + gap) * 8191 + before1,
        (kind * 8 + after) * 8191 + next1,
        ((before1 * 8 + gap) * 8191 + before2) * 16 + shape,
        ((next1 * 8 + after) * 8191 + next2) * 16 + shape,
        ((shape * 8 + gap) * 8 + after) * 32 * 32 + _shift(shape, -1) * 32 + _shift(shape, 1),
        two * 16 + shape,
        three * 16 + shape,
        four * 16 + shape,
        _shift(word, -1) * 128 + shape * 8 + gap,
        _shift(word, 1) * 128 + shape * 8 + after,
        _shift(word, -2) * 16 + shape,
        (_shift(short, -3) * 512 + _shift(short, -2)) * 512 + _shift(short, -1) * 16 + shape,
        (_shift(short, 3) * 512 + _shift(short, 2)) * 512 + _shift(short, 1) * 16 + shape,
        np.where(plain, word, -1) * 64 + gap * 8 + after,
        _shift(three, -1) * 128 + shape * 8 + gap,
        (_shift(names, -1) * 32 + names) * 32 + _shift(names, 1),
    )
    table = np.stack(columns, axis=1).astype(np.uint64)
    salt = (np.arange(len(columns), dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (table ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(48)).astype(np.int64)
