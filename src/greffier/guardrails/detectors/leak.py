"""Leaks in an answer: the prompt as it stands or in other words, its canary, and links that carry data away."""

import hashlib
from collections.abc import Iterable, Iterator

from greffier.core.randomness import random_bytes
from greffier.core.rulings import Finding
from greffier.guardrails.detectors.paraphrase import Gist, Telling
from greffier.guardrails.matching import PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import fold

_GRAM = 24
_HALF = _GRAM // 2  # any 24 letters in a row hold 12 that begin at a multiple of 12
_STRIDE = 4
_FEW_HITS = 3
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_LEET = str.maketrans("013457@$!", "oieastasi")


_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalnum())


class Squeezed:
    """A text reduced to its letters and digits in lower case, with the way back."""

    __slots__ = ("_folded", "text")

    def __init__(self, text: str) -> None:
        folded = text.lower()
        if len(folded) != len(text):  # a few capitals lower to two characters; offsets matter more than they do
            folded = "".join(char if len(char.lower()) != 1 else char.lower() for char in text)
        self._folded = folded
        if folded.isascii():  # twenty times faster than letter by letter
            self.text = folded.encode("ascii").translate(None, _NO_LETTERS).decode("ascii")
        else:
            self.text = "".join([char for char in folded if char.isalnum()])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text the letters from ``start`` to ``end`` stand; worked out only when something was found."""
        at = [i for i, char in enumerate(self._folded) if char.isalnum()]
        return at[start], at[end - 1] + 1


_WHO = (
    *("you are ", "you're ", "du bist ", "sie sind ", "tu es ", "vous \u00eates ", "eres ", "usted es "),
    *("sei ", "tu sei ", "je bent ", "u bent ", "jij bent "),
)
_LONGEST_INTRODUCTION = 200


def _introduction(prompt: str) -> int:
    """How many letters and digits the sentence takes that says who the assistant is; 0 if there is none, or no more."""
    opening = prompt.lstrip()[:_LONGEST_INTRODUCTION]
    if not opening.lower().startswith(_WHO):
        return 0
    ends = [at for at in (opening.find(mark) for mark in (". ", ".\n", "\n", "! ")) if at > 0]
    if not ends:
        return 0
    letters = len(Squeezed(opening[: min(ends)]).text)
    return letters if len(Squeezed(prompt).text) >= letters + _GRAM else 0


class Shingles:
    """All runs of 24 letters of a prompt, forwards, reversed and in rot13, and its gist: what no answer may contain.

    An opening sentence that says who the assistant is may be repeated as it stands: an assistant introduces itself.
    """

    __slots__ = ("_gist", "_grams", "_halves")

    def __init__(self, prompt: str) -> None:
        squeezed = Squeezed(prompt).text
        begin = _introduction(prompt)
        variants = (
            (begin, squeezed),
            (begin, squeezed.translate(_LEET)),
            (0, squeezed[::-1]),
            (0, squeezed.translate(_ROT13)),
        )
        self._gist = Gist(prompt)
        self._grams = _runs(variants, _GRAM)
        self._halves = _runs(variants, _HALF)

    def __bool__(self) -> bool:
        return bool(self._grams)

    def copied(self, text: str) -> tuple[int, int, int] | None:
        """The span that repeats the prompt and the number of sampled runs found in it, or None."""
        squeezed = Squeezed(text)
        hits = self._hits(squeezed.text)
        if not hits:
            leet = squeezed.text.translate(_LEET)
            if leet != squeezed.text:
                hits = self._hits(leet)
        if not hits:
            return None
        return *squeezed.span(hits[0], hits[-1] + _GRAM), len(hits)

    def told(self, text: str) -> Telling | None:
        """Where a text tells the prompt's instructions in other words, or None."""
        return self._gist.told(text)

    def _hits(self, letters: str) -> list[int]:
        """Sampled places whose run stands in the prompt."""
        # A third of the work for a text that repeats nothing: looked up in halves first.
        halves = self._halves.intersection([letters[i : i + _HALF] for i in range(0, len(letters) - _HALF + 1, _HALF)])
        if not halves:
            return []
        grams = self._grams
        return [i for i in range(0, len(letters) - _GRAM + 1, _STRIDE) if letters[i : i + _GRAM] in grams]


