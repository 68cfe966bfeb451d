"""Many patterns over one text in one pass, in time linear in the text.

A `PatternSet` first asks a multi-pattern automaton which patterns can match at all (Hyperscan on x86-64, an RE2 set
elsewhere) and then lets RE2 find the exact spans of those few. Neither engine backtracks, so no text, however
crafted, costs more than its length. The standard library's ``re`` is never used on text from outside.
"""

import platform
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import re2

from greffier.guardrails import automata

HYPERSCAN = platform.machine() in {"x86_64", "AMD64"}
_LIBRARY = ""
if HYPERSCAN:  # on other machines the package has no wheel; the RE2 set below gives the same answers, slower
    import hyperscan

    _LIBRARY = version("hyperscan")


class Pattern(msgspec.Struct, frozen=True):
    """One pattern.

    Attributes:
        id: Name of the rule, unique in its set.
        expression: RE2 syntax; finds the exact span.
        trigger: A cheaper expression that matches wherever ``expression`` does; empty takes ``expression`` itself.
            RE2 and Hyperscan must read it alike, so it holds literals, classes and alternatives only.
        also: A second trigger; the pattern is looked at only when both matched somewhere in the text.
        gate: A coarse expression that every match implies; patterns with the same gate are looked at only when it
            matched. It keeps the first automaton small, which is what makes a start and a snapshot swap quick.
        group: Group whose span is the finding; 0 is the whole match.
        ignore_case: Whether letters match in either case.
        score: Confidence a match deserves before any validation.
        type: Finding type, for detectors whose patterns stand for one type each.
    """

    id: str
    expression: str
    trigger: str = ""
    also: str = ""
    gate: str = ""
    group: int = 0
    ignore_case: bool = False
    score: float = 1.0
    type: str = ""


