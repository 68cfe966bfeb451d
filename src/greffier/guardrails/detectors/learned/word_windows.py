"""A word model from its file, and what the detectors built on it share."""

from collections.abc import Iterator
from itertools import groupby
from math import exp
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from greffier.guardrails.detectors.learned.model_files import insist_on, load_model
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
        concepts = self._reader.concepts
        insist_on(str(arrays["lexicons"]), concepts.idea_digest, name)
        self.shown = float(arrays["shown"])
        self.spread = float(arrays["spread"])
        self._model = WordModel(
            concepts.ideas,
            arrays["words"].astype(np.float64),
            arrays["ideas"].astype(np.float64),
            arrays["pairs"].astype(np.float64),
            float(arrays["bias"]),
        )

    def read(self, text: str) -> Words:
        """Return the words of a text; almost free where another model has read it."""
        return self._reader.read(text)

    def margins(self, words: Words) -> list[float]:
        """Return the margin of each window, before it is calibrated."""
        return self._model.margins(words)

    def reason(self, words: Words, window: int) -> str:
        """Return the ideas that weighed most in a window."""
        return self._model.reason(words, window)


class Run(NamedTuple):
    """Windows in a row that reach a margin: the first, one past the last, and the strongest."""

    first: int
    stop: int
    peak: int


def runs(margins: list[float], least: float) -> Iterator[Run]:
    """Yield each run of windows that reach a margin."""
    for hot, group in groupby(enumerate(margins), key=lambda one: one[1] >= least):
        if hot:
            run = list(group)
            yield Run(run[0][0], run[-1][0] + 1, max(run, key=lambda one: one[1])[0])


def probability(margin: float) -> float:
    """Return the score of a margin; 0.5 at the threshold."""
    return 1 / (1 + exp(-min(max(margin, -30.0), 30.0)))
