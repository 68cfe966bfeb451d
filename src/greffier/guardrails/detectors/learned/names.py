"""Names of persons and postal addresses: a linear tagger with gazetteers, decoded where a name is likely."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned.model_files import LEXICONS, MODELS, load_model
from greffier.guardrails.detectors.learned.name_features import (
    CATEGORY_SHIFT,
    CITY,
    COMMON,
    FAMILY,
    GIVEN,
    ORG,
    PARTICLE,
    STREET,
    TAGS,
    TITLE,
    feature_table,
)
from greffier.guardrails.detectors.learned.names_gate import NamesGate
from greffier.guardrails.detectors.learned.text import Floats, Ints, fold
from greffier.guardrails.detectors.learned.tokens import (
    ALNUM,
    CAPITAL,
    COMMA,
    DIGITS,
    INITIAL,
    JOINED,
    LOWER_WORD,
    MIXED,
    SHOUTED,
    SPACE,
    STOP,
    Gazetteer,
    Tokens,
    tokenize,
)
from greffier.guardrails.ports import Passage

_QUIET: Final = 0.03
"""Words below this chance of being part of a name are passed over without decoding."""
_NEVER: Final = -1e9
_OUTSIDE: Final = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
_TYRE: Final = re.compile(r"\d{3}/\d{2} ?Z?R ?\d{2}")
_THINGS: Final = frozenset({
    "gleis", "platform", "track", "voie", "binario", "spoor", "andén", "gate", "bmw", "audi", "vw", "golf",
    "seat", "ford", "opel", "fiat", "tesla", "volvo", "mazda", "kia", "toyota", "peugeot",
    "renault", "reifen", "dell", "bosch",
})  # fmt: skip
"""First words of what has a number as houses have: tracks, models."""
_STANDARDS: Final = frozenset({"DIN", "ISO", "TIN", "EN", "MVP", "DOB", "IBAN", "VAT", "NHS", "BSN", "PESEL", "SEPA"})
_ADDRESSED: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]{1,255}|https?://\S+")
"""Mail addresses and links: what they hold of a name is theirs. Linear: a run is tried at its beginning alone."""
_SURE: Final = 0.85
_AGAIN: Final = 0.8
_HARDLY: Final = 0.1
"""A word that surely names somebody does so elsewhere in the text, unless it can hardly be a name there."""
_WORD: Final = 3  # letters
_LARGE: Final = frozenset({CAPITAL, SHOUTED, MIXED, INITIAL})
_FIRM: Final = 3  # words
_KNOWN: Final = 0.7
_KNOWN_SMALL: Final = 0.7
_CLEAR: Final = 4  # letters of a given name that is known though it is written small
_TITLED: Final = 3.0
_REACH: Final = 4  # words
_BESIDE: Final = frozenset({SPACE, STOP, JOINED})
_GROWTH: Final = 2  # words
_LONE: Final = 0.78
"""A single word with a capital needs more evidence than a first name and a surname."""


class Names:
    """Finds PERSON and ADDRESS."""

    name = "names"

    def __init__(self, models: Path = MODELS) -> None:
        arrays, self.digest = load_model("names", models)
        self._take(arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return a tagger with weights that come from no file (training, benchmarks)."""
        tagger = cls.__new__(cls)
        tagger.digest = "0" * 64
        tagger._take(arrays)  # noqa: SLF001 - a constructor of the same class
        return tagger

    def _take(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._gazetteer = Gazetteer(arrays["hashes"].astype(np.uint32), arrays["flags"].astype(np.uint16))
        small = frozenset(bytes(arrays["small"].astype(np.uint8)).decode("utf-8").split())
        self._gate = NamesGate(self._gazetteer, LEXICONS / "names.txt", small)
        self._namesakes = _namesakes(LEXICONS / "namesakes.txt")
        self._weights = arrays["weights"].astype(np.float32)
        self._bias = arrays["bias"].astype(np.float64)
        self._moves = arrays["moves"].astype(np.float64).tolist()
        self._least = dict(zip(("PERSON", "ADDRESS"), arrays["least"].astype(float).tolist(), strict=True))
        self.version = f"1-{self.digest[:12]}"

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the score of the strongest name and the strongest address, below the threshold too."""
        best = {"person": 0.0, "address": 0.0}
        for kind, _start, _end, score in self._spans(passage.text):
            best[kind.lower()] = max(best[kind.lower()], score)
        return best

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return the names and addresses that are likely enough to act on."""
        return self.examine_closely(passage) if self._gate.open(passage.text) else ()

    def examine_closely(self, passage: Passage) -> tuple[Finding, ...]:
        """Have the tagger read the text, whether or not it looks as if it held a name."""
        return tuple(
            Finding(
                detector=self.name, type=kind, start=start, end=end, score=score, rule="tagger", data_class="personal"
            )
            for kind, start, end, score in self._spans(passage.text)
            if not _of_things(kind, passage.text[start:end])
            and (kind == "ADDRESS" or end - start > 1)  # a letter alone names nobody
            and score >= (self._least[kind] if kind == "ADDRESS" or " " in passage.text[start:end] else _LONE)
        )

    def _spans(self, text: str) -> list[tuple[str, int, int, float]]:
        tokens = tokenize(text)
        if not len(tokens):
            return []
        flags = self._gazetteer.look_up(tokens)
        raw = self._weights.take(feature_table(tokens, flags).T, axis=0).sum(axis=0) + self._bias
        _trust(tokens, flags, raw)
        raw -= raw.max(axis=1, keepdims=True)
        chances = np.exp(raw)
        chances /= chances.sum(axis=1, keepdims=True)
        if "@" in text or "//" in text:
            for match in _ADDRESSED.finditer(text):
                begin = tokens.start.searchsorted(match.start())
                chances[begin : tokens.end.searchsorted(match.end(), "right")] = _OUTSIDE
        _recall_names(tokens, chances)
        loud = np.zeros(len(tokens) + 2, dtype=np.int8)
        loud[1:-1] = chances[:, 0] < 1 - _QUIET
        if not loud.any():
            return []
        edges = np.flatnonzero(np.diff(loud))
        sections = flags >> CATEGORY_SHIFT
        spans = []
        for first, stop in edges.reshape(-1, 2).tolist():
            tags = self._decode(np.log(chances[first:stop] + 1e-9))
            spans += self._collect(tokens, sections, chances, first, tags)
        return [
            span
            for span in spans
            if (
                _is_address(tokens, span[1], span[2])
                if span[0] == "ADDRESS"
                else not (_is_firm(text, tokens, sections, span[2]) or fold(text[span[1] : span[2]]) in self._namesakes)
            )
        ]

    def _decode(self, logs: Floats) -> list[int]:
        """Viterbi: the best sequence of tags, given each word's chances and the moves between tags."""
        count = len(TAGS)
        rows = logs.tolist()
        best = [rows[0][tag] if TAGS[tag][0] != "I" else _NEVER for tag in range(count)]
        came: list[list[int]] = []
        for row in rows[1:]:
            step, here = [], []
            for tag in range(count):
                options = [best[last] + self._moves[last][tag] for last in range(count)]
                top = max(options)
                here.append(options.index(top))
                step.append(top + row[tag])
            came.append(here)
            best = step
        tag = best.index(max(best))
        path = [tag]
        for here in reversed(came):
            tag = here[tag]
            path.append(tag)
        return path[::-1]

    def _collect(
        self, tokens: Tokens, sections: Ints, chances: Floats, first: int, tags: list[int]
    ) -> list[tuple[str, int, int, float]]:
        spans = []
        index = 0
        while index < len(tags):
            kind = TAGS[tags[index]][2:]
            if not kind:
                index += 1
                continue
            stop = index + 1
            while stop < len(tags) and TAGS[tags[stop]] == f"I-{kind}":
                stop += 1
            inside = TAGS.index(f"B-{kind}")
            likely = chances[first + index : first + stop, inside : inside + 2].sum(axis=1)
            # An address is long: one odd word in it must not hide it.
            score = float(likely.mean() if kind == "ADDRESS" else likely.mean() * 0.5 + likely.min() * 0.5)
            grow = _whole_address if kind == "ADDRESS" else _whole_name
            left, right = grow(tokens, sections, first + index, first + stop)
            spans.append((kind, int(tokens.start[left]), int(tokens.end[right - 1]), score))
            index = stop
        return spans


def _trust(tokens: Tokens, flags: Ints, raw: Floats) -> None:
    """Count a title before a word, or a name that is hardly anything else, as more than the weights learnt of them."""
    large = (tokens.shape != LOWER_WORD) & (tokens.shape < ALNUM)
    only = ((flags & (COMMON | CITY)) == 0) & (flags >> CATEGORY_SHIFT == 0)
    raw[large & only & ((flags & (GIVEN | FAMILY)) != 0), 1:3] += _KNOWN
    small = (tokens.shape == LOWER_WORD) & only & ((flags & GIVEN) != 0) & (tokens.end - tokens.start >= _CLEAR)
    raw[small, 1:3] += _KNOWN_SMALL
    for title in np.flatnonzero(flags >> CATEGORY_SHIFT == TITLE).tolist():
        at = title + 1
        while at < len(tokens) and tokens.gap[at] in _BESIDE and at - title <= _REACH:
            ordinary = (flags[at] & (COMMON | CITY)) and not flags[at] & (GIVEN | FAMILY)
            particle = flags[at] >> CATEGORY_SHIFT == PARTICLE
            if large[at] and not ordinary:
                raw[title + 1, 1] += _TITLED
                raw[title + 2 : at + 1, 2] += _TITLED
            if not particle:
                break
            at += 1


def _recall_names(tokens: Tokens, chances: Floats) -> None:
    """Raise the chances of words that are surely a name elsewhere in the text."""
    person = chances[:, 1] + chances[:, 2]
    large = (tokens.shape != LOWER_WORD) & (tokens.shape < DIGITS) & (tokens.shape != INITIAL)
    sure = large & (person > _SURE)
    if not sure.any():
        return
    again = large & (person > _HARDLY) & (person < _AGAIN) & np.isin(tokens.hash, tokens.hash[sure])
    if again.any():
        now = person[again][:, None]
        scaled = chances[again] * (1 - _AGAIN) / (1 - now)
        scaled[:, 1:3] = chances[again, 1:3] * _AGAIN / now
        chances[again] = scaled


def _whole_address(tokens: Tokens, sections: Ints, first: int, stop: int) -> tuple[int, int]:
    """Take in the house number or the word for a street right before the span."""
    left = first
    while left > 0 and first - left < _GROWTH and tokens.gap[left] in {JOINED, SPACE, COMMA}:
        shape = tokens.shape[left - 1]
        number = DIGITS < shape <= DIGITS + 4 or shape == ALNUM
        if not (sections[left - 1] == STREET or (number and tokens.shape[first] < DIGITS)):
            break
        left -= 1
    return left, stop


def _whole_name(tokens: Tokens, sections: Ints, first: int, stop: int) -> tuple[int, int]:
    """Take in the surname after a particle ("de Vries"), and leave a particle out that nothing follows."""
    if sections[stop - 1] != PARTICLE or tokens.shape[stop - 1] != LOWER_WORD:
        return first, stop
    right = stop
    while right < len(tokens) and right - stop < _GROWTH and sections[right] == PARTICLE and tokens.gap[right] == SPACE:
        right += 1
    if right < len(tokens) and tokens.gap[right] <= SPACE and tokens.shape[right] in {CAPITAL, MIXED, SHOUTED}:
        return first, right + 1
    while stop - first > 1 and sections[stop - 1] == PARTICLE:
        stop -= 1
    return first, stop


def _is_firm(text: str, tokens: Tokens, sections: Ints, end: int) -> bool:
    """Whether a firm's form or kind follows within three words with capitals ("Hahn Textil AG", "Weber & Partner")."""
    at = first = int(tokens.end.searchsorted(end, "right"))
    while at < len(tokens) and at - first < _FIRM:
        between = text[tokens.end[at - 1] : tokens.start[at]]
        if between.strip() not in {"", "&", "-", "."} or "\n" in between or tokens.shape[at] not in _LARGE:
            return False
        if sections[at] == ORG or between.strip() == "&":
            return True
        at += 1
    return False


def _namesakes(path: Path) -> frozenset[str]:
    """The names of firms, works and places that are names of persons too, folded."""
    return frozenset(
        fold(name.strip())
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and line[0] not in "#["
        for name in line.partition(":")[2].split(",")
    )


def _is_address(tokens: Tokens, start: int, end: int) -> bool:
    """Whether a span holds a number and a proper word: without a number it is a place, without a word an account."""
    inside = slice(int(tokens.start.searchsorted(start)), int(tokens.end.searchsorted(end, "right")))
    shapes: Ints = tokens.shape[inside]
    long = tokens.end[inside] - tokens.start[inside] >= _WORD
    words = long & ((shapes == CAPITAL) | (shapes == LOWER_WORD) | (shapes == MIXED) | (shapes == SHOUTED))
    return bool(((shapes >= DIGITS) | (shapes == ALNUM)).any() and words.any())


def _of_things(kind: str, text: str) -> bool:
    """Whether a model, a tyre, a track or a standard was taken for an address or a name."""
    if kind != "ADDRESS":
        return text in _STANDARDS
    words = text.split(maxsplit=1)
    return (bool(words) and words[0].casefold() in _THINGS) or _TYRE.match(text.strip()) is not None
