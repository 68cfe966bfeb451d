"""A linear model over how words of contempt are meant: a margin for every sentence that holds one."""

from pathlib import Path
from typing import Final

import numpy as np

from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.tone import Reading, ToneReader

_MOST: Final = 4.0
"""Beyond this a margin says nothing more."""
_REASONS: Final = 3


class ToneModel:
    """Reads the sentences of a text that hold a word of `toxic.txt`."""

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model("toxicity", models)
        self.reader = ToneReader(lexicons, arrays["ordinary"].tolist())
        insist_on(str(arrays["lexicons"]), self.reader.digest, "toxicity")
        weights = arrays["weights"].astype(np.float64).tolist()
        self._weights: dict[str, float] = dict(zip(arrays["features"].tolist(), weights, strict=True))
        self._bias = float(arrays["bias"])
        self.silence = max(self._bias, -_MOST)
        """The margin of a sentence without such a word."""

    def worth_reading(self, held: int) -> bool:
        """Whether a text with these watched concepts (bits) can hold contempt."""
        return self.reader.words.worth_reading(held)

    def read(self, text: str) -> list[tuple[Reading, float]]:
        """Return the sentences with their margins; none if the text is not worth reading."""
        held, readings = self.reader.read(text)
        return [(one, self._margin(one)) for one in readings] if self.worth_reading(held) else []

    def margin(self, text: str) -> float:
        """Return the margin of the worst sentence."""
        return max((margin for _, margin in self.read(text)), default=self.silence)

    def _margin(self, reading: Reading) -> float:
        weights = self._weights
        margin = self._bias + sum(weights.get(feature, 0.0) for feature in sorted(reading.features))
        return min(max(margin, -_MOST), _MOST)

    def reason(self, reading: Reading) -> str:
        """Return the features that weighed most."""
        weighed = sorted((-self._weights.get(feature, 0.0), feature) for feature in reading.features)
        return " ".join(feature for weight, feature in weighed[:_REASONS] if weight < 0)
