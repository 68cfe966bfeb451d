"""Toxic language: insults, threats, hate. All words of a text (`wording`), and how words of contempt are meant."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Final

from greffier.core.rulings import LIKELY, Finding
from greffier.guardrails.detectors.learned.concepts import shared_concepts
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS
from greffier.guardrails.detectors.learned.tone import Reading
from greffier.guardrails.detectors.learned.tone_model import ToneModel
from greffier.guardrails.detectors.learned.word_windows import NEAR, WordWindows, probability, runs
from greffier.guardrails.detectors.learned.wording import Words, window_spans
from greffier.guardrails.ports import Passage

FLAG: Final = LIKELY
"""Score from which a text is taken for toxic; calibrated to five false positives in a hundred of the hardest texts:
anger at things, reports and condemnation of abuse, idioms, praise of groups, by authors the models did not know."""
SHARE: Final = 1.4
"""What the tone of the worst sentence counts, against the words around it."""

_Readings = Sequence[tuple[Reading, float]]


class Toxicity:
    """A text is as toxic as its worst stretch of some dozens of words.

    A finding below `FLAG` is a measurement of the whole text: it says how near it came; no rule of the default screen
    acts on it.
    """

    name = "toxicity"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        self._words = WordWindows("toxicity_words", models, lexicons)
        self._tone = ToneModel(models, lexicons)
        self._watched = shared_concepts(lexicons).watched_shift
        self.digest = self._words.digest
        self.version = f"3-{self.digest[:8]}-{self._tone.digest[:8]}"

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the worst stretch, however low."""
        words, readings = self._words.read(passage.text), self._tone.read(passage.text)
        return {"toxicity": probability(max(self._margins(passage.text, words, readings)))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every run of stretches that came near the threshold."""
        return self._found(passage.text, self._tone.read(passage.text) if self.asks(passage) else ())

    def asks(self, passage: Passage) -> bool:
        """Whether the tone of a text is worth reading; almost free, as its words are read anyway."""
        held = reduce(or_, self._words.read(passage.text).meanings)
        return self._tone.worth_reading(held >> self._watched)

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Read the tone of the text, whichever words it holds; finds the same as `examine`."""
        return self._found(passage.text, self._tone.read(passage.text))

    def _margins(self, text: str, words: Words, readings: _Readings) -> list[float]:
        margins, silence, spread = self._words.margins(words), self._tone.silence, self._words.spread
        if not readings:
            return [(margin + SHARE * silence) / spread for margin in margins]
        spans = [(0, len(text))] if len(margins) == 1 else window_spans(text)
        tone = [
            max((margin for one, margin in readings if one.start < end and start < one.end), default=silence)
            for start, end in spans
        ]
        return [(margin + SHARE * meant) / spread for margin, meant in zip(margins, tone, strict=True)]

    def _found(self, text: str, readings: _Readings) -> tuple[Finding, ...]:
        words = self._words.read(text)
        margins = self._margins(text, words, readings)
        highest = max(margins)
        if highest < self._words.shown:
            return ()
        if highest < 0:
            return (Finding(self.name, "toxicity", 0, len(text), probability(highest), rule=NEAR),)
        found = []
        spans = window_spans(text)
        for first, stop, peak in runs(margins, self._words.shown):
            start, end = spans[first][0], spans[stop - 1][1]
            meant = [(one, margin) for one, margin in readings if margin >= 0 and one.start < end and start < one.end]
            reason = self._words.reason(words, peak)
            if meant:  # the sentences that hold the contempt, not the harmless ones around them
                start, end = min(one.start for one, _ in meant), max(one.end for one, _ in meant)
                reason = self._tone.reason(max(meant, key=lambda one: one[1])[0])
            found.append(Finding(self.name, "toxicity", start, end, probability(margins[peak]), rule=reason))
        return tuple(found)
