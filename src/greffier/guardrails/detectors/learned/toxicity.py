"""Toxic language: insults, threats, slurs, hate. A linear model over how words of contempt are meant (`tone`)."""

from pathlib import Path
from typing import Final

import numpy as np

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.attack_features import shared_features
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.tone import Reading, ToneReader
from greffier.guardrails.ports import Passage

FLAG: Final = 0.5
"""Score from which a sentence becomes a finding; calibrated to five false positives in a hundred of the hardest texts:
counter-speech, negation, quotation, praise of groups."""

_REASONS: Final = 3


class Toxicity:
    """Reads each sentence that holds a word of `toxic.txt`; a text is as toxic as its worst sentence."""

    name = "toxicity"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model("toxicity", models)
        self._reader = ToneReader(lexicons, arrays["ordinary"].tolist())
        insist_on(str(arrays["lexicons"]), self._reader.digest, "toxicity")
        weights = arrays["weights"].astype(np.float64).tolist()
        self._weights: dict[str, float] = dict(zip(arrays["features"].tolist(), weights, strict=True))
        self._bias = float(arrays["bias"])
        self._scan = shared_features(lexicons).scan
        self.version = f"2-{self.digest[:12]}"

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the worst sentence, below the threshold too."""
        margins = [self._margin(reading) for reading in self._reader.read(passage.text)[1]]
        return {"toxicity": _probability(max(margins, default=self._bias))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every run of sentences above the threshold."""
        return self.examine_closely(passage) if self.asks(passage) else ()

    def asks(self, passage: Passage) -> bool:
        """Whether a text holds words for which it is worth reading; almost free, as other models scan it too."""
        return self._reader.words.worth_reading(self._scan.look(passage.text).watched)

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Read the text, whichever words it holds; finds the same as `examine`."""
        held, readings = self._reader.read(passage.text)
        if not self._reader.words.worth_reading(held):
            return ()
        found: list[Finding] = []
        last = -1
        for index, reading in enumerate(readings):
            margin = self._margin(reading)
            if margin < 0:
                continue
            finding = Finding(
                detector=self.name,
                type="toxicity",
                start=reading.start,
                end=reading.end,
                score=_probability(margin),
                rule=self._reason(reading),
            )
            if found and last == index - 1:  # sentences in a row are one finding, with the worst one's reason
                before = found.pop()
                worst = max(before, finding, key=lambda one: one.score)
                finding = Finding(
                    detector=self.name,
                    type="toxicity",
                    start=before.start,
                    end=reading.end,
                    score=worst.score,
                    rule=worst.rule,
                )
            found.append(finding)
            last = index
        return tuple(found)

    def _margin(self, reading: Reading) -> float:
        weights = self._weights
        return self._bias + sum(weights.get(feature, 0.0) for feature in sorted(reading.features))

    def _reason(self, reading: Reading) -> str:
        """Return the features that weighed most."""
        weighed = sorted((-self._weights.get(feature, 0.0), feature) for feature in reading.features)
        return " ".join(feature for weight, feature in weighed[:_REASONS] if weight < 0)


def _probability(margin: float) -> float:
    return float(1 / (1 + np.exp(-min(max(margin, -30.0), 30.0))))
