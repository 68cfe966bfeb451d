"""Special categories of personal data (GDPR Art. 9): health, religion, union, orientation, politics, biometrics.

A disease by its name is knowledge; a disease with a person is personal data. So a term alone scores 0.4 and a term with
a sign that it is about somebody (a verb of suffering, a patient, a first person, a diagnosis) scores 0.85.
"""

from collections.abc import Iterator

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.terms import Terms
from greffier.guardrails.packs import read_lines
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import fold

_ACRONYMS = frozenset(
    {"als", "aids", "ocd", "toc", "cva", "avc", "ivg", "copd", "epoc", "bpco", "cgt", "ugt", "cnv", "fnv", "cisl"}
)
_BEFORE = 80
_AFTER = 50
_WITH_PERSON = 0.85
_ALONE = 0.4


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

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return every term; the score says whether it is about somebody."""
        folded = fold(passage.text)
        found = [
            (kind, start, end)
            for kind, start, end in self._terms.find(folded)
            if folded[start:end] not in _ACRONYMS or passage.text[start:end].isupper()
        ]
        if not found:
            return ()
        return tuple(
            Finding(
                self.name,
                kind,
                start,
                end,
                _WITH_PERSON if self._about_somebody(folded, start, end) else _ALONE,
                rule=f"art9-{kind.lower()}",
                data_class="special_category",
            )
            for kind, start, end in found
        )

    def _about_somebody(self, folded: str, start: int, end: int) -> bool:
        window = folded[max(0, start - _BEFORE) : start] + " # " + folded[end : end + _AFTER]
        return next(self._cues.find(window), None) is not None
