"""Special categories of personal data (GDPR Art. 9): health, religion, union, orientation, politics, biometrics.

A disease by its name is knowledge; a disease with a person is personal data. So a term alone scores 0.4 and a term with
a sign that it is about somebody (a verb of suffering, a patient, a first person, a diagnosis) scores 0.85.
"""

from collections.abc import Iterator
from importlib.resources import files

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.terms import Terms
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import fold

_ABOUT_SOMEBODY = (
    # a verb of suffering, a diagnosis, a patient
    "suffers from", "suffering from", "suffered", "diagnosed with", "diagnosis", "diagnosed", "patient", "treated for", "treatment for", "medical history", "was admitted", "sick leave", "tested positive", "lives with", "living with", "battling", "history of", "doctor's note", "medical report", "medical record", "is taking", "takes", "prescribed", "afflicted",
    "leidet an", "leidet unter", "leide an", "leide unter", "erkrankt", "diagnostiziert", "diagnose", "patient", "patientin", "behandelt", "in behandlung", "krankgeschrieben", "attest", "befund", "anamnese", "arztbrief", "vorerkrankung", "krankenakte", "betroffen von", "nimmt",
    "souffre de", "souffre d'", "souffrant", "atteint de", "atteinte de", "atteint d'", "atteinte d'", "diagnostic", "diagnostique", "diagnostiquee", "patiente", "traite pour", "traitee pour", "suivi pour", "suivie pour", "certificat", "certificat medical", "antecedents", "dossier medical", "arret maladie", "hospitalise",
    "padece", "padece de", "sufre", "sufre de", "diagnosticado", "diagnosticada", "diagnostico", "paciente", "tratamiento", "parte medico", "informe medico", "historial", "antecedentes", "ingresado", "ingresada", "baja por", "tiene",
    "soffre di", "soffre d'", "affetto da", "affetta da", "diagnosi", "diagnosticato", "diagnosticata", "paziente", "in cura", "certificato", "referto", "cartella clinica", "anamnesi", "ricoverato", "ricoverata", "malato di", "malata di",
    "lijdt aan", "lijdt onder", "gediagnosticeerd", "diagnose", "patient", "patiente", "behandeld voor", "behandeling", "doktersverklaring", "medisch dossier", "voorgeschiedenis", "ziekgemeld", "opgenomen", "getroffen door",
    # somebody
    "i have", "i've", "i am", "i'm", "my", "he has", "she has", "has been", "he is", "she is", "his", "her", "mr", "mrs", "ms", "ich habe", "ich bin", "mein", "meine", "meiner", "er hat", "sie hat", "hat", "herr", "frau", "seine", "ihre", "seiner", "ihrer",
    "j'ai", "je suis", "mon", "ma", "il a", "elle a", "m.", "mme", "monsieur", "madame", "son", "sa", "tengo", "soy", "estoy", "mi", "el sr", "la sra", "senor", "senora", "su", "ho", "sono", "mio", "mia", "signor", "signora", "suo", "sua",
    "ik heb", "ik ben", "mijn", "hij heeft", "zij heeft", "heeft", "meneer", "mevrouw", "zijn", "haar", "dhr", "mevr", "employee", "mitarbeiter", "mitarbeiterin", "salarie", "salariee", "empleado", "empleada", "dipendente", "werknemer", "mutter", "vater", "mother", "father", "wife", "husband", "son", "daughter", "mere", "pere", "madre", "padre", "moeder", "vader",
)  # fmt: skip
_ACRONYMS = frozenset({"als", "aids", "ocd", "toc", "cva", "avc", "ivg", "copd", "epoc", "bpco", "cgt", "ugt", "cnv", "fnv", "cisl"})
_BEFORE = 80
_AFTER = 50
_WITH_PERSON = 0.85
_ALONE = 0.4


def _lexicon() -> Iterator[tuple[str, str]]:
    source = files("greffier.guardrails.detectors") / "lexicons" / "special_categories.txt"
    for line in source.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, _, terms = line.partition(":")
            for term in terms.split(","):
                yield term.strip(), kind


class SpecialCategories:
    """Art. 9 terms in English, German, French, Spanish, Italian and Dutch."""

    name = "health"
    version = "1"

    def __init__(self) -> None:
        self._terms = Terms(_lexicon())
        self._cues = Terms((cue, "cue") for cue in _ABOUT_SOMEBODY)

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
