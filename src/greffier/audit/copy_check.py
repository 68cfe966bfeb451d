"""Compare the log on disk with its copies under a retention lock: was it cut, rewritten, forked or rolled back?

The checkpoints in the bucket are signed and cannot be taken back, so the log must have grown out of each of them. Where
it has not, the copied tiles tell which event is the first that differs.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, verify
from greffier.audit.copies import CHECKPOINTS, LockedStore, Version, edge_tiles, tile_key
from greffier.audit.merkle import HASH_BYTES, frontier_at
from greffier.audit.sealer import read_note
from greffier.audit.tiles import HEIGHT, WIDTH, BadLog, TileNodes, TileStore

_TOGETHER = 8


Kind = Literal[
    "cut", "rewritten", "damaged", "rolled_back", "hidden", "overwritten", "foreign", "unlocked", "stale", "empty"
]


class CopyFinding(msgspec.Struct, frozen=True):
    """Something that does not fit.

    Attributes:
        kind: Stable word: ``cut``, ``rewritten``, ``damaged``, ``rolled_back``, ``hidden``, ``overwritten``,
            ``foreign``, ``unlocked``, ``stale``, ``empty``.
        message: One sentence that names the place.
        seq: The first event that differs, or 0.
    """

    kind: Kind
    message: str
    seq: int = 0


class CopyReport(msgspec.Struct, frozen=True):
    """What was compared, and what was found.

    Attributes:
        checkpoints: Copied checkpoints that the log was compared with.
        newest: The newest of them.
        locked_until_ms: Until when that one is locked; 0 when it is not.
        notes: Name and text of each, for tools that are not ours.
        findings: Each one breaks the evidence.
    """

    checkpoints: int
    newest: Checkpoint | None
    locked_until_ms: int
    notes: tuple[tuple[str, str], ...]
    findings: tuple[CopyFinding, ...]


class CopyCheck:
    """One comparison. Call `run` once."""

    def __init__(
        self, log: TileStore, place: LockedStore, verifiers: Sequence[Verifier], origin: str, stale_after_ms: int
    ) -> None:
        """Name what is compared.

        Args:
            log: The log's folder.
            place: Where the copies are.
            verifiers: The log's keys, past ones included.
            origin: The log's name.
            stale_after_ms: How old the newest copied checkpoint may be.
        """
        self._log = log
        self._place = place
        self._verifiers = list(verifiers)
        self._origin = origin
        self._stale_after_ms = stale_after_ms
        self._findings: list[CopyFinding] = []
        self._texts: dict[str, str] = {}

    async def run(self, now_ms: int) -> CopyReport:
        """Compare.

        Raises:
            CopyUnavailable: The copies cannot be read.
        """
        listed = await self._place.versions(CHECKPOINTS)
        opened = await self._open(listed)
        heads = sorted({head.size: head for _, _, head in opened}.values(), key=lambda head: head.size)
        newest = max((head for _, _, head in opened), key=lambda head: head.time_ms, default=None)
        locked = 0
        if newest is None:
            self._say("empty", "no checkpoint of this log was ever copied there")
        else:
            key, version, _ = next(one for one in opened if one[2] is newest)
            lock = await self._place.lock(key, version)
            locked = lock.until_ms if lock else 0
            if locked <= now_ms:
                self._say("unlocked", f"{key} is not locked (any more): whoever may write there can delete it")
            if now_ms - newest.time_ms > self._stale_after_ms:
                self._say("stale", f"the newest copied checkpoint is {(now_ms - newest.time_ms) // 1000} s old")
            await self._compare(heads, newest)
        notes = tuple((key.removeprefix(CHECKPOINTS), self._texts[key]) for key, _, _ in opened)
        return CopyReport(len(opened), newest, locked, notes, tuple(self._findings))

    def _say(self, kind: Kind, message: str, seq: int = 0) -> None:
        self._findings.append(CopyFinding(kind, message, seq))

    async def _open(self, listed: Sequence[Version]) -> list[tuple[str, str, Checkpoint]]:
        """The first version of each copied checkpoint that the log signed; the rest is told."""
        for mark in (version for version in listed if version.hides):
            self._say("hidden", f"somebody asked to delete {mark.key} ({mark.stored}); the locked copy is still there")
        # A store lists the newest version of a key first, and its dates have whole seconds only.
        contents = sorted((one for one in reversed(listed) if not one.hides), key=lambda one: one.key)
        found = []
        for start in range(0, len(contents), _TOGETHER):
            batch = contents[start : start + _TOGETHER]
            texts = await asyncio.gather(*(self._place.get(one.key, one.id) for one in batch))
            for version, data in zip(batch, texts, strict=True):
                head = self._opened(version, data)
                if head is not None:
                    found.append((version.key, version.id, head))
        return found

    def _opened(self, version: Version, data: bytes | None) -> Checkpoint | None:
        text = (data or b"").decode("utf-8", "replace")
        try:
            head = verify(text, self._verifiers, self._origin)
        except BadCheckpoint as error:
            self._say("foreign", f"{version.key}, version {version.id}, is not a checkpoint of this log: {error}")
            return None
        if version.key in self._texts:
            self._say("overwritten", f"{version.key} was written again at {version.stored}; the first one counts")
            return None
        self._texts[version.key] = text
        return head

    async def _compare(self, heads: Sequence[Checkpoint], newest: Checkpoint) -> None:
        try:
            own = self._own()
        except BadLog as error:
            self._say("damaged", str(error))
            return
        if own is None:
            self._say("cut", f"the log on disk has no checkpoint; the copies go up to {newest.size} events")
            return
        if own.time_ms < newest.time_ms:
            self._say("rolled_back", f"the log's checkpoint is {(newest.time_ms - own.time_ms) // 1000} s older")
        if own.size < heads[-1].size:
            self._say("cut", f"the log on disk has {own.size} events; {heads[-1].size} were copied")
        for head in heads:
            if head.size > own.size:
                break
            try:
                if frontier_at(head.size, TileNodes(self._log, own.size)).root() == head.root:
                    continue
                seq = await self._first_difference(head.size, own.size)
            except BadLog as error:
                self._say("damaged", str(error))
                return
            place = f"; event {seq} is the first that differs" if seq else ""
            self._say("rewritten", f"the first {head.size} events are not those that were copied{place}", seq)
            return  # every later checkpoint contradicts the log as well

    def _own(self) -> Checkpoint | None:
        note = read_note(self._log)
        if note is None:
            return None
        try:
            own = verify(note, self._verifiers, self._origin)
        except BadCheckpoint as error:
            raise BadLog(f"the newest checkpoint on disk is not the log's: {error}") from error
        if frontier_at(own.size, TileNodes(self._log, own.size)).root() != own.root:
            raise BadLog(f"the tiles on disk do not lead to the root of {own.size} events that is signed there")
        return own

    async def _first_difference(self, size: int, own: int) -> int:
        """Number of the first event whose copied hash is not the one on disk; 0 when the copies do not tell."""
        edges = list(edge_tiles(size))
        for level, index, width in reversed(edges):  # from the top: what lies under a higher edge comes first
            at = await self._differs(level, index, width, own)
            if at is not None:
                return await self._descend(level, index * WIDTH + at, own)
        return 0

    async def _descend(self, level: int, position: int, own: int) -> int:
        while level:
            level -= 1
            at = await self._differs(level, position, WIDTH, own)
            position = position * WIDTH + (at or 0)
        return position + 1

    async def _differs(self, level: int, index: int, width: int, own: int) -> int | None:
        copied = await self._place.get(tile_key(self._log, level, index, width))
        if copied is None and width < WIDTH:
            copied = await self._place.get(tile_key(self._log, level, index, WIDTH))
        if copied is None:
            return None
        present = min(WIDTH, (own >> (HEIGHT * level)) - index * WIDTH)  # the log has grown since
        here = self._log.tile(level, index, present)[:width]
        theirs = [copied[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
        return next((at for at, pair in enumerate(zip(here, theirs, strict=True)) if pair[0] != pair[1]), None)
