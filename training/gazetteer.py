"""Builds the gazetteer: first names and surnames of Faker's locales (MIT), everyday words, places, and names.txt."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faker.providers.person
import numpy as np
import numpy.typing as npt

from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.name_features import (
    BRAND,
    CATEGORY_SHIFT,
    CITY,
    COMMON,
    FAMILY,
    FIRST,
    GIVEN,
    LAST,
)
from greffier.guardrails.detectors.learned.text import fold, read_sections
from greffier.guardrails.detectors.learned.tokens import CAPITAL, LOWER_WORD, SPACE, hash_word, tokenize

SECTIONS = tuple(read_sections(LEXICONS / "names.txt"))
NAMES = Path(__file__).parent / "names"


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
    return _parts(first) | sure_names("given"), _parts(last) | sure_names("family")


def _parts(names: Iterable[str], least: int = 3) -> set[str]:
    """Return the folded words of the names that are written in Latin letters, particles aside."""
    words = set()
    for name in names:
        for word in fold(name).split():
            if len(word) >= least and word.isalpha() and max(word) < "\u0250":
                words.add(word)
    return words


def _values(provider: str, attributes: tuple[str, ...]) -> set[str]:
    """Return what lists of a Faker provider hold, in the locales of the six languages."""
    package = importlib.import_module(f"faker.providers.{provider}")
    found: set[str] = set()
    for locale in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if locale[:3] in {"en_", "de_", "fr_", "es_", "it_", "nl_"}:
            source = importlib.import_module(f"faker.providers.{provider}.{locale}").Provider
            for attribute in attributes:
                for value in getattr(source, attribute, ()):
                    found.update(str(part) for part in (value if isinstance(value, tuple) else (value,)))
    return found


def everyday_words() -> set[str]:
    """Return words of Faker's (MIT): of sample texts, occupations, trades, colours; and those of ``ordinary.txt``."""
    found = (
        _values("lorem", ("word_list",))
        | _values("color", ("all_colors",))
        | _values("company", ("ape_codes_naf_2025", "company_types"))
    )
    found |= _values("job", ("jobs", "jobs_female", "jobs_male"))
    return {word for words in (_parts(found), sure_names("ordinary")) for word in words}


def places() -> set[str]:
    """Return words of the names of towns, regions and countries."""
    found = _values("address", ("countries", "states", "counties", "regions", "departments", "cantons", "provinces"))
    for locale in ("de_DE", "de_AT", "de_CH", "nl_NL", "en_IN", "fr_DZ"):
        found |= set(importlib.import_module(f"faker.providers.address.{locale}").Provider.cities)
    return _parts(found)


def listed(name: str) -> dict[str, tuple[str, ...]]:
    """Return the words of a list in ``names/`` by origin, as written; an underscore joins the parts of a name."""
    found = {}
    for line in (NAMES / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            origin, _, words = line.partition(":")
            found[origin] = tuple(word.replace("_", " ") for word in words.split())
    return found


def sure_names(name: str) -> set[str]:
    """Return the folded words of a list in ``names/``."""
    return _parts((word for words in listed(name).values() for word in words), least=2)


def common_words(texts: Iterable[tuple[str, Iterable[tuple[int, int, str]], str]], least: int = 2) -> set[str]:
    """Return the words that are written small in at least ``least`` texts, or in German after an article.

    Args:
        texts: Each with its spans and its language; what stands in a span of a person is a name, however it is written.
        least: How many texts.
    """
    tally: Counter[str] = Counter()
    for text, spans, lang in texts:
        tokens = tokenize(text)
        folded = fold(text)
        counts = tokens.shape == LOWER_WORD
        if lang == "de":
            nouns = (tokens.shape == CAPITAL) & (tokens.gap == SPACE)
            nouns[1:] &= np.isin(tokens.hash[:-1], _ARTICLES)
            nouns[:1] = False
            counts |= nouns
        for start, end, kind in spans:
            if kind == "PERSON":
                counts &= (tokens.end <= start) | (tokens.start >= end)
        tally.update({folded[a:b] for a, b in zip(tokens.start[counts], tokens.end[counts], strict=True)})
    return {word for word, count in tally.items() if count >= least}


_ARTICLES = np.array(
    [
        hash_word(word)
        for word in (
            "der die das den dem des ein eine einen einem einer eines kein keine keinen ihre ihren ihrer unsere unser "
            "zur zum im am vom beim ins diese dieser dieses jede jeder alle"
        ).split()
    ],
    dtype=np.uint64,
)


def build(first: set[str], last: set[str], common: set[str], cities: set[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the gazetteer."""
    flags: dict[str, int] = {}
    common = common | everyday_words()
    cities = cities | places()
    given, family = sure_names("given") & first, sure_names("family") & last
    bits = ((first, FIRST), (last, LAST), (common, COMMON), (cities, CITY), (given, GIVEN), (family, FAMILY))
    for words, bit in bits:
        for word in words:
            flags[word] = flags.get(word, 0) | bit
    for word in sorted(sure_names("brands") - given):
        flags[word] = flags.get(word, 0) | BRAND << CATEGORY_SHIFT
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
