"""What a log has sealed that a journal, restored from a copy, no longer has.

Both only grow, so up to some event they are the same, and after it the journal is another one or ends. What the log
has after that event is read from its entry bundles, each of which must have the hashes that the signed root covers.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from greffier.audit.merkle import frontier_at, leaf_hash, perfect_root
from greffier.audit.ports import Sequenced
from greffier.audit.proofs import Sealed
from greffier.audit.tiles import HEIGHT, WIDTH, BadLog, TileNodes, TileStore
from greffier.core.events import Act, parse

_PLATFORM = "platform"
_CHANGE_NOTHING = (
    "audit.",
    "clock.",
    "config.",
    "content.",
    "db.",
    "document.",
    "dsr.check",
    "feedback.",
    "incident.list",
    "incident.read",
    "journal.",
    "platform.",
    "privacy.read",
    "release.",
    "restore.",
    "sink.",
    "snapshot.",
    "worker.",
)
"""Acts after which no restored store lacks anything: readings, and what concerns files that no restore takes back.

A new kind of act counts as one that changed something until it is named here.
"""


class LostAct(msgspec.Struct, frozen=True):
    """An act on record whose effect the restored stores lack.

    Attributes:
        seq: Its number in the log; 0 where it was not sealed yet.
    """

    seq: int
    id: str
    ts: int
    action: str
    actor: str
    target: str
    reason: str = ""
    details: dict[str, str | int | bool] = {}


class Lost(msgspec.Struct, frozen=True):
    """What is missing.

    Attributes:
        common: Events that log and journal have in common.
        events: Events that only the log has.
        acts: The acts among them that changed a store.
    """

    common: int
    events: int = 0
    acts: tuple[LostAct, ...] = ()


class Journal(Protocol):
    """The part of a journal's reader that is needed."""

    def size(self) -> int:
        """Number of events."""
        ...

    def first(self) -> int:
        """The lowest number that is kept."""
        ...

    def read(self, start: int, limit: int) -> list[Sequenced]:
        """Events in order."""
        ...


def lost_from(log: TileStore, sealed: Sealed, journal: Journal) -> Lost:
    """Compare a log with a journal.

    Args:
        log: Its files.
        sealed: Its newest checkpoint, verified.
        journal: What was restored.

    Raises:
        BadLog: The log's files are not what was signed.
        JournalUnavailable: The journal cannot be read.
    """
    size = sealed.checkpoint.size
    common = _common(log, size, journal)
    if common == size:
        return Lost(common)
    if frontier_at(size, TileNodes(log, size)).root() != sealed.checkpoint.root:
        raise BadLog("the log's tiles do not have the root that was signed")
    rows = _sealed_rows(log, size, common + 1)
    return Lost(common, size - common, tuple(found for row in rows if (found := lost_act(row)) is not None))


def lost_act(row: Sequenced) -> LostAct | None:
    """The act in a row, where a restored store lacks its effect."""
    event = parse(row.data)
    if not isinstance(event, Act) or event.actor.split(":")[0] == _PLATFORM or event.action.startswith(_CHANGE_NOTHING):
        return None
    return LostAct(
        row.seq, event.id, event.ts, event.action, event.actor, event.target, event.reason, dict(event.details)
    )


def _common(log: TileStore, size: int, journal: Journal) -> int:
    least = journal.first() - 1  # what retention has dropped is taken as common
    most = min(size, journal.size())
    if most <= least or _same(log, size, journal, most):
        return max(most, min(least, size))
    while most - least > 1:
        middle = (least + most) // 2
        if _same(log, size, journal, middle):
            least = middle
        else:
            most = middle
    return least


def _same(log: TileStore, size: int, journal: Journal, seq: int) -> bool:
    index, offset = divmod(seq - 1, WIDTH)
    leaf = log.tile(0, index, min(WIDTH, size - index * WIDTH))[offset]
    rows = journal.read(seq, 1)
    return bool(rows) and rows[0].seq == seq and leaf_hash(rows[0].data) == leaf


def _sealed_rows(log: TileStore, size: int, start: int) -> Iterator[Sequenced]:
    """Events of the log from ``start`` on, each with the hash that its tile, and the tile above, say."""
    for index in range((start - 1) // WIDTH, -(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        entries, leaves = log.bundle(index, width), log.tile(0, index, width)
        if [leaf_hash(entry) for entry in entries] != leaves:
            raise BadLog(f"entry bundle {index} does not hold the events that were sealed")
        if width == WIDTH and perfect_root(leaves) != TileNodes(log, size)(HEIGHT, index):
            raise BadLog(f"tile 0/{index} does not have the root that the tile above it says")
        for offset, entry in enumerate(entries):
            seq = index * WIDTH + offset + 1
            if seq >= start:
                yield Sequenced(seq, entry)
