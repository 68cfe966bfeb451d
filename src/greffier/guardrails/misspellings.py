"""Words of attacks that are misspelt, as models read over it and patterns do not ("ignroe all prevoius instrctions").

A letter inside the word is missing, two neighbours changed places, or everything between the first and the last letter
is stirred. The first two are looked for in every text; stirred words are read only where one of those was found, as
they cost a look at every word.
"""

from collections.abc import Iterator
from functools import cache

import msgspec
import re2

from greffier.guardrails.decoding import Piece
from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.text import read_sections
from greffier.guardrails.matching import Text
from greffier.guardrails.packs import read_words
from greffier.guardrails.vocabulary import vocabulary
from greffier.guardrails.words import fold

_CONCEPTS = ("OVERRIDE", "PREV", "INSTR", "SYSPROMPT", "SECRETN", "REVEAL", "UNRESTR", "PERSONA", "JBWORDS")
_ALSO = (
    "system",
    "prompt",
    "developer",
    "administrator",
    "command",
    "password",
    "pretend",
    "safety",
    "assistant",
    "hidden",
    "secret",
)
_EXCHANGED = 5
_MISSING = 6
"""Least length of a word of which two letters are exchanged, or one is missing; shorter ones become other words."""
_OF_STEMS = 1  # a beginning of words proves less than a word
_STIRRED = 6
_WORD = re2.compile(r"\pL+")
_LONGEST = 24

_Key = tuple[str, str, int, str]


class Misspellings(msgspec.Struct, frozen=True):
    """Misspelt forms.

    Attributes:
        words: The right word for each misspelt one.
        stems: The right beginning for each misspelt one.
        stirred: The right word by its first and last letter, its length, and its other letters in order.
    """

    words: dict[str, str]
    stems: dict[str, str]
    stirred: dict[_Key, str]

    def right(self, word: str, *, stirred: bool) -> str:
        """The word that a folded one should have been; empty if it is right or unknown."""
        if word in self.words:
            return self.words[word]
        for end in range(_EXCHANGED, len(word) + 1):
            if word[:end] in self.stems:
                return self.stems[word[:end]] + word[end:]
        return self.stirred.get(_key(word), "") if stirred and len(word) >= _STIRRED else ""


@cache
def misspellings() -> Misspellings:
    """What the words of attacks become; what is a word of its own is left out."""
    known = vocabulary()
    ordinary = read_words("ordinary_words")
    words: dict[str, str] = {}
    stems: dict[str, str] = {}
    stirred: dict[_Key, str] = {}
    for word, is_stem in _sources():
        if not is_stem:
            stirred.setdefault(_key(word), word)
        for form in _forms(word, _OF_STEMS if is_stem else 0):
            if not known.knows(form) and form not in ordinary:
                (stems if is_stem else words).setdefault(form, word)
    return Misspellings(words, stems, stirred)


def _sources() -> Iterator[tuple[str, bool]]:
    sections = read_sections(LEXICONS / "attack.txt")
    for concept in _CONCEPTS:
        for entries in sections[concept].values():
            for entry in entries:
                *_, last = fold(entry).split("_")
                if len(last.rstrip("*")) >= _EXCHANGED and last.rstrip("*").isalpha():
                    yield last.rstrip("*"), last.endswith("*")
    yield from ((word, False) for word in _ALSO)


def _forms(word: str, longer: int) -> Iterator[str]:
    for at in range(1, len(word) - 1):
        if len(word) >= _MISSING + longer:
            yield word[:at] + word[at + 1 :]
        if word[at] != word[at + 1] and len(word) >= _EXCHANGED + longer:
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _key(word: str) -> _Key:
    return word[0], word[-1], len(word), "".join(sorted(word[1:-1]))


def begins_a_word(text: str, form: str) -> bool:
    """Whether a misspelt form, found somewhere in the text, stands where a word begins, and is not part of another."""
    ends = form not in misspellings().stems
    folded = fold(text)
    at = folded.find(form)
    while at >= 0:
        end = at + len(form)
        if not folded[at - 1 : at].isalpha() and not (ends and folded[end : end + 1].isalpha()):
            return True
        at = folded.find(form, end)
    return False


def misspelt_pieces(text: str) -> list[Piece]:
    """Misspelt words and what they should have been; empty where all are right or only stirred."""
    known, forms = vocabulary(), misspellings()
    wrapped = Text(text)
    spans = ((wrapped.point(m.start()), wrapped.point(m.end())) for m in _WORD.finditer(wrapped.data))
    folded = fold(text)
    sizes = range(_EXCHANGED - 1, _LONGEST + 1)
    unknown = [(start, end) for start, end in spans if end - start in sizes and not known.knows(folded[start:end])]
    if not any(forms.right(folded[start:end], stirred=False) for start, end in unknown):
        return []
    found = ((start, end, forms.right(folded[start:end], stirred=True)) for start, end in unknown)
    return [Piece(start, end, right, "misspelt") for start, end, right in found if right]
