"""What the injection model sees besides concepts: words, neighbouring words and pieces of words, hashed.

Concepts (`attack_features`) transfer between languages but are blind to words that no lexicon lists: how somebody talks
to an assistant, what a planted order looks like, what people call a game. Everything is hashed into a fixed number of
buckets, so nothing needs a vocabulary and any text of one length costs the same.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.concept_gate import squeezed_codes
from greffier.guardrails.detectors.learned.text import Floats, Ints

BITS: Final = 18
"""Buckets, as a power of two."""

Hashes = npt.NDArray[np.uint32]
_LETTERS: Final = 16  # of a word; what follows tells hardly any words apart
_STEM: Final = 5
_PIECE: Final = 4
_ZERO: Final = np.uint32(48)
_DIGITS: Final = np.uint32(10)
_SPACE: Final = np.uint32(32)
_SMOOTHING: Final = 30.0
_POWERS: Final[Hashes] = np.cumprod(np.full(_LETTERS, 0x01000193, dtype=np.uint32), dtype=np.uint32)
_NEXT: Final = _POWERS[5]
_REACH: Final = np.arange(_LETTERS)
_SALTS: Final = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], dtype=np.uint32)
_TURNS: Final = (np.uint32(0x7FEB352D), np.uint32(0x846CA68B))
_SHIFTS: Final = (np.uint32(15), np.uint32(32 - BITS))
_EMPTY: Final[Ints] = np.zeros(0, dtype=np.int64)


class Grams(msgspec.Struct, frozen=True):
    """Buckets of everything seen, and where it stands.

    Attributes:
        buckets: One per occurrence.
        places: Offset in the text at which the occurrence begins.
    """

    buckets: Ints
    places: Ints

    def blocks(self, length: int, block: int) -> Ints:
        """Return in which block of a text of this length each occurrence stands."""
        return np.minimum(self.places, max(length - 1, 0)) // block


def share(count: Floats) -> Floats:
    """What one occurrence counts among so many in its window."""
    return np.asarray(1.0 / np.sqrt(count + _SMOOTHING), dtype=np.float64)


def grams(text: str) -> Grams:
    """Return what is seen in a text. Cost is linear in its length."""
    codes, origin = squeezed_codes(text)
    codes = np.where(codes - _ZERO < _DIGITS, _ZERO, codes)  # every number looks alike; below zero wraps around
    edges = np.flatnonzero(np.diff(codes == _SPACE)) + 1
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return Grams(_EMPTY, _EMPTY)
    letters = codes.take(begins[:, np.newaxis] + _REACH, mode="clip") * _POWERS
    letters *= (ends - begins)[:, np.newaxis] > _REACH
    stems = letters[:, :_STEM].sum(axis=1, dtype=np.uint32)
    count = len(codes) - _PIECE + 1
    pieces = codes[:count] * _POWERS[0]
    for offset in range(1, _PIECE):
        pieces += codes[offset : count + offset] * _POWERS[offset]
    words = letters.sum(axis=1, dtype=np.uint32)
    at = origin[begins]
    hashes = np.concatenate(
        (words ^ _SALTS[0], stems ^ _SALTS[1], (stems[:-1] * _NEXT + stems[1:]) ^ _SALTS[2], pieces ^ _SALTS[3])
    )
    hashes *= _TURNS[0]
    hashes ^= hashes >> _SHIFTS[0]
    hashes *= _TURNS[1]
    return Grams(
        buckets=(hashes >> _SHIFTS[1]).astype(np.int64), places=np.concatenate((at, at, at[:-1], origin[:count]))
    )
