"""The language of a text: which of six, or another; a profile of letter triples, no dictionary and no download.

A text is judged in stretches of some hundred characters, so that a paragraph in another language stands out. Code,
addresses and mark-up are no language and are passed over; so is a stretch with too few letters to tell.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import re2

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.model_files import load_model
from greffier.guardrails.matching import Text
from greffier.guardrails.ports import Passage

LANGUAGES = ("en", "de", "fr", "es", "it", "nl")
OTHER = "other"
SYMBOLS = "abcdefghijklmnopqrstuvwxyzäöüßéèêëàâáçñíìîïóòôúùûœæøåãõłśżźćńąęčšžěřůýđğışșțţăőűėģķļņūīēā'"  # noqa: RUF001 - letters of many alphabets

_STRETCH = 400
_FEWEST_LETTERS = 24
_SCALE = 16.0
_OVERLAP = 2.5  # triples overlap, so their evidence is counted less than once each
_LAST_LATIN = 0x24F
_NO_LANGUAGE = re2.compile(
    r"(?s)```.*?(?:```|$)|`[^`\n]{1,200}`|(?i:\b(?:https?://|www\.)\S+)|\S+@\S+|<[^<>\n]{1,300}>"
    r"|[\w.-]*[_/\\=(){}\[\]][\w./\\=(){}\[\]-]*|[\w-]*\d[\w-]*"
)


def _symbol_table() -> npt.NDArray[np.uint8]:
    table = np.zeros(_LAST_LATIN + 1, dtype=np.uint8)  # whatever is no symbol counts as a gap
    for number, symbol in enumerate(SYMBOLS, 1):
        table[ord(symbol)] = number
        upper = symbol.upper()
        if len(upper) == 1 and ord(upper) <= _LAST_LATIN:
            table[ord(upper)] = number
    return table


_TABLE = _symbol_table()
_SIZE = len(SYMBOLS) + 1


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)


def trigrams(text: str) -> npt.NDArray[np.int64]:
    """Numbers of the letter triples of a text; a gap is a letter too, repeated gaps are one."""
    points = np.where(_points(text) == 0x2019, ord("'"), _points(text))  # noqa: PLR2004 - the typographic apostrophe
    symbols = _TABLE[np.where(points <= _LAST_LATIN, points, 0)].astype(np.int64)
    symbols = np.concatenate(([0], symbols, [0]))
    symbols = symbols[np.concatenate(([True], (symbols[1:] != 0) | (symbols[:-1] != 0)))]
    if len(symbols) < 3:  # noqa: PLR2004 - no triple
        return np.zeros(0, dtype=np.int64)
    return (symbols[:-2] * _SIZE + symbols[1:-1]) * _SIZE + symbols[2:]


@lru_cache(maxsize=1)
def _profile() -> tuple[npt.NDArray[np.uint8], str]:
    """What the three letters cost in each language, and the digest of the model file."""
    arrays, digest = load_model("language")
    return np.ascontiguousarray(arrays["cost"].T.astype(np.uint8)), digest


def identify(text: str, profile: npt.NDArray[np.uint8] | None = None) -> tuple[str, float]:
    """The likeliest language of a text and how likely it is; an empty name where there are too few letters.

    Args:
        text: Prose; see `readable`.
        profile: Costs of letter triples by language; those of the model file, unless others are measured.

    Raises:
        DetectorError: The profile cannot be loaded.
    """
    points = _points(text)
    latin = int(np.count_nonzero(_TABLE[np.where(points <= _LAST_LATIN, points, 0)]))
    foreign = sum(1 for char in text if ord(char) > _LAST_LATIN and char.isalpha()) if not text.isascii() else 0
    if foreign > latin:
        return (OTHER, 0.99) if foreign >= _FEWEST_LETTERS // 3 else ("", 0.0)  # a word of Chinese has few characters
    if latin < _FEWEST_LETTERS:
        return "", 0.0
    cost = _profile()[0] if profile is None else profile
    total = -cost[trigrams(text)].sum(axis=0, dtype=np.float64) / (_SCALE * _OVERLAP)
    chances = np.exp(total - total.max())
    chances /= chances.sum()
    best = int(chances.argmax())
    if best >= len(LANGUAGES):  # further classes are families of other languages
        return OTHER, float(chances[len(LANGUAGES) :].sum())
    return LANGUAGES[best], float(chances[best])


class Languages:
    """``language`` findings where a stretch of text is in none of the allowed languages.

    Args:
        allowed: Codes of `LANGUAGES`, or ``other``.

    Raises:
        DetectorError: The profile cannot be loaded.
    """

    name = "language"

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)
        self.version = _profile()[1][:12]

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """One finding per run of stretches in the same language; the rule is its code."""
        text = passage.text
        prose = readable(text)
        found: list[Finding] = []
        for start, end in _stretches(prose):
            language, chance = identify(prose[start:end])
            if not language or language in self._allowed:
                continue
            last = found[-1] if found else None
            if last is not None and last.end == start and last.rule == language:
                found[-1] = Finding(self.name, "language", last.start, end, max(last.score, chance), rule=language)
            else:
                found.append(Finding(self.name, "language", start, end, round(chance, 3), rule=language))
        return tuple(found)


def readable(text: str) -> str:
    """The text with blanks where there is code, an address or mark-up; as long as before."""
    wrapped = Text(text)
    pieces: list[str] = []
    at = 0
    for match in _NO_LANGUAGE.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        pieces += (text[at:start], " " * (end - start))
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def _stretches(text: str) -> list[tuple[int, int]]:
    """Spans of about `_STRETCH` characters, cut at line ends or blanks; a short rest belongs to the last one."""
    spans: list[tuple[int, int]] = []
    at = 0
    while len(text) - at > _STRETCH + _STRETCH // 2:
        cut = max(text.rfind("\n", at + _STRETCH // 2, at + _STRETCH), -1)
        if cut < 0:
            cut = text.rfind(" ", at + _STRETCH // 2, at + _STRETCH)
        end = cut + 1 if cut > 0 else at + _STRETCH
        spans.append((at, end))
        at = end
    if at < len(text):
        spans.append((at, len(text)))
    return spans
