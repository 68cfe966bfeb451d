"""What the models for toxicity and disallowed topics see: concepts, their pairs, and hashed words, of a stretch of text."""

from pathlib import Path
from typing import Final

import numpy as np

from greffier.guardrails.detectors.learned.attack_features import AttackFeatures
from greffier.guardrails.detectors.learned.text import Floats, Ints
from greffier.guardrails.detectors.learned.tokens import Hashes, tokenize

BUCKETS: Final = 1 << 15


class HarmFeatures:
    """Concepts and pairs count once; hashed words and word pairs are scaled by the length, so long texts stay comparable."""

    def __init__(self, lexicons: Path) -> None:
        self._concepts = AttackFeatures(lexicons)
        self.digest = self._concepts.digest
        self.concept_count = self._concepts.features

    def name(self, feature: int) -> str:
        """Return a readable name of a concept feature."""
        return self._concepts.name(feature)

    def vector(self, text: str) -> tuple[Ints, Floats]:
        """Return (features, values) of a text."""
        concepts = np.unique(self._concepts.windows(text).columns)
        hashes = tokenize(text).hash
        words = np.unique(np.concatenate((_bucket(hashes), _bucket(hashes[1:] + hashes[:-1] * np.uint64(3)))))
        columns = np.concatenate((concepts, words + self.concept_count))
        scale = 1.0 / np.sqrt(max(len(words), 8))
        return columns, np.concatenate((np.ones(len(concepts)), np.full(len(words), 3 * scale)))


def _bucket(hashes: Hashes) -> Ints:
    return (hashes >> np.uint64(49)).astype(np.int64)
