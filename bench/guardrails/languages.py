# ruff: noqa: E501 - sentences stand on one line
"""The language detector on sources, and for other languages on sentences, that the measured profile was not built on."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import train_language
from measure import interval, table

from greffier.guardrails.detectors import language

HELD_OUT = (
    "FastAPI docs",
    "Multilingual HateCheck",
    "home-assistant/intents",
    "own-dev-generator",
    "self-instruct",
    "PolyAI banking77",
)
FOLDS = 5
SURE = 0.9


def languages(data: Path) -> str:
    """Right answers per language and source, and how often a sure answer was wrong."""
    rows = list(train_language.rows(data))
    lines: list[list[object]] = []
    for source in HELD_OUT:
        profile = np.ascontiguousarray(train_language.train(data, source)["cost"].T)
        right: Counter[str] = Counter()
        total: Counter[str] = Counter()
        surely_wrong: Counter[str] = Counter()
        for lang, theirs, text in rows:
            found, chance = language.identify(language.readable(text), profile) if theirs == source else ("", 0.0)
            if found:
                total[lang] += 1
                right[lang] += found == lang
                surely_wrong[lang] += found != lang and chance >= SURE
        lines += [
            [source, lang, total[lang], interval(right[lang], total[lang]), surely_wrong[lang]]
            for lang in sorted(total)
        ]
    lines.append(_others(data))
    return (
        "### Language, on sources not seen\n\n"
        + table(["held out", "language", "texts judged", "right", f"wrong at {SURE} or more"], lines)
        + "\nMost errors are texts that the corpora label by one language and that hold two: quotations, sponsors, log lines."
        "\nOther languages: five folds over our own sentences in 25 languages (`training/phrases/other_languages.txt`).\n"
    )


def _others(data: Path) -> list[object]:
    """Sentences in none of the six languages, each judged by a profile built without it."""
    given = list(train_language.other())
    share = train_language.SHARE_OF_PHRASES
    sentences = [given[at] for at in range(0, len(given) - len(train_language.OTHER_WORDS), share)]
    words = given[len(sentences) * share :]
    right = wrong = 0
    for fold in range(FOLDS):
        kept: list[tuple[str, str]] = [s for at, s in enumerate(sentences) if at % FOLDS != fold for _ in range(share)]

        def known(kept: list[tuple[str, str]] = kept) -> Iterator[tuple[str, str]]:
            yield from kept
            yield from words

        profile = np.ascontiguousarray(train_language.train(data, other_texts=known)["cost"].T)
        for _, text in sentences[fold::FOLDS]:
            found, chance = language.identify(text, profile)
            right += found == language.OTHER
            wrong += found != language.OTHER and chance >= SURE
    return ["our own sentences", "other", len(sentences), interval(right, len(sentences)), wrong]
