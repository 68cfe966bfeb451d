"""Requests about disallowed topics: a linear model over concepts and their pairs, per window."""

from pathlib import Path
from typing import Final

import numpy as np

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.attack_features import Windows, shared_features
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.text import Floats
from greffier.guardrails.ports import Passage

FLAG: Final = 0.5
"""Score from which a window becomes a finding; calibrated to five false positives in a hundred harmless texts."""


class HarmModel:
    """One linear model over the windows of a text."""

    def __init__(self, name: str, finding: str, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model(name, models)
        self._features = shared_features(lexicons)
        insist_on(str(arrays["lexicons"]), self._features.digest, name)
        self._weights = arrays["weights"].astype(np.float64)
        self._bias = float(arrays["bias"])
        self._gate = self._features.gate(self._weights, -self._bias)
        self._finding = finding
        self.name = name
        self.version = f"1-{self.digest[:12]}"

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the strongest window, below the threshold too."""
        return {self._finding: _probability(float(self._margins(self._features.windows(passage.text)).max()))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every stretch of windows above the threshold."""
        return self.examine_closely(passage) if self._gate.open(self._features.scan.look(passage.text)) else ()

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Have the model read the text, whichever concepts it holds; finds the same as `examine`."""
        windows = self._features.windows(passage.text)
        margins = self._margins(windows)
        hot = np.concatenate(([0], (margins >= 0).astype(np.int8), [0]))
        findings = []
        for first, stop in np.flatnonzero(np.diff(hot)).reshape(-1, 2).tolist():
            peak = int(first + margins[first:stop].argmax())
            findings.append(
                Finding(
                    detector=self.name,
                    type=self._finding,
                    start=windows.span(first)[0],
                    end=windows.span(stop - 1)[1],
                    score=_probability(float(margins[peak])),
                    rule=self._reason(windows, peak),
                )
            )
        return tuple(findings)

    def _margins(self, windows: Windows) -> Floats:
        sums = np.bincount(windows.rows, weights=self._weights[windows.columns], minlength=windows.count)
        return np.asarray(sums + self._bias, dtype=np.float64)

    def _reason(self, windows: Windows, window: int) -> str:
        """Return the concepts that weighed most."""
        columns = windows.columns[windows.rows == window]
        weights = self._weights[columns]
        best = np.argsort(-weights, kind="stable")[:3]
        return " ".join(self._features.name(int(columns[index])) for index in best if weights[index] > 0)


def _probability(margin: float) -> float:
    return float(1 / (1 + np.exp(-min(max(margin, -30.0), 30.0))))


class Disallowed(HarmModel):
    """Requests for help with weapons, drugs, malware, fraud, violence, self-harm, stalking, abuse, disinformation."""

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        super().__init__("disallowed", "disallowed_topic", models, lexicons)
