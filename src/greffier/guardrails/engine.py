"""The engine: every detector over a text and over its decoded views; findings merged, offsets mapped back."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from greffier.core.rulings import Finding
from greffier.guardrails.matching import Spans
from greffier.guardrails.normalise import Views, views
from greffier.guardrails.ports import Detector, DetectorError, Measured, Passage, ScoringDetector
from greffier.guardrails.view import View


class Engine:
    """Runs a fixed list of detectors. Stateless between calls."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors = tuple(detectors)
        self._readers = tuple(detector for detector in self.detectors if detector.name not in _LITERAL)
        self._rules = tuple(detector for detector in self._readers if detector.name not in _MODELS)

    def without(self, names: Collection[str]) -> "Engine":
        """Return an engine without these detectors; this one if nothing or everything would go."""
        kept = tuple(detector for detector in self.detectors if detector.name not in names)
        return Engine(kept) if 0 < len(kept) < len(self.detectors) else self

    def only(self, names: Collection[str]) -> "Engine":
        """Return an engine with these detectors alone."""
        return Engine(tuple(detector for detector in self.detectors if detector.name in names))

    def measure(self, passage: Passage, read: Views | None = None) -> Measured:
        """Examine the passage as written and as a reader or model could decode it.

        Args:
            passage: What to examine.
            read: Its `views`, where the caller has them already.
        """
        if not self.detectors:  # all of them work in another process
            return _CLEAN
        found: list[Finding] = []
        failed: list[str] = []
        for detector in self.detectors:
            try:
                found += detector.examine(passage)
            except DetectorError:
                failed.append(detector.name)
        decoded, hidden = read or views(passage.text)
        found += hidden
        for view in decoded:
            self._examine_view(passage, view, found, failed)
        if not found and not failed:
            return _CLEAN
        return Measured(resolve(found), tuple(dict.fromkeys(failed)))

    def scores(self, passage: Passage) -> dict[str, float]:
        """Highest score per classifier, below the thresholds too; for explanations, not for decisions.

        Raises:
            DetectorError: A classifier could not measure.
        """
        best: dict[str, float] = {}
        for detector in self.detectors:
            if isinstance(detector, ScoringDetector):
                for name, score in detector.scores(passage).items():
                    best[name] = max(best.get(name, 0.0), score)
        return best

    def _examine_view(self, passage: Passage, view: View, found: list[Finding], failed: list[str]) -> None:
        inner = Passage(view.text, passage.provenance, passage.lang)
        as_written = [finding for finding in found if finding.detector in _MODELS]
        for detector in self._suited(view):
            try:
                for finding in detector.examine(inner):
                    found += _mapped(finding, view, as_written)
            except DetectorError:
                failed.append(detector.name)

    def _suited(self, view: View) -> tuple[Detector, ...]:
        """The detectors that a view is worth: identifiers need their digits, models cost as much as for the text."""
        if view.literal:
            return self.detectors
        return self._readers if view.prose else self._rules


def _mapped(finding: Finding, view: View, as_written: Sequence[Finding]) -> Iterator[Finding]:
    """A finding in a view as findings in the text, and the disguise itself where an attack was behind it."""
    disguised = finding.type in _ATTACKS and finding.score >= _CLEAR and "misspelt" not in view.name
    for start, end in view.spans(finding.start, finding.end):
        if any(_says_as_much(other, finding, start, end) for other in as_written):
            continue  # a window that reaches over what was decoded, and judged the rest
        yield msgspec.structs.replace(finding, start=start, end=end, view=view.name)
        if disguised:
            yield Finding("obfuscation", "obfuscation", start, end, _DISGUISED, rule=view.name)


def _says_as_much(other: Finding, finding: Finding, start: int, end: int) -> bool:
    same = other.detector == finding.detector and other.type == finding.type
    return same and other.score >= finding.score and other.start < end and start < other.end


_CLEAN = Measured()
_LITERAL = frozenset({"identifiers", "secrets", "names"})
_MODELS = frozenset({"injection_model", "disallowed"})
# In leetspeak that makes no known words the rules alone look: texts full of digits would pay for the models again.
_ATTACKS = frozenset({"prompt_injection", "jailbreak", "indirect_injection"})
_CLEAR = 0.5
_DISGUISED = 0.9  # nobody encodes an instruction by accident; misspelling it is another matter


def is_entity(finding: Finding) -> bool:
    """Whether the finding names a thing in the text (``EMAIL``), not a property of the text (``toxicity``)."""
    return finding.type.isupper()


_CHECKED = frozenset({"IBAN", "CREDIT_CARD", "EMAIL", "NATIONAL_ID", "TAX_ID"})
"""What has check digits or a form of its own; a telephone number, say, is what merely looks like one."""

_LABELLED = 0.9

_LEAST = 8
"""Characters of what a finding reaches beyond another, for which it is worth keeping."""


def _rank(finding: Finding) -> int:
    """How sure its kind is: secrets, what has check digits, what has a label, what merely looks like something."""
    if finding.type == "SECRET":
        return 0
    if finding.type in _CHECKED:
        return 1
    return 2 if finding.detector == "identifiers" and finding.score >= _LABELLED else 3


def resolve(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Where entities overlap keep one: a secret before anything else, then what has check digits or a label.

    Among the others the longest counts, then the likeliest; what reaches beyond a better one is cut down to the rest.
    Other findings are kept once per type, rule and place.
    """
    entities = sorted(
        (f for f in findings if is_entity(f)),
        key=lambda f: (_rank(f), f.start - f.end, -f.score, f.view != "raw", f.start),
    )
    taken = Spans()
    kept = []
    for candidate in entities:
        start, end = taken.free(candidate.start, candidate.end)
        whole = end - start == candidate.end - candidate.start
        if not whole and (end - start < _LEAST or candidate.type == "SECRET"):
            continue
        taken.take(start, end)
        kept.append(candidate if whole else msgspec.structs.replace(candidate, start=start, end=end))
    others: dict[tuple[str, str, int, int], Finding] = {}
    for finding in findings:
        if not is_entity(finding):
            key = (finding.type, finding.rule, finding.start, finding.end)
            best = others.get(key)
            if best is None or finding.score > best.score:
                others[key] = finding
    kept += others.values()
    kept.sort(key=lambda f: (f.start, f.end))
    return tuple(kept)
