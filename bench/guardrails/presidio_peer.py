"""Presidio's default recognisers without an NER model, on the same rows: run by run.py in an environment of its own.

``uv venv /tmp/presidio && uv pip install -p /tmp/presidio presidio-analyzer``, then
``run.py --presidio /tmp/presidio/bin/python``. E-mail addresses in the corpus end in ``.example``, which Presidio
rejects as no public suffix: its 0 there says nothing.
"""

import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

LANGUAGES = ["en", "de", "fr", "es", "it", "nl"]
SAME = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "IBAN",
    "CREDIT_CARD": "CREDIT_CARD",
    "IP_ADDRESS": "IP_ADDRESS",
    "PERSON": "PERSON",
    "LOCATION": "ADDRESS",
    "DATE_TIME": "DATE_OF_BIRTH",
}
NATIONAL = {"NATIONAL_ID", "TAX_ID", "PASSPORT", "LICENSE_PLATE"}
"""Any recogniser of a country counts for these."""


class Blank(NlpEngine):
    """Tokens only: no model is installed, as on a machine without a network."""

    engine_name = "blank"
    is_available = True

    def __init__(self) -> None:
        self.nlp = {language: spacy.blank(language) for language in LANGUAGES}

    def load(self) -> None:
        """Nothing to load."""

    def is_loaded(self) -> bool:
        """Always."""
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Return tokens without entities."""
        doc = self.nlp[language](text)
        return NlpArtifacts(
            entities=[],
            tokens=doc,
            tokens_indices=[token.idx for token in doc],
            lemmas=[token.text.lower() for token in doc],
            nlp_engine=self,
            language=language,
            scores=[],
        )

    def process_batch(self, texts: list[str], language: str, **_: Any) -> Iterator[tuple[str, NlpArtifacts]]:
        """Return each text with its tokens."""
        for text in texts:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        """Return whether spaCy calls it a stop word."""
        return bool(self.nlp[language].vocab[word].is_stop)

    def is_punct(self, word: str, language: str) -> bool:
        """Return whether spaCy calls it punctuation."""
        return bool(self.nlp[language].vocab[word].is_punct)

    def get_supported_entities(self) -> list[str]:
        """None: entities come from recognisers."""
        return []

    def get_supported_languages(self) -> list[str]:
        """Return the six languages."""
        return LANGUAGES


def main() -> None:
    logging.disable(logging.CRITICAL)
    registry = RecognizerRegistry(supported_languages=LANGUAGES)
    registry.load_predefined_recognizers(languages=LANGUAGES)
    analyzer = AnalyzerEngine(nlp_engine=Blank(), registry=registry, supported_languages=LANGUAGES)
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    clean = flagged = 0
    times = []
    for line in Path(sys.argv[1]).read_bytes().split(b"\n")[:-1:3]:
        row = json.loads(line)
        begin = time.perf_counter()
        answer = [found for found in analyzer.analyze(row["text"], language=row["lang"]) if found.score >= 0.35]
        times.append((time.perf_counter() - begin) * 1000)
        if not row["spans"]:
            clean += 1
            flagged += any(found.entity_type not in {"DATE_TIME", "URL"} for found in answer)
        for span in row["spans"]:
            tally[span["type"]][1] += 1
            tally[span["type"]][0] += any(
                min(found.end, span["end"]) - max(found.start, span["start"]) >= (span["end"] - span["start"]) / 2
                and (
                    SAME.get(found.entity_type) == span["type"]
                    or (span["type"] in NATIONAL and found.entity_type not in SAME)
                )
                for found in answer
            )
    times.sort()
    answer = {
        "types": tally,
        "clean": [flagged, clean],
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
