"""The language profile: how often three letters follow each other in six languages, and in all others together.

Six languages from the development corpora, "other" from sentences of our own and Faker's word lists (MIT). Text in
another script needs no profile.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.language import LANGUAGES, SYMBOLS, readable, trigrams

FILES = ("injection", "toxicity", "disallowed", "pii", "pii_names_ner")
OTHER_WORDS = ("cs_CZ", "da_DK", "pl_PL", "az_AZ", "la", "tl_PH", "vi_VN")
FAMILIES = dict.fromkeys(("pt", "ca", "ro"), "romance")
PHRASES = Path(__file__).parent / "phrases" / "other_languages.txt"
SHARE_OF_PHRASES = 20  # sentences are language as it is written; lists of words only fill what they lack
SHARED = 0.05
RARE = 1e-7
MOST_PER_SOURCE = 60_000  # characters per language and source: no source may drown the others
SCALE = 16.0


def rows(data: Path, skip: str = "") -> Iterator[tuple[str, str, str]]:
    """Language, source and text of every row whose language is known; one source may be held out."""
    seen: set[str] = set()
    for name in FILES:
        for line in (data / f"{name}.jsonl").read_text(encoding="utf-8").split("\n"):
            if not line:
                continue
            row = json.loads(line)
            disguised = str(row.get("category", "")).startswith("obf_")
            if row["lang"] in LANGUAGES and row["source"] != skip and not disguised and row["text"] not in seen:
                seen.add(row["text"])
                yield row["lang"], row["source"], row["text"]


def other() -> Iterator[tuple[str, str]]:
    """Family and text of languages that are none of the six.

    Each family is a class of its own, so that Portuguese need not resemble Polish to be told from Spanish.
    """
    for line in PHRASES.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            code, _, text = line.partition("\t")
            for _ in range(SHARE_OF_PHRASES):
                yield FAMILIES.get(code, "rest"), text
    shuffled = Random(7)
    for locale in OTHER_WORDS:
        words = list(import_module(f"faker.providers.lorem.{locale}").Provider.word_list)
        shuffled.shuffle(words)
        yield FAMILIES.get(locale[:2], "rest"), " ".join(words[:600])


def train(
    data: Path, skip: str = "", other_texts: Callable[[], Iterable[tuple[str, str]]] = other
) -> dict[str, npt.NDArray[Any]]:
    """The profile: negative logarithms of probabilities, in sixteenths."""
    size = len(SYMBOLS) + 1
    classes = [*LANGUAGES, *sorted({*FAMILIES.values(), "rest"})]
    counts = np.zeros((len(classes), size**3), dtype=np.float64)
    used: dict[tuple[str, str], int] = {}
    for lang, source, text in rows(data, skip):
        spent = used.get((lang, source), 0)
        if spent < MOST_PER_SOURCE:
            used[lang, source] = spent + len(text)
            np.add.at(counts[classes.index(lang)], trigrams(readable(text)), 1)
    for family, text in other_texts():
        np.add.at(counts[classes.index(family)], trigrams(text), 1)
    own = counts / counts.sum(axis=1, keepdims=True)
    own[-2:] = (own[-2:] + own[-2:].mean(axis=0)) / 2  # there is little of either
    # What a language lacks it gets from all of them alike, so that the best documented one does not win the unknown.
    probabilities = (1 - SHARED) * own + SHARED * own.mean(axis=0) + RARE
    cost = np.clip(np.round(-np.log(probabilities) * SCALE), 0, 255).astype(np.uint8)
    return {"cost": cost}
