"""Prompt injection and jailbreak, by the grammar of attacks in overlapping windows; provenance-aware."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.attack_features import Windows, shared_features
from greffier.guardrails.detectors.learned.concept_gate import least_margin
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, insist_on, load_model
from greffier.guardrails.detectors.learned.text import Floats
from greffier.guardrails.mentions import Mentions
from greffier.guardrails.ports import Passage

FLAG: Final = 0.5
"""Score from which windows become findings; calibrated to one false positive in a hundred harmless texts."""

_CERTAIN: Final = 0.85
_ASKING: Final = frozenset({"user", "assistant", "system"})
_BLOCK_OF: Final = {"document": 1, "tool_output": 2, "tool_call": 2}
_PERSONA: Final = ("PERSONA", "UNRESTR", "JBWORDS", "MODETAG")
_OVERRIDE: Final = ("OVERRIDE", "SYSPROMPT", "NEWI", "ROLEMARK")


class InjectionModel:
    """Linear model over concepts and pairs of concepts; weights differ for user text, documents and tool results."""

    name = "injection_model"

    def __init__(self, models: Path = MODELS, lexicons: Path = LEXICONS) -> None:
        arrays, self.digest = load_model("injection", models)
        self._features = shared_features(lexicons)
        insist_on(str(arrays["lexicons"]), self._features.digest, "injection")
        self._weights = arrays["weights"].astype(np.float64)
        self._bias = arrays["bias"].astype(np.float64)
        self._depth = arrays["depth"].astype(np.float64)
        self._scale = float(arrays["scale"])
        self.version = f"1-{self.digest[:12]}"
        self._gates = tuple(
            self._features.gate(weights, least_margin(depth) - bias)
            for weights, depth, bias in zip(self._weights, self._depth, self._bias.tolist(), strict=True)
        )
        concepts = self._features.concepts
        self._persona = np.array([concepts.index(concept) for concept in _PERSONA])
        self._override = np.array([concepts.index(concept) for concept in _OVERRIDE])

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score of the whole passage, below the threshold too."""
        source = _BLOCK_OF.get(passage.provenance, 0)
        return {"injection": self._probability(self._whole(self._margins(self._windows(passage), source), source))}

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding for every stretch of windows that reads like an attack."""
        gate = self._gates[_BLOCK_OF.get(passage.provenance, 0)]
        return self.examine_closely(passage) if gate.open(self._features.scan.look(passage.text)) else ()

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Have the model read the text, whichever concepts it holds; finds the same as `examine`."""
        found = self._read(passage)
        return self._without_mentions(passage, found) if found and passage.provenance in _ASKING else found

    def _without_mentions(self, passage: Passage, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """What is left when the user only talks about what is quoted: the findings in the rest of the text, if any."""
        mentions = Mentions(passage.text)
        if mentions.about_security and max(finding.score for finding in found) < _CERTAIN:
            return ()
        if not mentions.framed or not self._read(Passage(mentions.quotations, passage.provenance)):
            return found  # what is quoted does not explain what was found
        rest = self._read(Passage(mentions.rest, passage.provenance, passage.lang))
        if not rest:
            return ()
        score = max(finding.score for finding in rest)  # spans stay those of the whole text, where the reader looks
        return tuple(msgspec.structs.replace(finding, score=min(finding.score, score)) for finding in found)

    def _read(self, passage: Passage) -> tuple[Finding, ...]:
        source = _BLOCK_OF.get(passage.provenance, 0)
        windows = self._windows(passage)
        margins = self._margins(windows, source)
        whole = self._whole(margins, source)
        if self._probability(whole) < FLAG:
            return ()
        strongest = int(margins.argmax())
        hot = margins >= min(0.0, margins[strongest])
        kind = self._kind(windows, hot, source)
        findings = []
        start = 0
        edges = np.flatnonzero(np.diff(np.concatenate(([0], hot.astype(np.int8), [0]))))
        for first, stop in edges.reshape(-1, 2):
            start = windows.span(int(first))[0]
            end = windows.span(int(stop) - 1)[1]
            peak = int(first + margins[first:stop].argmax())
            score = self._probability(whole if first <= strongest < stop else float(margins[peak]))
            findings.append(
                Finding(
                    detector=self.name,
                    type=kind,
                    start=start,
                    end=end,
                    score=score,
                    rule=self._reason(windows, peak, source),
                )
            )
        return tuple(finding for finding in findings if finding.score >= FLAG)

    def _windows(self, passage: Passage) -> Windows:
        return self._features.windows(passage.text)

    def _margins(self, windows: Windows, source: int) -> Floats:
        sums = np.bincount(windows.rows, weights=self._weights[source, windows.columns], minlength=windows.count)
        margins: Floats = sums + self._bias[source]
        return margins

    def _whole(self, margins: Floats, source: int) -> float:
        """Return the margin of the text: its strongest window, and a share of how the next strongest look."""
        top = np.full(3, -2.0)
        strongest = np.sort(margins)[::-1][:3]
        top[: len(strongest)] = np.maximum(strongest, -2.0)
        return float(strongest[0] + self._depth[source] @ (top[1:] + 2.0))

    def _probability(self, margin: float) -> float:
        return float(1 / (1 + np.exp(-min(max(margin * self._scale, -30.0), 30.0))))

    def _kind(self, windows: Windows, hot: np.ndarray, source: int) -> str:
        if source:
            return "indirect_injection"
        present = windows.columns[hot[windows.rows]]
        persona = np.isin(present, self._persona).sum()
        return "jailbreak" if persona > np.isin(present, self._override).sum() else "prompt_injection"

    def _reason(self, windows: Windows, window: int, source: int) -> str:
        """Return the concepts that weighed most, so that a person can see why."""
        columns = windows.columns[windows.rows == window]
        weights = self._weights[source, columns]
        best = np.argsort(-weights, kind="stable")[:3]
        return " ".join(self._features.name(int(columns[index])) for index in best if weights[index] > 0)
