"""Words of six languages, by which a text in a cipher or written letter by letter is told from noise.

The commonest words (``rulepacks/common_words.txt``) say that a reading is a language; the words of attacks and of harm
(the lexicons of the trained detectors) are what a disguise would hide.
"""

from functools import cache

import ahocorasick
import msgspec

from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.text import read_sections
from greffier.guardrails.packs import read_lines
from greffier.guardrails.words import fold

_SHORT = (
    *("a", "i", "of", "to", "in", "is", "it", "be", "as", "at", "so", "we", "he", "by", "or", "on", "do", "if", "me"),
    *("my", "y", "e", "o", "l", "d", "n", "c"),
    *("no", "an", "am", "up", "us", "go", "la", "le", "de", "un", "et", "en", "du", "je", "tu", "il", "ce", "se", "au"),
    *("ne", "ou", "el", "es", "lo", "al", "su", "ti", "mi", "di", "da", "ma", "ai", "er", "zu", "im", "ob", "wo", "so"),
    *("te", "op", "af", "al", "je", "u"),
)  # fmt: skip
"""Words of one and two letters that part a run of letters into words; too short to prove anything."""

_LEAST = 3
_STEM = 5
_STRANGER = 1.2
_LETTER = 1.0
_OF_ENDING = (0.2, 0.2, 0.5, 0.8, 0.8)
"""What it costs to begin an unknown word, each of its letters, and the letters of an ending. A known word costs 1."""


class Vocabulary(msgspec.Struct, frozen=True):
    """Known words, folded.

    Attributes:
        common: The commonest words of each language.
        words: Those, and the words of attacks and of harm.
        stems: Beginnings of words of attacks and of harm.
    """

    common: frozenset[str]
    words: frozenset[str]
    stems: frozenset[str]

    def knows(self, word: str, least: int = 0) -> bool:
        """Whether a folded word is known, as it stands or by a beginning of at least ``least`` letters."""
        if word in self.words:
            return True
        return any(word[:end] in self.stems for end in range(max(_STEM, least), len(word) + 1))


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary, read once."""
    common = frozenset(word for line in read_lines("common_words") for word in line.partition(":")[2].split())
    words, stems = set(common), set()
    for name in ("attack", "harm"):
        for languages in read_sections(LEXICONS / f"{name}.txt").values():
            for entries in languages.values():
                for entry in entries:
                    *phrase, last = fold(entry).split("_")
                    words.update(word for word in phrase if len(word) >= _LEAST and word.isalpha())
                    if not last.endswith("*"):
                        words.update((last,) if len(last) >= _LEAST and last.isalpha() else ())
                    elif len(last) > _STEM and last[:-1].isalpha():
                        stems.add(last[:-1])
    return Vocabulary(common, frozenset(words), frozenset(stems))


def segmented(run: str) -> str:
    """Put spaces between the words of a run of letters ("ignoreallrules"): the division with the fewest strangers.

    Cost is linear in the length of the run.
    """
    folded = fold(run)
    ends: list[list[tuple[int, float, bool]]] = [[] for _ in folded]
    for last, known_word in _automaton().iter(folded):
        ends[last].append(known_word)
    # best[i]: least cost of the first i letters, where their last piece begins, where its known part ends; -1: unknown.
    best: list[tuple[float, int, int]] = [(0.0, 0, 0)]
    for at, known in enumerate(ends):
        cost, begin, stem = best[at]
        if stem > begin and at - stem < len(_OF_ENDING):
            choice = (cost + _OF_ENDING[at - stem], begin, stem)
        elif stem < 0:
            choice = (cost + _LETTER, begin, -1)
        else:
            choice = (cost + _STRANGER + _LETTER, at, -1)
        for length, price, is_stem in known:
            begin = at + 1 - length
            total = best[begin][0] + price
            if total < choice[0]:
                choice = (total, begin, at + 1 if is_stem else 0)
        best.append(choice)
    pieces: list[str] = []
    end = len(folded)
    while end:
        begin = best[end][1]
        pieces.append(run[begin:end])
        end = begin
    return " ".join(reversed(pieces))


@cache
def _automaton() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    known = vocabulary()
    prices = dict.fromkeys(known.words, 1.2) | dict.fromkeys(known.common, 0.8)
    prices |= {word: 1.9 if len(word) == 1 else 1.1 for word in _SHORT}
    for word, price in prices.items():
        automaton.add_word(word, (len(word), price, False))
    for stem in known.stems - prices.keys():
        automaton.add_word(stem, (len(stem), 1.0, True))
    automaton.make_automaton()
    return automaton
