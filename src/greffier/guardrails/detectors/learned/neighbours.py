"""What two words beside each other are worth: "your rules" tells more than "your" and "rules"."""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.text import Ints
from greffier.guardrails.detectors.learned.wording import BLOCK, Words

BITS: Final = 18
SIZE: Final = 1 << BITS
"""Places of the table of neighbours."""

_FIRST: Final = np.uint32(0x9E3779B1)
_SECOND: Final = np.uint32(0x85EBCA77)
_SHIFT: Final = np.uint32(32 - BITS)


def neighbours(words: Words) -> Ints:
    """Return the place of each word and the next one, by their stems; one fewer than words."""
    stems = words.store.stems.take(words.rows)
    return np.asarray((stems[:-1] * _FIRST + stems[1:] * _SECOND) >> _SHIFT, dtype=np.int64)


def sums(weights: npt.NDArray[np.int8], places: Ints, windows: int) -> list[int]:
    """Return what the neighbours of each window weigh; a pair belongs where its first word stands."""
    if not len(places):
        return [0] * windows
    blocks = np.arange(0, len(places), BLOCK)
    totals: list[int] = np.add.reduceat(weights.take(places), blocks, dtype=np.int64).tolist()
    if windows == 1 and len(totals) == 1:
        return totals
    totals += [0] * (windows + 1 - len(totals))  # a last block of one word begins no pair
    return [first + second for first, second in pairwise(totals)]
