"""Requests about disallowed topics: help with weapons, drugs, malware, fraud, violence, stalking, forgery, hate."""

from pathlib import Path
from typing import Final

from greffier.core.rulings import LIKELY, Finding
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS
from greffier.guardrails.detectors.learned.word_windows import NEAR, WordWindows, probability, runs
from greffier.guardrails.detectors.learned.wording import Words, window_spans
from greffier.guardrails.ports import Passage

FLAG: Final = LIKELY
"""Score from which a text is taken for such a request; calibrated to five false positives in a hundred of the hardest
texts: prevention, law, history, fiction, medicine and idioms, by authors the model did not know."""


class Disallowed:
    """One linear model over all words of a text (`wording`), in stretches of some dozens.

    A finding below `FLAG` is a measurement of the whole text: it says how near it came; no rule of the default screen
    acts on it.
    """

    name = "disallowed"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        self._words = WordWindows("disallowed", models, lexicons)
        self.digest = self._words.digest
        self.version = f"2-{self.digest[:12]}"

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the strongest stretch, however low."""
        return {"disallowed_topic": probability(max(self._margins(self._words.read(passage.text))))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every run of stretches that came near the threshold."""
        words = self._words.read(passage.text)
        margins = self._margins(words)
        highest = max(margins)
        if highest < self._words.shown:
            return ()
        if highest < 0:
            score = probability(highest)
            return (Finding(self.name, "disallowed_topic", 0, len(passage.text), score, rule=NEAR),)
        spans = window_spans(passage.text)
        found = []
        for first, stop, peak in runs(margins, self._words.shown):
            found.append(
                Finding(
                    detector=self.name,
                    type="disallowed_topic",
                    start=spans[first][0],
                    end=spans[stop - 1][1],
                    score=probability(margins[peak]),
                    rule=self._words.reason(words, peak),
                )
            )
        return tuple(found)

    def _margins(self, words: Words) -> list[float]:
        spread = self._words.spread
        return [margin / spread for margin in self._words.margins(words)]
