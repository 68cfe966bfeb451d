"""What the toxicity model sees: words of contempt and threat, whom they are about, and whether they are meant.

"I hate them" and "nobody should say that they hate them" hold the same words. So each word of `toxic.txt` gets a
reading: meant, negated, or quoted; and it is joined with what stands near it in its sentence: a group, "you", a thing,
a wish, a condemnation, praise. The features are names ("DEHUM|GROUP"), so that a finding explains itself:

- ``C``: a word of kind C is meant; ``C~``: it is negated; ``C"``: it is quoted,
- ``C|T``: near a target T; ``C|-``: near none; ``C|group``: a group stands in the next or the last sentence,
  ``C|they``: and this one says "they",
- ``C&U``, ``C|GROUP&U``: near something that turns its sense; ``C+D``: together with another kind.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import re2

from greffier.guardrails.detectors.learned.tone_words import LONGEST, Event, Page, ToneWords

_NEAR: Final = 90
"""Characters between a word and what is joined with it."""
_BEFORE: Final = 40
"""How far before a word (characters) a negation still reaches it."""
_FRAMED: Final = 90
"""How far "people who say that" reaches (characters)."""
_NAMED: Final = 12
"""How far before a verb of naming its word may end (characters): an ending may follow."""
_OWN: Final = 25
"""How far "I am" reaches (characters)."""
_CLOSE: Final = 2
"""A negation this close behind a verb (characters) is its own ("déteste pas")."""
_AFTER: Final = 80
"""How far "nothing but" and "never tolerate" reach (characters)."""

_QUOTES: Final = re2.compile(
    "[\"\u201c\u201d\u201e\u00ab\u00bb`]|(?:^|[\\s(:])['\u2018\u201a]|['\u2019](?:$|[\\s).,:;!?])"
)
_LINKS: Final = frozenset(
    (
        *(
            "that",
            "to",
            "or",
            "of",
            "nor",
            "even",
            "especially",
            "dass",
            "daß",
            "zu",
            "als",
            "wie",
            "um",
            "vor",
            "oder",
        ),
        *("que", "qu", "de", "ou", "ni", "o", "che", "di", "né", "dat", "om", "te", "noch"),
    )
)
"""Words behind a comma that carry a negation on."""

TARGETS: Final = ("GROUP", "YOU", "THEM", "FOLK", "THING", "SELF")
TURNS: Final = ("LIKE", "MUST", "POS", "JUDGE", "SAYING", "NEWS")
_TURNED: Final = frozenset({"BEAR", "WORTH"})
"""Harmless words that are contempt when they are negated ("can't bear", "not worth"): NOBEAR, NOWORTH."""
_DEEDS: Final = frozenset({"THREAT", "HARMV", "RAPE", "HATEV"})
"""What one refuses to bear, or says that nobody is worth: "never tolerate that they are killed"."""
_LATE: Final = frozenset({"HATEV", "THREAT"})
"""Verbs whose negation may end the sentence ("ich hasse sie nicht")."""
_ALONE: Final = ("GROUP", "YOU", "JUDGE", "SAYING", "POS", "NEWS", "NOT", "BAD", "LIKE", "MUST")


_OF_SPEECH: Final = frozenset({"JUDGE", "SAYING", "NEWS", "NOT"})
"""Says nothing where no word of contempt is near."""


class Reading(msgspec.Struct, frozen=True):
    """Features of one piece of a text.

    Attributes:
        start: First character of the piece.
        end: One past its last.
        features: Names of what was recognised.
    """

    start: int
    end: int
    features: frozenset[str]


class ToneReader:
    """Reads texts sentence by sentence."""

    def __init__(self, lexicons: Path, ordinary: Collection[str] = ()) -> None:
        self.words = ToneWords(lexicons, ordinary)
        self.digest = self.words.digest

    def read(self, text: str) -> tuple[int, list[Reading]]:
        """Return which of `ToneWords.watched` a text holds (bits), and the features of its pieces.

        Where words of `toxic.txt` are found, only their sentences and the neighbouring ones are read; where only groups
        are named, theirs.
        """
        page = Page(text)
        held, places = self.words.hits(page)
        stretches = page.around(places) if places else [(0, len(text))]
        return held, [reading for start, end in stretches for reading in self._stretch(page, start, end)]

    def _stretch(self, page: Page, start: int, end: int) -> Iterator[Reading]:
        quotes = _quoted(page.text[start:end], start)
        pieces = list(_pieces(self.words.events(page, start, end), page.borders))
        groups = [any(event.concept == "GROUP" for event in piece) for piece in pieces]
        for at, piece in enumerate(pieces):
            beside = (at > 0 and groups[at - 1]) or (at + 1 < len(groups) and groups[at + 1])
            features = frozenset(_Sentence(page, piece, _over(quotes, piece), self.words.harms).features(beside=beside))
            stop = max(event.end for event in piece)
            while stop < end and page.text[stop].isalnum():
                stop += 1  # the rest of a word whose beginning is in the lexicon
            yield Reading(piece[0].start, stop, features)


class _Sentence:
    """One piece of a text.

    Args:
        page: The text.
        piece: What was recognised, in order.
        quotes: Where the text quotes.
        harms: Concepts of `toxic.txt`.
    """

    def __init__(
        self, page: Page, piece: Sequence[Event], quotes: Sequence[tuple[int, int]], harms: Collection[str]
    ) -> None:
        self._text = page.text
        self._piece = piece
        self._quotes = quotes
        self._harms = harms
        self._stop = piece[-1].end
        border = page.border(self._stop)
        self._tail = page.text[max(self._stop, border - _BEFORE) : border]
        self._asks = "?" in self._tail
        self._nots = [event for event in piece if event.concept in {"NOT", "NOBODY"}]
        self._denied = [event for event in self._nots if event.concept == "NOT"]
        self._onlys = [event for event in piece if event.concept == "ONLY"]
        self._frames = [event for event in piece if event.concept == "FRAME"]
        self._namings = [event for event in piece if event.concept == "NAMING"]
        self._held = {event.concept for event in piece}
        self._targets = [target for target in TARGETS if target in self._held]

    def features(self, *, beside: bool) -> Iterator[str]:
        """Return the names of the features; ``beside`` tells whether a neighbouring sentence names a group."""
        meant: list[Event] = []
        refused = self._refused()
        for event in self._piece:
            concept = event.concept
            quoted = self._mentioned(event)
            if concept in self._harms:
                if quoted:
                    yield f'{concept}"'
                    if self._held & {"JUDGE", "SAYING", "FRAME"}:
                        yield f'{concept}"&SAYING'
                elif event in refused or (not self._asks and self._taken_back(event)):
                    yield f"{concept}~"
                    yield from (f"{concept}~|{target}" for target in self._targets)
                else:
                    meant.append(event)
            elif concept in _TURNED and not quoted and not refused and self._turned(event):
                meant.append(Event(f"NO{concept}", event.start, event.end))
            elif concept == "POS" and self._negated(event):
                yield "POS~"
                yield from (f"POS~|{target}" for target in self._targets)
            elif concept == "BAD" and not self._negated(event):
                yield from (f"BAD|{target}" for target in self._targets)
        for event in meant:
            yield from self._about(event, beside=beside)
        yield from _together([event.concept for event in meant])
        told = bool(self._held & set(self._harms))
        yield from (name for name in _ALONE if name in self._held and (told or name not in _OF_SPEECH))
        yield from (mark for mark in "?!" if mark in self._tail)

    def _mentioned(self, event: Event) -> bool:
        """Whether a word is quoted, or what others say or should not say."""
        return (
            any(start < event.start and event.end <= end for start, end in self._quotes)
            or any(0 <= event.start - frame.end <= _FRAMED for frame in self._frames)
            or any(0 <= naming.start - event.end <= _NAMED for naming in self._namings)
        )

    def _refused(self) -> list[Event]:
        """Return the deeds that the sentence says nobody should bear or deserves."""
        return [
            deed
            for event in self._piece
            if event.concept in _TURNED and (self._negated(event) or self._late(event))
            for deed in self._piece
            if deed.concept in _DEEDS
            and (0 < deed.start - event.end <= _AFTER or (event.concept == "BEAR" and deed.start < event.start))
        ]

    def _negated(self, event: Event) -> bool:
        return self._after(event, self._nots)

    def _turned(self, event: Event) -> bool:
        return self._after(event, self._denied) or (bool(self._denied) and self._late(event))

    def _after(self, event: Event, nots: Sequence[Event]) -> bool:
        if event.final or any(0 < event.start - only.start <= _AFTER for only in self._onlys):
            return False
        return any(
            no.end <= event.start <= no.end + _BEFORE and _one_clause(self._text[no.end : event.start]) for no in nots
        )

    def _late(self, event: Event) -> bool:
        if any(0 <= no.start - event.end <= _CLOSE for no in self._nots):
            return True
        if not self._nots or self._nots[-1].start < event.end:
            return False
        return not self._text[self._nots[-1].end : self._stop].strip()

    def _taken_back(self, event: Event) -> bool:
        return self._negated(event) or (event.concept in _LATE and self._late(event))

    def _about(self, event: Event, *, beside: bool) -> Iterator[str]:
        concept = event.concept
        # Whom others are said to have spoken about is nobody's target here.
        stop = min((frame.start for frame in self._frames if frame.start >= event.end), default=event.end + _NEAR)
        near = {
            other.concept
            for other in self._piece
            if other is not event
            and other.start - event.end < _NEAR
            and event.start - other.end < _NEAR
            and (other.concept not in TARGETS or other.start < stop)
        }
        if "SELF" in near and not self._about_oneself(event):
            near.discard("SELF")
        yield concept
        targets = [target for target in TARGETS if target in near]
        yield from (f"{concept}|{target}" for target in targets or "-")
        if beside and "GROUP" not in near:
            yield f"{concept}|group"
            if "THEM" in near:
                yield f"{concept}|they"
        for turn in TURNS:
            if turn in near:
                yield f"{concept}&{turn}"
                if "GROUP" in near:
                    yield f"{concept}|GROUP&{turn}"
        if self._nots and "SAYING" in near:
            yield f"{concept}&SAYINGNOT"

    def _about_oneself(self, event: Event) -> bool:
        last = None
        for other in self._piece:
            if other.concept in {"SELF", "GROUP"} and other.start <= event.start:
                last = other
        return last is not None and last.concept == "SELF" and event.start - last.end <= _OWN


def _one_clause(between: str) -> bool:
    """Whether a negation reaches over what stands between it and a word."""
    rest = between.replace(";", ",").rpartition(",")
    if not rest[1]:
        return True
    words = rest[2].replace("'", " ").replace("\u2019", " ").split()
    return not words or words[0].lower() in _LINKS


def _together(concepts: Sequence[str]) -> Iterator[str]:
    kinds = sorted(set(concepts))
    for index, one in enumerate(kinds):
        yield from (f"{one}+{other}" for other in kinds[index + 1 :])
        if concepts.count(one) > 1:
            yield f"{one}+{one}"


def _pieces(events: Sequence[Event], borders: Sequence[int]) -> Iterator[list[Event]]:
    """Return the events of each sentence, long sentences in several pieces."""
    piece: list[Event] = []
    sentence = -1
    for event in events:
        own = bisect_right(borders, event.start)
        if piece and (own != sentence or event.end - piece[0].start > LONGEST):
            yield piece
            piece = []
        sentence = own
        piece.append(event)
    if piece:
        yield piece


def _quoted(text: str, offset: int) -> list[tuple[int, int]]:
    """Return stretches between quotation marks of one line."""
    marks = [match.start() for match in _QUOTES.finditer(text)]
    spans = []
    index = 0
    while index + 1 < len(marks):
        start, end = marks[index], marks[index + 1]
        if end - start <= LONGEST and "\n" not in text[start:end]:
            spans.append((start + offset, end + offset))
            index += 2
        else:
            index += 1
    return spans


def _over(quotes: Sequence[tuple[int, int]], piece: Sequence[Event]) -> Sequence[tuple[int, int]]:
    """Return the quotations that a piece lies in or holds."""
    first = bisect_right(quotes, (piece[0].start - LONGEST, 0))
    return quotes[first : bisect_right(quotes, (piece[-1].end, 0))]
