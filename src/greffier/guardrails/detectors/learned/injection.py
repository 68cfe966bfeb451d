"""Prompt injection and jailbreak, by concepts and words in overlapping windows; provenance-aware."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.attack_features import BLOCK, Windows, shared_features
from greffier.guardrails.detectors.learned.grams import grams, share
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.text import Floats
from greffier.guardrails.mentions import Mentions
from greffier.guardrails.ports import Passage

SHOWN: Final = 0.1
"""Score from which windows become findings. Rules of screens act from 0.5 on, which two in a hundred harmless texts
reach that were written to mislead; what is below says only how close a text came."""

_CERTAIN: Final = 0.85
_STEPS: Final = (0.0, 1.0, 2.0, 3.0, 5.0)  # how far words lie below the first look; a gate for each
_MENTIONED: Final = 0.28
_QUOTED: Final = 0.3
_ASKING: Final = frozenset({"user", "assistant", "system"})
_BLOCK_OF: Final = {"document": 1, "tool_output": 2, "tool_call": 2}
_PERSONA: Final = ("PERSONA", "UNRESTR", "JBWORDS", "MODETAG")
_OVERRIDE: Final = ("OVERRIDE", "SYSPROMPT", "NEWI", "ROLEMARK")


class InjectionModel:
    """Linear model over concepts, pairs of concepts and hashed words; weights differ for user text and what is read."""

    name = "injection_model"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model("injection", models)
        self._features = shared_features(lexicons)
        insist_on(str(arrays["lexicons"]), self._features.digest, "injection")
        self._concepts = arrays["concepts"].astype(np.float64)
        self._words = arrays["words"].astype(np.int8)
        self._step = float(arrays["step"])
        self._bias = arrays["bias"].astype(np.float64)
        self._scale = float(arrays["scale"])
        self.version = f"2-{self.digest[:12]}"
        self._first = float(arrays["first"])
        self._gates = tuple(
            tuple(self._features.gate(weights, step - self._first) for step in _STEPS) for weights in self._concepts
        )
        concepts = self._features.concepts
        self._persona = np.array([concepts.index(concept) for concept in _PERSONA])
        self._override = np.array([concepts.index(concept) for concept in _OVERRIDE])

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the whole passage, below the threshold too."""
        source = _BLOCK_OF.get(passage.provenance, 0)
        return {"injection": self._probability(float(self._margins(passage.text, source)[0].max()))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every stretch of windows that reads like an attack, and for the likeliest that might."""
        return self._examined(passage, self._first)

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Have the model look for concepts too, whatever the words say."""
        return self._examined(passage, -np.inf)

    def _examined(self, passage: Passage, first: float) -> tuple[Finding, ...]:
        found = self._read(passage, first)
        return self._without_mentions(passage, found) if found and passage.provenance in _ASKING else found

    def _without_mentions(self, passage: Passage, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Scores after the question whether the user only talks about what is quoted."""
        mentions = Mentions(passage.text)
        if mentions.about_security and max(finding.score for finding in found) < _CERTAIN:
            return _at_most(_MENTIONED, found)
        quoted = self._read(Passage(mentions.quotations, passage.provenance), self._first) if mentions.framed else ()
        if max((finding.score for finding in quoted), default=0.0) < _QUOTED:
            return found  # what is quoted does not explain what was found
        rest = self._read(Passage(mentions.rest, passage.provenance, passage.lang), self._first)
        score = max((finding.score for finding in rest), default=_MENTIONED)
        return _at_most(score, found)  # spans stay those of the whole text, where the reader looks

    def _read(self, passage: Passage, first: float) -> tuple[Finding, ...]:
        source = _BLOCK_OF.get(passage.provenance, 0)
        by_words = self._by_words(passage.text, min(source, 1)) + self._bias[source]
        if by_words.max() < first and not self._made_up(passage.text, float(by_words.max()), min(source, 1)):
            return ()
        margins, windows = self._margins(passage.text, source, by_words)
        strongest = int(margins.argmax())
        if self._probability(float(margins[strongest])) < SHOWN:
            return ()
        hot = margins >= min(0.0, margins[strongest])
        kind = self._kind(windows, hot, source)
        findings = []
        edges = np.flatnonzero(np.diff(np.concatenate(([0], hot.astype(np.int8), [0]))))
        for begin, stop in edges.reshape(-1, 2):
            peak = int(begin + margins[begin:stop].argmax())
            findings.append(
                Finding(
                    detector=self.name,
                    type=kind,
                    start=windows.span(int(begin))[0],
                    end=windows.span(int(stop) - 1)[1],
                    score=self._probability(float(margins[peak])),
                    rule=self._reason(windows, peak, source),
                )
            )
        return tuple(findings)

    def _made_up(self, text: str, by_words: float, inside: int) -> bool:
        """Whether the text's concepts could make up for its words, so that both reach zero: never no where they do."""
        level = sum(step <= self._first - by_words for step in _STEPS) - 1
        return self._gates[inside][level].open(self._features.scan.look(text))

    def _margins(self, text: str, source: int, by_words: Floats | None = None) -> tuple[Floats, Windows]:
        inside = min(source, 1)
        if by_words is None:
            by_words = self._by_words(text, inside) + self._bias[source]
        windows = self._features.windows(text)
        weights = self._concepts[inside, windows.columns]
        margins: Floats = by_words + np.bincount(windows.rows, weights=weights, minlength=windows.count)
        return margins, windows

    def _by_words(self, text: str, inside: int) -> Floats:
        """Return what the words of each window weigh; window w holds blocks w and w + 1."""
        count = max(2, -(-len(text) // BLOCK))
        seen = grams(text)
        blocks = seen.blocks(len(text), BLOCK)
        worth = np.bincount(blocks, weights=self._words[inside].take(seen.buckets), minlength=count) * self._step
        number = np.bincount(blocks, minlength=count).astype(np.float64)
        weighed: Floats = (worth[:-1] + worth[1:]) * share(number[:-1] + number[1:])
        return weighed

    def _probability(self, margin: float) -> float:
        return float(1 / (1 + np.exp(-min(max(margin * self._scale, -30.0), 30.0))))

    def _kind(self, windows: Windows, hot: np.ndarray, source: int) -> str:
        if source:
            return "indirect_injection"
        present = windows.columns[hot[windows.rows]]
        persona = np.isin(present, self._persona).sum()
        return "jailbreak" if persona > np.isin(present, self._override).sum() else "prompt_injection"

    def _reason(self, windows: Windows, window: int, source: int) -> str:
        """Return the concepts that weighed most, so that a person can see why; words alone have no names."""
        columns = windows.columns[windows.rows == window]
        weights = self._concepts[min(source, 1), columns]
        best = np.argsort(-weights, kind="stable")[:3]
        return " ".join(self._features.name(int(columns[index])) for index in best if weights[index] > 0) or "words"


def _at_most(score: float, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(msgspec.structs.replace(finding, score=min(finding.score, score)) for finding in found)
