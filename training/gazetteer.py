"""Builds the gazetteer: first names and surnames of Faker's locales (MIT), everyday words, places, and names.txt."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable
from typing import Any

import faker.providers.person
import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.name_features import CATEGORY_SHIFT, CITY, COMMON, FIRST, LAST
from greffier.guardrails.detectors.learned.text import fold, read_sections
from greffier.guardrails.detectors.learned.tokens import LOWER_WORD, hash_word, tokenize

SECTIONS = tuple(read_sections(LEXICONS / "names.txt"))
PLACE = SECTIONS.index("PLACE") + 1


def person_names() -> tuple[set[str], set[str]]:
    """Return (first names, surnames) in Latin letters of all locales."""
    first: set[str] = set()
    last: set[str] = set()
    for module in sorted(found.name for found in pkgutil.iter_modules(faker.providers.person.__path__)):
        provider = importlib.import_module(f"faker.providers.person.{module}").Provider
        for attribute in sorted(dir(provider)):
            values = getattr(provider, attribute)
            if not isinstance(values, (list, tuple, dict, set)):
                continue
            words = {str(value) for value in values if isinstance(value, str)}
            if "first_name" in attribute:
                first |= words
            elif "last_name" in attribute:
                last |= words
    return _parts(first), _parts(last)


def _parts(names: Iterable[str]) -> set[str]:
    """Return the folded words of the names that are written in Latin letters, particles aside."""
    words = set()
    for name in names:
        for word in fold(name).split():
            if len(word) > 2 and word.isascii() and word.isalpha():
                words.add(word)
    return words


def common_words(texts: Iterable[str], least: int = 2) -> set[str]:
    """Return the words that are written small in at least ``least`` places."""
    tally: Counter[str] = Counter()
    for text in texts:
        tokens = tokenize(text)
        folded = fold(text)
        small = tokens.shape == LOWER_WORD
        tally.update(folded[a:b] for a, b in zip(tokens.start[small], tokens.end[small], strict=True))
    return {word for word, count in tally.items() if count >= least}


def build(first: set[str], last: set[str], common: set[str], cities: set[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the gazetteer."""
    flags: dict[str, int] = {}
    for words, bit in ((first, FIRST), (last, LAST), (common, COMMON), (cities, CITY)):
        for word in words:
            flags[word] = flags.get(word, 0) | bit
    for number, languages in enumerate(read_sections(LEXICONS / "names.txt").values(), start=1):
        for entries in languages.values():
            for word in entries:
                if flags.get(word, 0) >> CATEGORY_SHIFT == 0:
                    flags[word] = flags.get(word, 0) | number << CATEGORY_SHIFT
    by_hash: dict[int, int] = {}
    for word in sorted(flags):
        key = hash_word(word) >> 32
        by_hash[key] = by_hash.get(key, 0) | flags[word]
    keys = sorted(by_hash)
    return {
        "hashes": np.array(keys, dtype=np.uint32),
        "flags": np.array([by_hash[key] for key in keys], dtype=np.uint16),
    }
