"""Special categories of personal data (GDPR Art. 9): health, religion, union, orientation, politics, biometrics.

A disease by its name is knowledge; a disease with a person is personal data (ADR 0146). So a term alone is no finding;
with a sign that it is about somebody (a verb of suffering, a patient, a first person, a diagnosis) it scores 0.85.
"""

from collections.abc import Iterator

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.terms import Terms
from greffier.guardrails.matching import PatternSet, Spans, Text
from greffier.guardrails.packs import read_lines, read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import fold

_ACRONYMS = frozenset(
    {"als", "aids", "ocd", "toc", "cva", "avc", "ivg", "copd", "epoc", "bpco", "cgt", "ugt", "cnv", "fnv", "cisl"}
)
_BEFORE = 80
_AFTER = 50
_WITH_PERSON = 0.85
_LIKELY = 0.7
_SHORTEST = 4
_FILLERS = frozenset({
    "from", "with", "of", "has", "had", "have", "and", "for", "the", "a", "an", "his", "her", "my", "their", "that",
    "this",
    "rare", "severe", "mild", "future", "possible", "hereditary", "serious", "any", "some", "type", "is", "was", "risk",
})  # fmt: skip
_NOT_MEDICAL = frozenset({
    "performance", "power", "system", "hardware", "network", "server", "disk", "market", "data", "software",
    "disease", "syndrome", "disorder", "infection", "cancer", "addiction", "transplant", "engine",
    "build", "login", "payment", "delivery", "connection", "request", "test", "single", "total", "complete", "customer",
    "lack", "low", "poor", "slow", "high", "the", "this", "that", "any", "and", "its", "bugs", "some", "mangel",
    "problemen",
    "problemes", "problemas", "problemi",
})  # fmt: skip


def _skip_fillers(folded: str, start: int, end: int) -> int:
    """Begin a span after words that only lead up to it ("from a rare disease")."""
    while True:
        word, space, _ = folded[start:end].partition(" ")
        if not space or word not in _FILLERS:
            return start
        start += len(word) + 1


def _lexicon() -> Iterator[tuple[str, str]]:
    for line in read_lines("special_categories"):
        kind, _, terms = line.partition(":")
        for term in terms.split(","):
            yield term.strip(), kind


def _cues() -> Iterator[tuple[str, str]]:
    for line in read_lines("about_somebody"):
        for cue in line.split(","):
            yield cue.strip(), "cue"


class SpecialCategories:
    """Art. 9 terms in English, German, French, Spanish, Italian and Dutch."""

    name = "health"
    version = "1"

    def __init__(self) -> None:
        self._terms = Terms(_lexicon())
        self._cues = Terms(_cues())
        self._words = PatternSet(read_patterns("medical_words"))

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return the terms that are about somebody."""
        folded = fold(passage.text)
        listed = [
            (kind, start, end)
            for kind, start, end in self._terms.find(folded)
            if folded[start:end] not in _ACRONYMS or passage.text[start:end].isupper()
        ]
        return self._listed(folded, listed) + self._unlisted(folded, listed)

    def _listed(self, folded: str, found: list[tuple[str, int, int]]) -> tuple[Finding, ...]:
        return tuple(
            Finding(
                self.name,
                kind,
                start,
                end,
                _WITH_PERSON,
                rule=f"art9-{kind.lower()}",
                data_class="special_category",
            )
            for kind, start, end in found
            if self._about_somebody(folded, start, end)
        )

    def _unlisted(self, folded: str, listed: list[tuple[str, int, int]]) -> tuple[Finding, ...]:
        """Words that are medical by their ending or their place; only with a person, and never inside a listed term."""
        text = Text(folded)
        taken = Spans()
        for _, first, last in sorted(listed, key=lambda item: item[1]):
            taken.take(first, last)
        found = []
        for pattern, first_word, end in self._words.spans(text):
            start = _skip_fillers(folded, first_word, end)
            word = folded[start:end].split(" ", 1)[0]
            if word in _NOT_MEDICAL or taken.touches(start, end):
                continue
            if end - start >= _SHORTEST and self._about_somebody(folded, start, end):
                found.append(
                    Finding(self.name, "HEALTH", start, end, _LIKELY, pattern.id, data_class="special_category")
                )
        return tuple(found)

    def _about_somebody(self, folded: str, start: int, end: int) -> bool:
        window = folded[max(0, start - _BEFORE) : start] + " # " + folded[end : end + _AFTER]
        return next(self._cues.find(window), None) is not None
