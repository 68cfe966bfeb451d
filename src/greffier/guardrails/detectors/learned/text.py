"""Folding of text to a plain form of the same length, and concept lexicons that are matched in it.

Everything here is one to one in length, so offsets in the folded text are offsets in the original.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]

_TABLE_SIZE: Final = 0x3000
_SPACE: Final = 32
_SPELLED: Final = 2
"""More single letters in a row than these are a word set apart."""


def _fold_code(code: int) -> int:
    """Return the folded code point: lower case, no accent, punctuation as a space."""
    char = chr(code).lower()[:1]
    if char in "ßẞ":
        return ord("s")
    if char in "œøðþł":
        return ord({"œ": "o", "ø": "o", "ð": "d", "þ": "t", "ł": "l"}[char])
    if char == "æ":
        return ord("a")
    base = unicodedata.normalize("NFKD", char)[:1].lower()
    if base == "@" or base.isalnum():
        return ord(base)
    return _SPACE


_FOLD: Final[Codes] = np.array([_fold_code(code) for code in range(_TABLE_SIZE)], dtype=np.uint32)


class _Folding(dict[int, str]):
    """The table for `str.translate`: quick for single words, where arrays are slow."""

    def __missing__(self, code: int) -> str:
        return " "


_FOLDING: Final = _Folding(enumerate(map(chr, _FOLD.tolist())))


def code_points(text: str) -> Codes:
    """Return the text's code points as an array."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def fold_codes(codes: Codes) -> Codes:
    """Fold code points one to one; those beyond the table (emoji, CJK) become spaces."""
    return np.where(codes < _TABLE_SIZE, _FOLD[np.minimum(codes, _TABLE_SIZE - 1)], np.uint32(_SPACE))


_LEET: Final[Codes] = np.arange(128, dtype=np.uint32)
for _digit, _letter in zip("013457", "oieast", strict=True):
    _LEET[ord(_digit)] = ord(_letter)


def unleet(folded: Codes) -> Codes:
    """Read digits between letters as the letters they look like ("n3ver"); numbers and "gpt4" stay."""
    digit = (folded >= ord("0")) & (folded <= ord("9"))
    if not digit.any():
        return folded
    letter = (folded >= ord("a")) & (folded <= ord("z"))
    between = np.zeros(len(folded), dtype=bool)
    between[1:-1] = digit[1:-1] & letter[:-2] & letter[2:]
    return np.where(between, _LEET[np.minimum(folded, 127)], folded)


def as_text(codes: Codes) -> str:
    """Return code points as a string."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def fold(text: str) -> str:
    """Return the folded text, of the same length."""
    return as_text(fold_codes(code_points(text)))


def padded(folded: str) -> str:
    """Return the folded text between two spaces, as lexicons match it (offsets move by one)."""
    return f" {folded} "


def squeeze(codes: Codes) -> tuple[str, Ints]:
    """Return the folded text with runs of spaces made one and a space at both ends, and each character's origin.

    Phrases in a lexicon are written with single spaces, so that line breaks and double spaces do not hide them.
    """
    spaces = codes == _SPACE
    keep = ~spaces
    keep[1:] |= ~spaces[:-1]
    origin = np.flatnonzero(keep)
    origin = origin[~_inside_spaced_word(codes[origin] == _SPACE)]
    return f" {as_text(codes[origin])} ", np.concatenate(([0], origin, [len(codes)])).astype(np.int64)


def _inside_spaced_word(space: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the single spaces between three or more single letters ("i g n o r e")."""
    alone = np.zeros(len(space) + 4, dtype=bool)
    edged = np.concatenate(([True], space, [True]))
    alone[2:-2] = ~space & edged[:-2] & edged[2:]
    # A space with a lone letter on both sides, and one more lone letter beyond either.
    beyond = np.zeros(len(space), dtype=bool)
    beyond[3:] |= alone[2:-2][:-3]
    beyond[:-3] |= alone[2:-2][3:]
    inside: npt.NDArray[np.bool_] = space & alone[1:-3] & alone[3:-1] & beyond
    return inside


class Lexicon:
    """Words and phrases in several languages, each standing for a concept.

    Attributes:
        concepts: Names of the concepts, in the order of their numbers.
        digest: SHA-256 of the files it was read from, so that a model can insist on the lexicon it was trained with.
        meanings: Numbers of the concepts that each literal of a squeezed text stands for.
    """

    def __init__(self, sections: Mapping[str, Mapping[str, tuple[str, ...]]], digest: str) -> None:
        self.concepts: tuple[str, ...] = tuple(sections)
        self.digest = digest
        meanings: dict[str, set[int]] = {}
        for number, languages in enumerate(sections.values()):
            for entries in languages.values():
                for entry in entries:
                    meanings.setdefault(lexicon_key(entry), set()).add(number)
        self.meanings: Mapping[str, AbstractSet[int]] = meanings


def lexicon_key(entry: str) -> str:
    """Return what is looked for: a leading space, and a trailing one unless the entry is a prefix."""
    if entry == "@":
        return entry
    words = " ".join(entry.rstrip("*").translate(_FOLDING).split())
    # "n00b" and "t a t on" are read in texts as "noob" and "tat on".
    if not words.replace(" ", "").isalpha() or [len(word) for word in words.split()].count(1) > _SPELLED:
        words = squeeze(unleet(fold_codes(code_points(words))))[0].strip(" ")
    return f" {words}" if entry.endswith("*") else f" {words} "


def read_sections(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Read a lexicon file: ``[CONCEPT]`` headings, then ``language: entries`` lines; ``#`` starts a comment line."""
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    heading = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            heading = line.strip("[]")
            sections.setdefault(heading, {})
        else:
            language, _, entries = line.partition(":")
            known = sections[heading].get(language, ())
            sections[heading][language] = known + tuple(entries.split())
    return sections


def read_lexicon(*paths: Path) -> Lexicon:
    """Read lexicon files into one lexicon; a concept that stands in two files is joined."""
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
        for concept, languages in read_sections(path).items():
            joined = sections.setdefault(concept, {})
            for language, entries in languages.items():
                joined[language] = joined.get(language, ()) + entries
    return Lexicon(sections, digest.hexdigest())


class Markers:
    """Literal strings, matched in the lower-cased text with its punctuation."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.digest = hashlib.sha256(data).hexdigest()
        concepts: list[str] = []
        literals: list[list[str]] = []
        for line in data.decode("utf-8").splitlines():
            if not line or line.startswith("# Literal"):
                continue
            if line.startswith("[") and line.endswith("]") and line[1:-1].isupper() and " " not in line:
                concepts.append(line[1:-1])
                literals.append([])
            else:
                literals[-1].append(line.replace("\\n", "\n"))
        self.concepts = tuple(concepts)
        self.literals = tuple(map(tuple, literals))
