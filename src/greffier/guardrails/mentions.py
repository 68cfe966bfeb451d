"""Mention or use: words of an attack that a user quotes in order to talk about them are none.

Two things must come together. The words stand in a quotation (marks of six languages, back-ticks, code, alternatives of
a regular expression). And outside of all quotations the user asks, programs, explains, translates, tests or reports,
and does not ask that the quotation be obeyed or said. Documents and tool results have no such excuse: nobody there asks
anything.
"""

import re2

from greffier.guardrails.matching import Text
from greffier.guardrails.packs import read_pack
from greffier.guardrails.words import fold, names

_QUOTED = re2.compile(
    r"(?s)```.*?```|`[^`\n]+`|“[^“”\n]+[”“]|„[^“”„\n]+[“”]|«[^«»\n]+»|»[^«»\n]+«|\"[^\"\n]+\""
    r"|(?:^|[\s(\[=:,])'[^'\n]+'"
    r"|(?m:\([^()|\n]{1,60}(?:\|[^()|\n]{1,60})+\)(?:[^\n]*\([^()|\n]{1,60}(?:\|[^()|\n]{1,60})+\))*\S*)"
)
_LONGEST = 800  # a quotation that is a small part of a long text proves nothing about the rest
_LONGEST_QUESTION = 500


class Mentions:
    """Quotations of a text, and whether the rest of it talks about them.

    Attributes:
        framed: Whether it does.
        ordered: Whether it asks that they be obeyed or said.
        rest: The text without its quotations.
        quotations: The quotations alone.
        about_security: Whether the whole speaks in the terms of people who defend such systems.
    """

    __slots__ = ("_spans", "about_security", "framed", "ordered", "quotations", "rest")

    def __init__(self, text: str) -> None:
        self._spans: list[tuple[int, int]] = []
        self.framed = False
        self.about_security = False
        self.ordered = False
        self.rest = text
        self.quotations = ""
        if len(text) > _LONGEST:
            return
        wrapped = Text(text)
        self._spans = [(wrapped.point(m.start()), wrapped.point(m.end())) for m in _QUOTED.finditer(wrapped.data)]
        whole = fold(text)
        self.about_security = len(text) <= _LONGEST_QUESTION and names(whole, _TOPICS) and not names(whole, _ORDERS)
        self._spans = [(start, end) for start, end in self._spans if _says_something(text[start:end])]
        if not self._spans:
            return
        self.quotations = "\n".join(text[start:end] for start, end in self._spans)
        pieces: list[str] = []
        at = 0
        for start, end in self._spans:
            pieces += (text[at:start], " ... ")
            at = end
        self.rest = "".join((*pieces, text[at:]))
        folded = fold(self.rest)
        asks = "?" in self.rest and len(self.rest.split()) >= _FEWEST_WORDS_OF_A_QUESTION
        framed = asks or names(folded, _FRAMES) or _CODE.search(self.rest) is not None
        self.ordered = names(folded, _ORDERS)
        self.framed = framed and not self.ordered

    def quoted(self, start: int, end: int) -> bool:
        """Whether the span touches a quotation that the rest talks about."""
        return self.framed and any(start < last and first < end for first, last in self._spans)


def _says_something(quoted: str) -> bool:
    """Whether a quotation is a saying rather than a term: "system prompt" in quotes is still the system prompt."""
    return "|" in quoted or len(quoted.split()) >= _FEWEST_WORDS


_FEWEST_WORDS = 3
_FEWEST_WORDS_OF_A_QUESTION = 4
_CODE = re2.compile(
    r"(?m)^\s*(?:def|const|let|var|import|from|return|SELECT|function|class|assert|raise|if|for)\b.*[(=:;]|\w+ ?= ?\["
    r"|\w+_\w+\(|\.\w+\(\)"
)
_WORDS = read_pack("mention_words")
_FRAMES = tuple(_WORDS["frames"])
_ORDERS = tuple(_WORDS["orders"])
_TOPICS = tuple(_WORDS["topics"])
_RECOGNISING = tuple(_WORDS["recognising"])


def recognises(span: str) -> bool:
    """Whether a request to write or show something is about instructions that somebody else hides."""
    return names(fold(span), _RECOGNISING)
