"""A word model from its file, and what the detectors built on it share."""

from pathlib import Path
from typing import Final

import numpy as np

from greffier.guardrails.detectors.learned.attack_features import shared_features
from greffier.guardrails.detectors.learned.model_files import insist_on, load_model
from greffier.guardrails.detectors.learned.text import Floats
from greffier.guardrails.detectors.learned.wording import WordModel, Words, shared_words

NEAR: Final = "near"
"""Rule of findings below the threshold."""


class WordWindows:
    """Reads the file of a `WordModel`.

    Attributes:
        shown: Calibrated margin from which a stretch is worth a finding; the threshold is at 0, above it.
        spread: What margins are divided by to calibrate them.
    """

    def __init__(self, name: str, models: Path, lexicons: Path) -> None:
        arrays, self.digest = load_model(name, models)
        self._reader = shared_words(lexicons)
        self._scan = shared_features(lexicons).scan
        insist_on(str(arrays["lexicons"]), self._reader.digest, name)
        self.shown = float(arrays["shown"])
        self.spread = float(arrays["spread"])
        self._model = WordModel(
            self._reader,
            arrays["words"].astype(np.float64),
            arrays["ideas"].astype(np.float64),
            arrays["pairs"].astype(np.float64),
            float(arrays["bias"]),
        )

    def read(self, text: str) -> Words:
        """Return the words of a text; almost all of it is work that other models' scan has done."""
        return self._reader.read(text, self._scan.look(text).words)

    def margins(self, words: Words) -> Floats:
        """Return the margin of each window."""
        return self._model.margins(words)

    def reason(self, words: Words, window: int) -> str:
        """Return the ideas that weighed most in a window."""
        return self._model.reason(words, window)


def runs(margins: Floats, least: float) -> list[tuple[int, int]]:
    """Return (first, one past the last) of each run of windows that reach a margin."""
    hot = np.concatenate(([0], (margins >= least).astype(np.int8), [0]))
    return [(int(first), int(stop)) for first, stop in np.flatnonzero(np.diff(hot)).reshape(-1, 2)]


def probability(margin: float) -> float:
    """Return the score of a margin; 0.5 at the threshold."""
    return float(1 / (1 + np.exp(-min(max(margin, -30.0), 30.0))))
