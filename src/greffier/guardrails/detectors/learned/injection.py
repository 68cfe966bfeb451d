"""Prompt injection and jailbreak, by concepts and words in overlapping windows; provenance-aware."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.neighbours import neighbours, sums
from greffier.guardrails.detectors.learned.word_windows import NEAR, probability, runs
from greffier.guardrails.detectors.learned.wording import WordSums, numbers, shared_words, window_spans
from greffier.guardrails.mentions import Mentions
from greffier.guardrails.ports import Passage

SHOWN: Final = 0.01
"""Score from which there is a finding. Rules of screens act from 0.5 on, which two in a hundred harmless texts reach
that were written to mislead; what is below measures the whole text: it says how near it came."""
_DOUBTFUL: Final = 0.1
"""Score from which it is asked whether the user only talks about attacks."""

_CERTAIN: Final = 0.85
_MENTIONED: Final = 0.28
_QUOTED: Final = 0.3
_KEPT: Final = 1 << 14
"""Sets of concepts whose weight is kept."""
_ASKING: Final = frozenset({"user", "assistant", "system"})
_BLOCK_OF: Final = {"document": 1, "tool_output": 2, "tool_call": 2}
_PERSONA: Final = ("PERSONA", "UNRESTR", "JBWORDS", "MODETAG")
_OVERRIDE: Final = ("OVERRIDE", "SYSPROMPT", "NEWI", "ROLEMARK")


class InjectionModel:
    """Linear model over words, neighbouring words and concepts; weights differ for user text and what is read."""

    name = "injection_model"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model("injection", models)
        self._reader = shared_words(lexicons)
        concepts = self._reader.concepts
        insist_on(str(arrays["lexicons"]), concepts.attack_digest, "injection")
        self._names = concepts.concepts
        self._shift, self._mask = concepts.concept_shift, (1 << len(concepts.concepts)) - 1
        self.version = f"3-{self.digest[:12]}"
        self._bias: list[float] = arrays["bias"].tolist()
        self._step = float(arrays["step"])
        self._words = tuple(map(WordSums, arrays["words"]))
        self._neighbours = arrays["neighbours"].astype(np.int8)
        self._concepts: list[list[float]] = arrays["concepts"].astype(np.float64).tolist()
        self._worth: tuple[dict[int, float], ...] = ({}, {})
        self._persona = self._bits(_PERSONA)
        self._override = self._bits(_OVERRIDE)

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the whole passage, below the threshold too."""
        return {"injection": probability(max(self._margins(passage)[0]))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every stretch that reads like an attack, or one for how near the text came."""
        found = self._read(passage)
        if passage.provenance not in _ASKING or max((finding.score for finding in found), default=0.0) < _DOUBTFUL:
            return found
        return self._without_mentions(passage, found)

    def _without_mentions(self, passage: Passage, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Scores after the question whether the user only talks about what is quoted."""
        mentions = Mentions(passage.text)
        if mentions.about_security and max(finding.score for finding in found) < _CERTAIN:
            return _at_most(_MENTIONED, found)
        quoted = self._read(Passage(mentions.quotations, passage.provenance)) if mentions.framed else ()
        if max((finding.score for finding in quoted), default=0.0) < _QUOTED:
            return found  # what is quoted does not explain what was found
        rest = self._read(Passage(mentions.rest, passage.provenance, passage.lang))
        score = max((finding.score for finding in rest), default=_MENTIONED)
        return _at_most(score, found)  # spans stay those of the whole text, where the reader looks

    def _read(self, passage: Passage) -> tuple[Finding, ...]:
        margins, concepts = self._margins(passage)
        strongest = max(margins)
        if not passage.text or probability(strongest) < SHOWN:
            return ()
        inside = passage.provenance in _BLOCK_OF
        if strongest < 0:
            kind = "indirect_injection" if inside else self._kind(concepts)
            return (Finding(self.name, kind, 0, len(passage.text), probability(strongest), rule=NEAR),)
        spans = window_spans(passage.text)
        found = []
        for first, stop, peak in runs(margins, 0.0):
            found.append(
                Finding(
                    detector=self.name,
                    type="indirect_injection" if inside else self._kind(concepts[first:stop]),
                    start=spans[first][0],
                    end=spans[stop - 1][1],
                    score=probability(margins[peak]),
                    rule=self._reason(concepts[peak], int(inside)),
                )
            )
        return tuple(found)

    def _margins(self, passage: Passage) -> tuple[list[float], list[int]]:
        """Return the margin and the concepts (bits) of each window."""
        source = _BLOCK_OF.get(passage.provenance, 0)
        inside = min(source, 1)
        words = self._reader.read(passage.text)
        concepts = [held >> self._shift & self._mask for held in words.meanings]
        step, bias = self._step, self._bias[source]
        margins = [
            ((of_words + of_pairs) * share + self._worth_of(held, inside)) * step + bias
            for of_words, of_pairs, share, held in zip(
                self._words[inside].of(words),
                sums(self._neighbours[inside], neighbours(words), len(concepts)),
                words.shares,
                concepts,
                strict=True,
            )
        ]
        return margins, concepts

    def _worth_of(self, concepts: int, inside: int) -> float:
        """Return what concepts weigh; kept, because most windows hold few and the same."""
        kept = self._worth[inside]
        worth = kept.get(concepts)
        if worth is None:
            weights = self._concepts[inside]
            worth = sum(weights[one] for one in numbers(concepts))
            if len(kept) >= _KEPT:
                kept.clear()
            kept[concepts] = worth
        return worth

    def _bits(self, names: tuple[str, ...]) -> int:
        return sum(1 << self._names.index(name) for name in names)

    def _kind(self, concepts: list[int]) -> str:
        persona = sum((held & self._persona).bit_count() for held in concepts)
        override = sum((held & self._override).bit_count() for held in concepts)
        return "jailbreak" if persona > override else "prompt_injection"

    def _reason(self, concepts: int, inside: int) -> str:
        """Return the concepts that weighed most, so that a person can see why; words alone have no names."""
        weights = self._concepts[inside]
        best = sorted(numbers(concepts), key=lambda one: (-weights[one], one))[:3]
        return " ".join(self._names[one] for one in best if weights[one] > 0) or "words"


def _at_most(score: float, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(msgspec.structs.replace(finding, score=min(finding.score, score)) for finding in found)
