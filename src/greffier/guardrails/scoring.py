"""Measuring screens on corpora: counts, Wilson intervals, and regressions against a stored baseline.

A corpus is JSON lines. A *classification* row has ``label`` (1 for what must be found) and counts once for "any
detector", once for every detector that reported, and once for the screen ("stopped"). A *span* row has ``spans`` and
counts per type: a labelled span is recalled when a finding of its type covers at least half of it; a finding is right
when it overlaps a labelled span of its type. Types that a corpus never labels are not judged by it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greffier.guardrails.check import Context
from greffier.guardrails.trial import Verdict

Kind = Literal["injection", "toxicity", "disallowed", "leak", "secret"]
KINDS: dict[Kind, frozenset[str]] = {
    "injection": frozenset({"prompt_injection", "jailbreak", "indirect_injection", "obfuscation"}),
    "toxicity": frozenset({"toxicity"}),
    "disallowed": frozenset({"disallowed_topic"}),
    "leak": frozenset({"prompt_leak", "exfiltration"}),
    "secret": frozenset({"SECRET"}),
}
"""What a positive row of a corpus shows: any of these types counts as found."""

_Z = 1.959964  # 95 %
_HALF = 0.5
_MARK = "\u241f"  # the development data breaks secrets with it, so that scanners of repositories stay quiet


class Span(msgspec.Struct, frozen=True):
    """A labelled span, code points."""

    start: int
    end: int
    type: str


class Row(msgspec.Struct, frozen=True):
    """A row of a corpus; further fields are ignored."""

    text: str
    id: str = ""
    label: Annotated[int, Meta(ge=0, le=1)] | None = None
    spans: tuple[Span, ...] | None = None
    ignore: tuple[Any, ...] = ()
    category: str = ""
    lang: str = ""
    context: Context = "direct"
    system_prompt: str = ""
    canary: str = ""
    enc: str = ""

    def clean_text(self) -> str:
        """The text that offsets refer to."""
        return self.text.replace(_MARK, "") if self.enc == "u241f" else self.text


class Counts(msgspec.Struct):
    """Positives found and missed, negatives flagged and not; for spans, findings right and wrong as well."""

    positives: int = 0
    found: int = 0
    negatives: int = 0
    flagged: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def recall(self) -> float | None:
        """Share of the positives that was found."""
        return self.found / self.positives if self.positives else None

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the negatives that was flagged."""
        return self.flagged / self.negatives if self.negatives else None

    @property
    def precision(self) -> float | None:
        """Share of what was reported that is right."""
        reported = self.right + self.wrong
        return self.right / reported if reported else None


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) where nothing was counted."""
    if not of:
        return 0.0, 1.0
    share = hits / of
    centre = share + _Z * _Z / (2 * of)
    spread = _Z * math.sqrt((share * (1 - share) + _Z * _Z / (4 * of)) / of)
    scale = 1 + _Z * _Z / of
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


Key = tuple[str, str, str]
"""Measure (``any``, ``screen`` or the name of a detector), type, language (``*`` for all)."""


class Confusion(msgspec.Struct, frozen=True):
    """A row the screen got wrong."""

    what: Literal["missed", "false alarm"]
    type: str
    row: str
    lang: str
    excerpt: str


class Score:
    """Counts over a corpus."""

    def __init__(self, kind: Kind | None, *, threshold: float = 0.5, examples: int = 10) -> None:
        self._kind = kind
        self._threshold = threshold
        self._examples = examples
        self.counts: dict[Key, Counts] = defaultdict(Counts)
        self.confusions: list[Confusion] = []

    def add(self, row: Row, verdict: Verdict, labelled: frozenset[str]) -> None:
        """Count one row.

        Args:
            row: The row.
            verdict: What the screen said about it.
            labelled: Types that the corpus labels as spans; empty for a classification corpus.
        """
        if row.spans is None:
            self._classified(row, verdict)
        else:
            self._spans(row, verdict, labelled)

    def _classified(self, row: Row, verdict: Verdict) -> None:
        if self._kind is None or row.label is None:
            raise ValueError("a classification row has a label, and its corpus a kind")
        types = KINDS[self._kind]
        attack = row.label == 1
        found = verdict.score(types) >= self._threshold
        self._count("any", self._kind, row.lang, attack=attack, hit=found)
        self._count("screen", self._kind, row.lang, attack=attack, hit=verdict.stopped)
        for detector in {finding.detector for finding in verdict.findings if finding.type in types}:
            if verdict.score(types, detector) >= self._threshold:
                self._hit(detector, self._kind, row.lang, attack=attack)
        if found != attack:
            self._confused("missed" if attack else "false alarm", self._kind, row, row.clean_text())

    def _count(self, measure: str, kind: str, lang: str, *, attack: bool, hit: bool) -> None:
        for language in {lang or "*", "*"}:
            counts = self.counts[measure, kind, language]
            counts.positives += attack
            counts.negatives += not attack
            counts.found += attack and hit
            counts.flagged += hit and not attack
            counts.right += attack and hit
            counts.wrong += hit and not attack

    def _hit(self, detector: str, kind: str, lang: str, *, attack: bool) -> None:
        """Detectors are seen only where they report; `rows` fills in how many rows there were."""
        for language in {lang or "*", "*"}:
            counts = self.counts[detector, kind, language]
            counts.found += attack
            counts.right += attack
            counts.flagged += not attack
            counts.wrong += not attack

    def _spans(self, row: Row, verdict: Verdict, labelled: frozenset[str]) -> None:
        text = row.clean_text()
        gold = row.spans or ()
        findings = [f for f in verdict.findings if f.type in labelled and f.score >= self._threshold]
        for language in {row.lang or "*", "*"}:
            for span in gold:
                counts = self.counts["any", span.type, language]
                counts.positives += 1
                counts.found += any(f.type == span.type and _covers(f.start, f.end, span) for f in findings)
            for finding in findings:
                right = any(f.type == finding.type and _meets(finding.start, finding.end, f) for f in gold)
                counts = self.counts["any", finding.type, language]
                counts.right += right
                counts.wrong += not right
            if not gold and not row.ignore:
                for kind in labelled:
                    counts = self.counts["any", kind, language]
                    counts.negatives += 1
                    counts.flagged += any(f.type == kind for f in findings)
        for span in gold:
            if not any(f.type == span.type and _covers(f.start, f.end, span) for f in findings):
                self._confused("missed", span.type, row, text[max(0, span.start - 30) : span.end + 30])
        for finding in findings:
            if not any(_meets(finding.start, finding.end, span) for span in gold):
                self._confused("false alarm", finding.type, row, text[max(0, finding.start - 30) : finding.end + 30])

    def _confused(self, what: Literal["missed", "false alarm"], kind: str, row: Row, excerpt: str) -> None:
        if sum(1 for c in self.confusions if (c.what, c.type) == (what, kind)) < self._examples:
            self.confusions.append(Confusion(what, kind, row.id, row.lang, excerpt[:160]))

    def rows(self) -> list[tuple[Key, Counts]]:
        """Everything counted, in a stable order."""
        for (measure, kind, language), counts in list(self.counts.items()):
            if measure not in {"any", "screen"}:
                whole = self.counts["any", kind, language]
                counts.positives, counts.negatives = whole.positives, whole.negatives
        return sorted(self.counts.items())


def _covers(start: int, end: int, span: Span) -> bool:
    return min(end, span.end) - max(start, span.start) >= _HALF * (span.end - span.start)


def _meets(start: int, end: int, span: Span) -> bool:
    return start < span.end and span.start < end


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of an earlier run; keys are ``corpus/measure/type/language``."""

    format: Literal["greffier.guard-baseline/1"]
    counts: dict[str, Counts]