class Text:
    """A text with its UTF-8 bytes, and the way back from byte offsets to code points."""

    __slots__ = ("_points", "data", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")  # a lone surrogate becomes one '?': offsets stay right
        self._points: Any = None

    def point(self, offset: int) -> int:
        """Code points before the byte ``offset``."""
        if len(self.data) == len(self.text):
            return offset
        if offset == 0:
            return 0
        if self._points is None:
            starts = (np.frombuffer(self.data, dtype=np.uint8) & 0xC0) != 0x80  # noqa: PLR2004 - UTF-8 continuation
            self._points = np.cumsum(starts)
        return int(self._points[offset - 1])


class Spans:
    """Spans that do not overlap, found in logarithmic time: a text may hold a hundred thousand identifiers."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def touches(self, start: int, end: int) -> bool:
        """Whether any span taken overlaps ``[start, end)``."""
        after = bisect_left(self._starts, end)
        return after > 0 and self._ends[after - 1] > start

    def free(self, start: int, end: int) -> tuple[int, int]:
        """The longest part of ``[start, end)`` that no span taken overlaps; empty if there is none."""
        best = (start, start)
        at = max(bisect_left(self._starts, start) - 1, 0)
        while start < end:
            while at < len(self._starts) and self._ends[at] <= start:
                at += 1
            stop = min(self._starts[at], end) if at < len(self._starts) else end
            best = max(best, (start, stop), key=lambda span: span[1] - span[0])
            start = self._ends[at] if at < len(self._starts) else end
        return best

    def take(self, start: int, end: int) -> bool:
        """Take the span unless it overlaps one taken before; say whether it was taken."""
        if self.touches(start, end):
            return False
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        return True


_CHUNK = 32  # compile time of an automaton grows faster than its number of patterns


class _Stage:
    """One automaton over the triggers of some patterns, the gates behind which others wait, and plain signs."""

    def __init__(
        self,
        patterns: Sequence[Pattern],
        indexes: Sequence[int],
        gates: Sequence[str] = (),
        signs: Sequence[str] = (),
    ) -> None:
        triggers: dict[tuple[str, bool], list[int]] = {}
        self._with: dict[int, list[tuple[int, int]]] = {}  # from a first trigger to second ones, and the patterns
        for index in indexes:
            pattern = patterns[index]
            alone = triggers.setdefault((pattern.trigger or pattern.expression, pattern.ignore_case), [])
            if not pattern.also:
                alone.append(index)
        for index in indexes:
            pattern = patterns[index]
            if pattern.also:
                second = (pattern.also, pattern.ignore_case)
                triggers.setdefault(second, [])
                places = list(triggers)
                first = (pattern.trigger or pattern.expression, pattern.ignore_case)
                self._with.setdefault(places.index(first), []).append((places.index(second), index))
        self._alone = list(triggers.values())
        self._first_sign = len(triggers) + len(gates)
        plain = ((gate, False) for gate in gates)
        self._scan = _automaton((*triggers, *plain, *((sign, True) for sign in signs)))

    def look(self, data: bytes) -> tuple[list[int], list[int], list[int]]:
        """Indexes of patterns that may match, which gates are open, and which signs occur."""
        hits = self._scan(data)
        if not hits:
            return hits, hits, hits
        signs: list[int] = []
        if hits[-1] >= self._first_sign:
            first = bisect_left(hits, self._first_sign)
            signs = [hit - self._first_sign for hit in hits[first:]]
            hits = hits[:first]
        known = len(self._alone)
        found = [index for hit in hits if hit < known for index in self._alone[hit]]
        for hit in hits:
            if hit in self._with:
                found += [index for second, index in self._with[hit] if second in hits]
        return found, [hit - known for hit in hits if hit >= known], signs


class PatternSet:
    """Patterns scanned together. Immutable after construction; shared by all requests of a worker."""

    def __init__(self, patterns: Sequence[Pattern], *, signs: Sequence[str] = (), exact_only: bool = False) -> None:
        """Compile.

        Args:
            patterns: Their order is the order of results within a stage.
            signs: Literals, letters in either case, of which only the presence matters; thousands cost what ten do.
            exact_only: Let RE2 alone decide, for patterns written by operators in RE2's dialect.
        """
        self.patterns = tuple(patterns)
        self._exact = tuple(_compiled(pattern.expression, pattern.ignore_case) for pattern in self.patterns)
        self._filter = _re2_filter(tuple((p.expression, p.ignore_case) for p in patterns)) if exact_only else None
        if exact_only:
            return
        gates: dict[str, list[int]] = {}
        for index, pattern in enumerate(self.patterns):
            if pattern.gate:
                gates.setdefault(pattern.gate, []).append(index)
        ungated = [i for i, p in enumerate(self.patterns) if not p.gate]
        self._first = _Stage(self.patterns, ungated, tuple(gates), signs)
        self._gated = [
            [_Stage(self.patterns, indexes[at : at + _CHUNK]) for at in range(0, len(indexes), _CHUNK)]
            for indexes in gates.values()
        ]

    def candidates(self, text: Text) -> list[int]:
        """Indexes of patterns that may match."""
        if self._filter is not None:
            possible: list[int] = self._filter(text.data)
            return possible
        return self.candidates_and_signs(text)[0]

    def candidates_and_signs(self, text: Text) -> tuple[list[int], list[int]]:
        """Indexes of patterns that may match, and of the signs that occur; not for a set that is exact only."""
        found, gates, signs = self._first.look(text.data)
        for gate in gates:
            for stage in self._gated[gate]:
                found += stage.look(text.data)[0]
        return found, signs

    def matches(self, index: int, text: Text) -> Iterator[Any]:
        """RE2 matches of one pattern; their spans are byte offsets into ``text.data``."""
        found: Iterator[Any] = self._exact[index].finditer(text.data)
        return found

    def spans(self, text: Text) -> Iterator[tuple[Pattern, int, int]]:
        """Every match of every pattern with its span in code points."""
        for index in self.candidates(text):
            pattern = self.patterns[index]
            for match in self.matches(index, text):
                start, end = match.span(pattern.group)
                if start >= 0 and end > start:
                    yield pattern, text.point(start), text.point(end)


@lru_cache(maxsize=4096)
def _compiled(expression: str, ignore_case: bool) -> Any:
    return re2.compile(expression, _options(ignore_case))


def _options(ignore_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = 64 << 20
    return options


@lru_cache(maxsize=64)
def _automaton(triggers: tuple[tuple[str, bool], ...]) -> Any:
    """Build the first stage once per set; a snapshot swap with the same rules costs nothing."""
    if not triggers:
        return lambda _data: []
    return _hyperscan(triggers) if HYPERSCAN else _re2_set(triggers)


def _hyperscan(triggers: tuple[tuple[str, bool], ...]) -> Any:
    expressions = [_loosened(expression).encode() for expression, _ in triggers]
    flags = [_flags(expression, ignore_case) for expression, ignore_case in triggers]
    name = sha256(repr((_LIBRARY, expressions, flags)).encode()).hexdigest()
    database = _recalled(name)
    if database is None:
        database = hyperscan.Database()
        database.compile(expressions=expressions, ids=list(range(len(triggers))), elements=len(triggers), flags=flags)
        automata.remember(name, hyperscan.dumpb(database))

    def scan(data: bytes) -> list[int]:
        found: list[int] = []
        database.scan(data, match_event_handler=_note, context=found)
        found.sort()
        return found

    return scan


def _recalled(name: str) -> Any:
    """The database as compiled by an earlier process; None if there is none that this machine can run."""
    data = automata.recall(name)
    if data is None:
        return None
    try:
        database = hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.error:  # compiled for another processor
        return None
    return database


def _note(index: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.append(index)


def _flags(expression: str, ignore_case: bool) -> int:
    """Unicode mode only where it can make a difference: it costs ten times the compile time."""
    flags: int = hyperscan.HS_FLAG_SINGLEMATCH
    if ignore_case:
        flags |= hyperscan.HS_FLAG_CASELESS
    if _wide(expression):
        flags |= hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP
    return flags


def _wide(expression: str) -> bool:
    """Whether bytes and characters make a difference to the expression."""
    return not expression.isascii() or any(mark in expression for mark in _WIDE)


def _loosened(expression: str) -> str:
    """In Unicode mode word boundaries differ from RE2's, so they go: the first stage may only ever say too much."""
    return expression.replace(r"\b", "") if _wide(expression) else expression


_WIDE = ("[^", r"\S", r"\W", r"\D", r"\w", r"\p", ".{", ".*", ".+")


def _re2_set(triggers: tuple[tuple[str, bool], ...]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 256 << 20
    automaton = re2.Set.SearchSet(options)
    for expression, ignore_case in triggers:
        automaton.Add(f"(?i){expression}" if ignore_case else expression)
    automaton.Compile()

    def scan(data: bytes) -> list[int]:
        return sorted(automaton.Match(data) or ())  # None when nothing matched

    return scan


@lru_cache(maxsize=64)
def _re2_filter(expressions: tuple[tuple[str, bool], ...]) -> Any:
    """Which patterns hold literals that the text lacks, worked out by RE2 itself: no second dialect can disagree.

    A pattern without literals is always a candidate.
    """
    if not expressions:
        return lambda _data: []
    index = re2.Filter()
    for expression, ignore_case in expressions:
        index.Add(expression, _options(ignore_case))
    index.Compile()

    def candidates(data: bytes) -> list[int]:
        return sorted(index.Match(data, potential=True) or ())

    return candidates
