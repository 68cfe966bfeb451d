"""What was split over the parts of a message, or over messages, so that no text holds it whole.

Neighbouring texts of a conversation that come from the same side are joined and examined where they meet: with nothing
between them (a word or a number was cut) and with a blank (a sentence was). Of long texts only the ends are looked at;
their middles were examined on their own. A finding counts only if it reaches over a seam, and it is reported once for
each text that holds a part of it, so that edits take all of it away.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from greffier.core.chat import ChatRequest, Message, TextPart
from greffier.core.rulings import Finding
from greffier.guardrails.conversation import rewrite_request
from greffier.guardrails.engine import is_entity
from greffier.guardrails.ports import Measured, Passage, Provenance

SEAMED = frozenset({"identifiers", "secrets", "injection"})
"""Detectors of things that have an exact form. Models judge prose, and prose reads on over a seam."""

_END = 160  # longer than any identifier, and than the reach of the override grammar
_LONGEST = 1200
_JOINED = frozenset({"user", "tool_output"})  # sides from which an attacker can send several texts


class Piece(msgspec.Struct, frozen=True):
    """A text, or an end of one, inside a joined passage.

    Attributes:
        visit: Which text of the request, in the order in which they are screened.
        at: Where it begins in the passage.
        begin: Where it begins in its own text.
        length: Code points.
    """

    visit: int
    at: int
    begin: int
    length: int


class Seam(msgspec.Struct, frozen=True):
    """Texts joined to one passage."""

    passage: Passage
    pieces: tuple[Piece, ...]


Measure = Callable[[Passage], Measured]


def may_have_seams(messages: tuple[Message, ...]) -> bool:
    """Whether two texts come from the same side; most requests have none to join, and pay nothing."""
    seen: set[bool] = set()
    for message in messages:
        if message.role in _ROLES:
            content = message.content
            several = content is not None and not isinstance(content, str) and _texts(content) > 1
            side = message.role == "user"
            if several or side in seen:
                return True
            if content:
                seen.add(side)
    return False


_ROLES = frozenset({"user", "tool", "function"})


def _texts(parts: Iterable[object]) -> int:
    return sum(1 for part in parts if isinstance(part, TextPart))


def seams(request: ChatRequest) -> tuple[Seam, ...]:
    """The joined passages of a request."""
    if not may_have_seams(request.messages):
        return ()
    sides: dict[Provenance, list[tuple[int, str]]] = {}
    visits = 0

    def collect(text: str, provenance: Provenance) -> str:
        nonlocal visits
        if provenance in _JOINED:
            sides.setdefault(provenance, []).append((visits, text))
        visits += 1
        return text

    rewrite_request(msgspec.structs.replace(request, tools=()), collect)
    found: dict[str, Seam] = {}
    for provenance, texts in sides.items():
        for chain in _chains(texts):
            for blank in (False, True):
                seam = _joined(chain, provenance, blank=blank)
                found.setdefault(f"{provenance}\0{seam.passage.text}", seam)
    return tuple(found.values())


def _chains(texts: list[tuple[int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """Runs of texts that are short, with the ends of the long ones at either side: visit, begin, text.

    A run that grows too long is begun anew with its last texts, so that the first part of a conversation stays the same
    passage from turn to turn, and its findings are remembered.
    """
    chain: list[tuple[int, int, str]] = []
    for visit, text in texts:
        whole = len(text) <= _END * 2
        chain.append((visit, 0, text if whole else text[:_END]))
        if not whole:
            yield chain
            chain = [(visit, len(text) - _END, text[-_END:])]
        elif sum(len(part) for _, _, part in chain) > _LONGEST:
            yield chain
            chain = _tail(chain)
    if len(chain) > 1:
        yield chain


def _tail(chain: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept, size = 0, 0
    while kept < len(chain) - 1 and size < _END:
        kept += 1
        size += len(chain[-kept][2])
    return chain[-kept:]


def _joined(chain: list[tuple[int, int, str]], provenance: Provenance, *, blank: bool) -> Seam:
    pieces: list[Piece] = []
    texts: list[str] = []
    at = 0
    for visit, begin, text in chain:
        if blank and texts and not (texts[-1][-1:].isspace() or text[:1].isspace()):
            texts.append(" ")
            at += 1
        pieces.append(Piece(visit, at, begin, len(text)))
        texts.append(text)
        at += len(text)
    return Seam(Passage("".join(texts), provenance), tuple(pieces))


def found_over(seam: Seam, measured: Measured, alone: Measure) -> Iterator[tuple[int, Finding]]:
    """Findings that reach over a seam: the text that holds a part, and the finding with its span there.

    Args:
        seam: The joined texts.
        measured: What was found in them.
        alone: Measures a piece on its own; what a piece holds whole was found there, and does not reach further.
    """
    for finding in measured.findings:
        if finding.detector not in SEAMED and finding.type != "obfuscation":
            continue
        held = [piece for piece in seam.pieces if finding.start < piece.at + piece.length and piece.at < finding.end]
        if len(held) < 2 or any(_holds(seam, piece, finding, alone) for piece in held):  # noqa: PLR2004 - one on each side
            continue
        for piece in held:
            start = max(finding.start, piece.at) - piece.at + piece.begin
            end = min(finding.end, piece.at + piece.length) - piece.at + piece.begin
            yield piece.visit, msgspec.structs.replace(finding, start=start, end=end, view="joined")


def _holds(seam: Seam, piece: Piece, finding: Finding, alone: Measure) -> bool:
    text = seam.passage.text[piece.at : piece.at + piece.length]
    found = alone(Passage(text, seam.passage.provenance)).findings
    same = (other for other in found if other.type == finding.type)
    if not is_entity(finding):
        return any(other.score >= finding.score for other in same)
    return any(other.start + piece.at < finding.end and finding.start < other.end + piece.at for other in same)
