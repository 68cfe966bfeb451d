"""Reads words of a lexicon that are misspelt, run together, stretched or written with digits.

The first and the last letter are trusted, so that ordinary words seldom become insults by accident. Only words that no
lexicon knows are looked at. A look costs some dictionary look-ups per word, whatever the size of the lexicon.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

_LEET: Final = str.maketrans("0134578@$", "oieastbas")
_WORD: Final = 5
"""Least length (letters) of a whole word that is recognised although misspelt."""
_STEM: Final = 6
"""The same of a beginning of words."""
_ENDING: Final = 4
"""Most letters after a misspelt beginning."""
_PART: Final = 4
"""Least length of a word that is recognised although run together with another known word."""
_CLEAR: Final = 7
"""From this length on, run together with anything."""

Meaning = tuple[tuple[str, int], ...]
"""Concepts, each with the languages (bits) in which the word has it."""


class Hidden(NamedTuple):
    """A recognised part of a word: where it begins in it, its length, and what it means."""

    start: int
    length: int
    meaning: Meaning


class Disguises:
    """Index of the words that are worth recognising in disguise.

    Args:
        words: Whole words, folded, and their meanings.
        stems: Beginnings of words, folded, and their meanings.
        others: Known words, and their languages, beside which a word of the same language can be recognised when both
            are written as one.
        ordinary: Words that only look like a disguise.
    """

    def __init__(
        self,
        words: Mapping[str, Meaning],
        stems: Mapping[str, Meaning],
        others: Mapping[str, int],
        ordinary: Collection[str] = (),
    ) -> None:
        self._ordinary = frozenset(ordinary)
        self._words = words
        self._stems = stems
        self._known = dict(others)
        for word, meaning in words.items():
            self._known[word] = self._known.get(word, 0) | _languages(meaning)
        self._altered = _alterations(words, _WORD)
        self._altered_stems = _alterations(stems, _STEM)
        self._heads = frozenset(word[:_PART] for word in (*words, *stems) if len(word) >= _PART)

    def find(self, word: str) -> tuple[Hidden, ...]:
        """Return what is recognised in a folded word that no lexicon knows."""
        if word in self._ordinary:
            return ()
        whole = self._whole(word)
        return (Hidden(0, len(word), whole),) if whole else tuple(self._parts(word))

    def _whole(self, word: str) -> Meaning:
        if not word.isalpha():
            word = word.translate(_LEET)
            if found := self._plain(word, _PART):
                return found
        if len(set(word)) < len(word) - 1 and (found := self._shortened(word)):
            return found
        if found := self._altered.get(word, ()):
            return found
        for length in range(max(_STEM, len(word) - _ENDING), len(word) + 1):
            if found := self._altered_stems.get(word[:length], ()):
                return found
        return ()

    def _plain(self, word: str, least: int) -> Meaning:
        """Return the meaning of a word as it stands, or of its beginning of at least ``least`` letters."""
        found = self._words.get(word, ())
        for length in range(len(word), max(least, len(word) - _ENDING) - 1, -1):
            if found:
                break
            found = self._stems.get(word[:length], ())
        return found

    def _shortened(self, word: str) -> Meaning:
        runs = [(letter, len(tuple(run))) for letter, run in groupby(word)]
        if max(length for _, length in runs) > 2:  # noqa: PLR2004 - no word has a letter three times in a row
            for most in (1, 2):
                if found := self._plain("".join(letter * min(length, most) for letter, length in runs), _PART):
                    return found
        return ()

    def _parts(self, word: str) -> Iterator[Hidden]:
        first = word[:_PART] in self._heads
        for at in range(2, len(word) - 2):
            if word[at : at + _PART] in self._heads:
                right = word[at:]
                languages = -1 if len(right) >= _CLEAR else self._known.get(word[:at], 0)
                if languages and (found := _in(languages, self._plain(right, _CLEAR - 1))):
                    yield Hidden(at, len(right), found)
                    if first and (before := _in(_languages(found), self._words.get(word[:at], ()))):
                        yield Hidden(0, at, before)
                    return
            if first and at >= _PART and (languages := self._known.get(word[at:], 0)):
                found = _in(languages, self._words.get(word[:at], ()))
                if found:
                    yield Hidden(0, at, found)
                    return


def _alterations(words: Mapping[str, Meaning], least: int) -> dict[str, Meaning]:
    """Return the words with one inner letter missing (longer ones), or two neighbours exchanged."""
    altered: dict[str, Meaning] = {}
    for word, meaning in words.items():
        if len(word) >= least and word.isalpha():
            for at in range(1, len(word) - 1):
                if len(word) > least:
                    altered.setdefault(word[:at] + word[at + 1 :], meaning)
                altered.setdefault(word[:at] + word[at + 1] + word[at] + word[at + 2 :], meaning)
    return altered


def _in(languages: int, meaning: Meaning) -> Meaning:
    return tuple((concept, bits & languages) for concept, bits in meaning if bits & languages)


def _languages(meaning: Meaning) -> int:
    bits = 0
    for _, languages in meaning:
        bits |= languages
    return bits
