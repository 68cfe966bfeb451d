"""A decoded text with the way back to the original, and the stretches of long texts that are worth a view.

A view of a whole text costs what the text costs. Long texts hold a little of everything, so only what stands around a
change is looked at again; a view then is made of stretches with blank lines between them.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import msgspec

from greffier.guardrails.decoding import Piece

WHOLE = 16_384
"""Texts up to this length (characters) are read whole."""
STRETCH = 8_192
OVERLAP = 1_024
"""Longer ones are read in stretches that overlap, so that every attack of ordinary length lies within one."""
_CONTEXT = 512  # what detectors look at around a finding, and more
_GAP = ("\n" * 8 + "xx") * 24
"""Wider than the windows of the models, in characters and in words, so that none sees the ends of two stretches."""


class View:
    """A decoded text.

    Attributes:
        name: What was undone.
        text: The decoded text.
        literal: Whether digits and marks are still what they were, so that identifiers and secrets can be looked for.
        prose: Whether it is known to read as words, so that trained models are worth their time.
        origin: Maps a span of ``text`` to the span of the original that carries it.
        touched: Whether a span of ``text`` holds anything that was decoded; the rest was examined already.
        spans: The spans of the original for which a span of ``text`` stands; none if nothing in it was decoded, several
            if it reaches over stretches that lie apart.
    """

    __slots__ = ("literal", "name", "origin", "prose", "spans", "text", "touched")

    def __init__(
        self,
        name: str,
        text: str,
        origin: Callable[[int, int], tuple[int, int]],
        *,
        literal: bool,
        prose: bool = True,
        touched: Callable[[int, int], bool] = lambda _start, _end: True,
        spans: "Callable[[int, int], Sequence[Span]] | None" = None,
    ) -> None:
        self.name = name
        self.text = text
        self.origin = origin
        self.literal = literal
        self.prose = prose
        self.touched = touched
        self.spans = spans or self._span

    def _span(self, start: int, end: int) -> "Sequence[Span]":
        return (self.origin(start, end),) if self.touched(start, end) else ()


Span = tuple[int, int]


def through(outer: View, inner: View) -> View:
    """A view of a view."""

    def origin(start: int, end: int) -> tuple[int, int]:
        return outer.origin(*inner.origin(start, end))

    def spans(start: int, end: int) -> list[Span]:
        return [span for between in inner.spans(start, end) for span in _carriers(outer, *between)]

    name = f"{outer.name}+{inner.name}"
    return View(name, inner.text, origin, literal=inner.literal, prose=inner.prose, touched=inner.touched, spans=spans)


def _carriers(view: View, start: int, end: int) -> Sequence[Span]:
    """The spans behind a span of a view, whether or not it was decoded there."""
    return view.spans(start, end) or (view.origin(start, end),)


def replaced(text: str, pieces: list[Piece], *, literal: bool = True) -> View:
    """The text with pieces decoded in place; of a long text, what stands around them."""
    parts: list[str] = []
    view_starts: list[int] = []
    view_ends: list[int] = []
    at = size = 0
    for piece in pieces:
        parts += (text[at : piece.start], piece.text)
        size += piece.start - at
        view_starts.append(size)
        size += len(piece.text)
        view_ends.append(size)
        at = piece.end
    parts.append(text[at:])

    def back(offset: int, *, end: bool) -> int:
        index = bisect_right(view_starts, offset if not end else offset - 1) - 1
        if index < 0:
            return offset
        piece = pieces[index]
        if (offset < view_ends[index]) if not end else (offset <= view_ends[index]):
            return piece.end if end else piece.start
        return piece.end + (offset - view_ends[index])

    def origin(start: int, end: int) -> tuple[int, int]:
        return back(start, end=False), back(end, end=True)

    def touched(start: int, end: int) -> bool:
        index = bisect_right(view_starts, end - 1) - 1
        return index >= 0 and view_ends[index] > start

    view = View(pieces[0].kind, "".join(parts), origin, literal=literal, touched=touched)
    return around(view, [at for span in zip(view_starts, view_ends, strict=True) for at in _steps(*span)])


def _steps(start: int, end: int) -> Iterator[int]:
    """Offsets of a span, close enough to each other that what stands around them has no holes."""
    yield from range(start, end, _CONTEXT)
    yield max(start, end - 1)


class Segment(msgspec.Struct, frozen=True):
    """A stretch of a view.

    Attributes:
        view: The view.
        begin: Where the stretch begins in its text.
        end: Where it ends.
        shift: Where the text that the view was made of begins in the whole text.
    """

    view: View
    begin: int
    end: int
    shift: int


def around(view: View, changed: Sequence[int]) -> View:
    """The view itself, or of a long one the stretches around what changed (offsets into it, in order)."""
    if len(view.text) <= WHOLE:
        return view
    spans: list[list[int]] = []
    for at in changed:
        begin, end = max(0, at - _CONTEXT), min(len(view.text), at + 1 + _CONTEXT)
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    return joined([Segment(view, begin, end, 0) for begin, end in spans])


def joined(segments: Sequence[Segment]) -> View:
    """One view of several stretches. What reaches over the end of one is mapped to a span that covers all its parts."""
    starts: list[int] = []
    size = 0
    for segment in segments:
        starts.append(size)
        size += segment.end - segment.begin + len(_GAP)

    def parts(start: int, end: int) -> Iterator[tuple[Segment, int, int]]:
        """The stretches that a span touches, and the span in each view."""
        for index in range(bisect_right(starts, start) - 1, bisect_right(starts, max(start, end - 1))):
            segment = segments[index]
            moved = segment.begin - starts[index]
            low = min(max(start + moved, segment.begin), segment.end)
            yield segment, low, max(low, min(end + moved, segment.end))

    def origin(start: int, end: int) -> tuple[int, int]:
        spans = []
        for segment, low, high in parts(start, end):
            first, last = segment.view.origin(low, high)
            spans.append((first + segment.shift, last + segment.shift))
        return min(first for first, _ in spans), max(last for _, last in spans)

    def touched(start: int, end: int) -> bool:
        return any(low < high and segment.view.touched(low, high) for segment, low, high in parts(start, end))

    def spans(start: int, end: int) -> list[Span]:
        return [
            (first + segment.shift, last + segment.shift)
            for segment, low, high in parts(start, end)
            if low < high
            for first, last in segment.view.spans(low, high)
        ]

    first = segments[0].view
    text = _GAP.join(segment.view.text[segment.begin : segment.end] for segment in segments)
    return View(first.name, text, origin, literal=first.literal, prose=first.prose, touched=touched, spans=spans)