def _runs(variants: Iterable[tuple[int, str]], size: int) -> frozenset[str]:
    """All runs of so many letters of texts, each from its start on."""
    return frozenset(text[i : i + size] for start, text in variants for i in range(start, len(text) - size + 1))


def new_canary() -> str:
    """A random token for one request. It carries its own check digits, so that any gateway knows it for a canary."""
    drawn = random_bytes(4).hex()
    return f"{_CANARY_HEAD}{drawn}{_check_digits(drawn)}"


def _check_digits(drawn: str) -> str:
    return hashlib.sha256(b"greffier.canary/1" + drawn.encode()).hexdigest()[:4]


def _canaries(text: str) -> Iterator[tuple[int, int]]:
    """Spans of canaries, of whatever request, conversation, use case or tenant."""
    if _CANARY_HEAD not in text and "C-" not in text:
        return
    folded = fold(text)
    at = folded.find(_CANARY_HEAD)
    while at >= 0:
        token = folded[at : at + _CANARY_LENGTH]
        if len(token) == _CANARY_LENGTH and token[10:] == _check_digits(token[2:10]):
            yield at, at + _CANARY_LENGTH
        at = folded.find(_CANARY_HEAD, at + 1)


_CANARY_HEAD = "c-"
_CANARY_LENGTH = 14


def prompt_leaks(text: str, canary: str, shingles: Shingles | None) -> Iterator[Finding]:
    """Findings of type ``prompt_leak`` in a piece of an answer."""
    if canary:
        at = fold(text).find(canary)
        if at >= 0:
            yield Finding("leak", "prompt_leak", at, at + len(canary), 1.0, rule="canary")
            return
    if shingles is not None and shingles:
        copied = shingles.copied(text)
        if copied is not None:
            start, end, hits = copied
            sure = hits >= _FEW_HITS
            yield Finding("leak", "prompt_leak", start, end, 0.95 if sure else 0.6, rule="shingles")
            if sure:
                return
        telling = shingles.told(text)
        if telling is not None:
            score = 0.9 if telling.instructions > _FEW_HITS else 0.8
            yield Finding("leak", "prompt_leak", telling.start, telling.end, score, rule="paraphrase")


_SCORES = {
    **dict.fromkeys(("link-with-data", "reference-link", "address-with-data", "diagram-link", "latex-fetch"), 0.55),
    **dict.fromkeys(("html-sent", "tracking-pixel", "mail-with-data"), 0.85),
    **dict.fromkeys(("script-link", "html-data"), 0.95),
}
"""What a browser fetches by itself counts more than what somebody must click on."""


class Leaks:
    """Addresses in an answer that carry data to another host, and canaries of other requests."""

    name = "leak"
    version = "3"

    def __init__(self) -> None:
        self._patterns = PatternSet(read_patterns("exfiltration"))

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return ``exfiltration`` and ``prompt_leak`` findings; only answers and tool calls are examined."""
        if passage.provenance not in {"output", "tool_call"}:
            return ()
        text = Text(passage.text)
        found = [
            Finding(self.name, pattern.type, start, end, _score(pattern.id, passage.text[start:end]), rule=pattern.id)
            for pattern, start, end in self._patterns.spans(text)
        ]
        found += [
            Finding(self.name, "prompt_leak", start, end, 1.0, rule="known-canary")
            for start, end in _canaries(passage.text)
        ]
        return tuple(found)


def _score(rule: str, address: str) -> float:
    fixed = _SCORES.get(rule)
    if fixed is not None:
        return fixed
    carries = "?" in address or len(address) > 120 or address.startswith("data:text")  # noqa: PLR2004 - long paths carry data too
    return 0.85 if carries else 0.5
