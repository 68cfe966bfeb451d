"""The cheap first step of the tagger of names: whether anything in a text can be a name or an address at all.

The tagger takes half a millisecond however short the text. Its findings begin with a capital that a gazetteer knows, or
that stands where names stand (after a title, beside another capital, after an initial), and its addresses hold a number
beside a street or a postcode. A scan for these costs a tenth. It is no strict bound, as the tagger's features are
hashed: lone unknown words that only look like names are lost, and the tests say how few.
"""

from pathlib import Path
from typing import Final

import re2

from greffier.guardrails.detectors.learned.name_features import COMMON, FIRST, LAST
from greffier.guardrails.detectors.learned.text import fold, read_sections
from greffier.guardrails.detectors.learned.tokens import Gazetteer, hash_letters

_NAME: Final = FIRST | LAST
_ENOUGH_UNKNOWN: Final = 64
"""Words to look up in one text; whoever writes more of them has the tagger read it."""
_KEPT: Final = 1 << 14

_DIGITS: Final = b"0123456789"
_SENTENCE_ENDS: Final = frozenset(".!?:>*#-|")
_MARKS: Final = ".,;:!?()[]{}<>*#\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
_APART: Final = {ord(char): " " for char in "\t\n.,;:!?()[]{}<>*#\"'/|=_-"}
_ANY_NAME: Final = 1 << 20  # set with either kind of name, so that two words are compared at once
_ACCENTS: Final = {
    "a": "[aàáâãäå]", "c": "[cç]", "e": "[eèéêë]", "i": "[iìíîï]", "n": "[nñ]", "o": "[oòóôõö]", "u": "[uùúûü]",
}  # fmt: skip
_SHORT_TITLES: Final = frozenset({"m", "me", "d", "fr", "hr", "pr", "ing", "ir", "mx", "dott"})
_EVERYDAY: Final = frozenset({"guten", "sehr", "danke", "thanks", "merci", "gracias", "grazie", "bedankt"})
"""Greetings that nouns follow as often as names."""
_PARTICLES: Final = "von|van|de|del|della|di|da|dos|bin|ibn|al"
_SUFFIXES: Final = (
    "straße|strasse|str|weg|platz|allee|gasse|ring|ufer|damm|hof|straat|laan|plein|kade|dreef|dijk|park|steeg|singel|"
    "gracht|lei|baan|pad|berg|markt"
)


def _words(words: tuple[str, ...]) -> str:
    """An expression for folded words as people write them."""
    return "|".join("".join(_ACCENTS.get(char, char) for char in word).replace("ss", "(?:ss|ß)") for word in words)


def _of(path: Path, section: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for words in read_sections(path)[section].values() for word in words))


class NamesGate:
    """Says whether the tagger shall read a text.

    Args:
        gazetteer: What is known about words.
        words: File with titles, greetings, labels and words for streets.
        small: Given names that are no other word, as people in a hurry write them.
    """

    def __init__(self, gazetteer: Gazetteer, words: Path, small: frozenset[str] = frozenset()) -> None:
        self._gazetteer = gazetteer
        self._small = small
        titles = _of(words, "TITLE")
        long = tuple(word for word in titles if word not in _SHORT_TITLES)
        short = "|".join(word.capitalize() for word in titles if word in _SHORT_TITLES)
        greetings = tuple(word for word in _of(words, "GREET") if word not in _EVERYDAY)
        self._context = re2.compile(
            rf"(?i:\b(?:{_words(long)}))\.?\s{{1,2}}\p{{Lu}}"
            rf"|\b(?:{short})\.?\s\p{{Lu}}"
            rf"|\b\p{{Lu}}\.\s?-?\p{{Lu}}\p{{L}}"
            rf"|\b(?i:{_words(greetings)})\s\p{{Lu}}\p{{L}}"
            rf"|\b(?i:{_words(_of(words, 'LABEL'))})\s?[:\s]\s*\p{{Lu}}\p{{L}}"
            rf"|\p{{Lu}}\p{{L}}+\s(?:{_PARTICLES})\s(?:der\s|den\s|la\s|los\s)?\p{{Lu}}\p{{L}}"
        )
        street = _words(_of(words, "STREET"))
        self._address = re2.compile(
            rf"\d[\d\p{{L}}/-]*,?\s(?:\p{{L}}+\s){{0,3}}(?i:{street})\b"
            rf"|\b(?i:{street})\b\.?[^\d\n]{{0,40}}\d"
            rf"|\p{{L}}{{3}}(?i:{_SUFFIXES})\.?,?\s\d"
            r"|\b\d{4,5}(?:\s?[A-Z]{2})?,?\s\p{Lu}"
            r"|\b[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}\b"
            r"|\p{Lu}\p{L}+,?\s\d{1,4}[a-zA-Z]?\s?[,\n]"
        )
        self._known: dict[int, int] = {}

    def open(self, text: str) -> bool:
        """Whether the tagger could find something."""
        data = text.encode("utf-8", "replace")
        if self._context.search(data) is not None:
            return True
        return (
            self._names(text)
            or (len(data.translate(None, _DIGITS)) != len(data) and self._address.search(data) is not None)
            or not self._small.isdisjoint(text.translate(_APART).split())
        )

    def _names(self, text: str) -> bool:
        """Whether a word with a capital is a known name, or stands beside another one."""
        new = 0
        first_flags, first_starts = 0, True
        beside = False  # whether the word before had a capital, and nothing but space follows it
        last = -1
        words = text.split()
        for at in [at for at, written in enumerate(words) if not written.islower()]:
            written, before = words[at], words[at - 1] if at else ""
            if at != last + 1:
                beside = False
            last = at
            for word in _parts(written):
                key = hash(word)  # numbers only: words of a caller are not kept
                flags = self._known.get(key, -1)
                if flags < 0:
                    new += 1
                    if new > _ENOUGH_UNKNOWN:
                        return True
                    flags = self._learn(key, word)
                if flags & _NAME and not flags & COMMON:
                    return True
                starts = not beside and (not before or before[-1] in _SENTENCE_ENDS)
                if beside and len(word) > 1 and (not first_starts or (flags & first_flags & _ANY_NAME)):
                    return True
                beside, first_flags, first_starts = len(word) > 1, flags, starts
            beside = beside and written[-1].isalnum()
        return False

    def _learn(self, key: int, word: str) -> int:
        flags = self._gazetteer.flags_of(hash_letters(fold(word)))
        if flags & _NAME:
            flags |= _ANY_NAME
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[key] = flags
        return flags


def _parts(written: str) -> tuple[str, ...] | list[str]:
    """The words with a capital in something written without a space."""
    core = written.strip(_MARKS)
    if core.isalpha():
        return (core,) if core[0].isupper() else ()
    parts = "".join(char if char.isalnum() else " " for char in core).split()
    return [part for part in parts if part[0].isupper()]