def key_of(corpus: str, key: Key) -> str:
    """Name of a counter in a baseline."""
    return "/".join((corpus, *key))


def regressions(before: Baseline, now: dict[str, Counts], corpora: Sequence[str]) -> list[str]:
    """What got worse by more than chance: outside the 95 % interval of the baseline's share. A sentence each."""
    found = []
    for name, old in before.counts.items():
        if name.split("/")[0] not in corpora:
            continue
        new = now.get(name, Counts())
        if old.positives and new.positives:
            low = wilson(old.found, old.positives)[0]
            if new.found / new.positives < low:
                found.append(
                    f"{name}: recall fell from {_share(old.found, old.positives)} to "
                    f"{_share(new.found, new.positives)}, below {low:.3f}"
                )
        elif old.positives:
            found.append(f"{name}: was measured on {old.positives} rows and is not measured any more")
        if old.negatives and new.negatives:
            high = wilson(old.flagged, old.negatives)[1]
            if new.flagged / new.negatives > high:
                found.append(
                    f"{name}: false alarms rose from {_share(old.flagged, old.negatives)} to "
                    f"{_share(new.flagged, new.negatives)}, above {high:.3f}"
                )
    return found


def _share(hits: int, of: int) -> str:
    return f"{hits}/{of} ({hits / of:.3f})"


def labelled_types(rows: Iterable[Row]) -> frozenset[str]:
    """Types that a corpus labels."""
    return frozenset(span.type for row in rows for span in row.spans or ())
