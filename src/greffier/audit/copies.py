"""Copies of the log where nobody can change or delete them for a time, so that a log rewritten here is found there.

Tiles that are full never change; each is copied once. At intervals the newest checkpoint follows, after the unfinished
tiles it needs, so that what lies in the bucket is a whole log (C2SP tlog-tiles) at each copied checkpoint. Nothing is
copied that contradicts what was copied before.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, verify
from greffier.audit.merkle import frontier_at
from greffier.audit.sealer import read_note
from greffier.audit.tiles import HEIGHT, WIDTH, BadLog, TileNodes, TileStore, encode_bundle

CHECKPOINTS = "checkpoints/"
_TOGETHER = 8
_DAY_MS = 86_400_000
_SLACK_MS = 60_000  # a server may round the date of a lock


class CopyUnavailable(Exception):  # noqa: N818 - named for the condition
    """The place of the copies is out of reach, refuses, or does not lock. Nothing is believed to be copied."""


class BadCopy(BadLog):  # named for what was found
    """The log contradicts its copies: it was cut, rewritten or forked, or a copy is not what was written."""


class Version(msgspec.Struct, frozen=True):
    """One version of a stored copy.

    Attributes:
        key: Its name below the prefix.
        id: The version.
        hides: It is no content but a mark that hides the versions before it: somebody asked for a deletion.
        stored: When, in the store's words (ISO 8601).
    """

    key: str
    id: str
    hides: bool
    stored: str


class Lock(msgspec.Struct, frozen=True):
    """Until when a copy cannot be deleted, and whether anybody could lift that."""

    mode: Literal["compliance", "governance"]
    until_ms: int


class LockedStore(Protocol):
    """Keeps copies under a lock. Keys are relative to the log's place in it."""

    async def probe(self) -> None:
        """Find out whether it can be reached and locks what it is given.

        Raises:
            CopyUnavailable: It cannot, or does not.
        """
        ...

    async def put(self, key: str, data: bytes, until_ms: int) -> None:
        """Store a copy, locked until then; return once the store has acknowledged it.

        Raises:
            CopyUnavailable: It did not.
        """
        ...

    async def get(self, key: str, version: str = "") -> bytes | None:
        """A copy, the newest version unless one is named; None when there is none.

        Raises:
            CopyUnavailable: The store is out of reach.
        """
        ...

    async def lock(self, key: str, version: str = "") -> Lock | None:
        """The lock of a copy; None when it has none.

        Raises:
            CopyUnavailable: The store is out of reach.
        """
        ...

    async def versions(self, prefix: str) -> list[Version]:
        """Every version of every copy whose key begins so, hiding marks included; the newest of a key first.

        Raises:
            CopyUnavailable: The store is out of reach.
        """
        ...

    async def close(self) -> None:
        """Release connections. May be called twice."""
        ...


class Copied(msgspec.Struct, omit_defaults=True):
    """How far a copy is, as it stands in its state file.

    Attributes:
        size: Events of the last copied checkpoint.
        root: Its root, hex.
        time_ms: When it was signed.
        full: Events below which every full tile is copied.
        objects: Copies written since the beginning.
        error: Why nothing is copied at present; empty while all is well.
        error_ms: Since when.
    """

    size: int = 0
    root: str = ""
    time_ms: int = 0
    full: int = 0
    objects: int = 0
    error: str = ""
    error_ms: int = 0


class CopiedFile:
    """A copy's state, replaced whole and flushed at each change."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"

    def load(self) -> Copied:
        """What was saved last; a new one where there is none. A damaged file costs reading what is there already.

        Raises:
            OSError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Copied)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Copied()

    def save(self, copied: Copied) -> None:
        """Make it durable.

        Raises:
            OSError: The state folder cannot be written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(copied))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def copy_warnings(folder: Path, names: Iterable[str]) -> list[str]:
    """A sentence per copy that is not kept up to date, without addresses: health is told to anyone."""
    found = []
    for name in names:
        try:
            failing = CopiedFile(folder, name).load().error
        except OSError as error:
            failing = error.strerror or "unreadable"
        if failing:
            found.append(f"the log is not being copied to '{name}'; 'greffier audit copies' says why")
    return found


class Copier:
    """Keeps one place of copies up to date."""

    def __init__(  # noqa: PLR0917 - collaborators, each named once by the composition root
        self,
        log: TileStore,
        place: LockedStore,
        state: CopiedFile,
        verifiers: Sequence[Verifier],
        origin: str,
        retain_days: int,
        *,
        records: bool,
    ) -> None:
        """Name the collaborators.

        Args:
            log: The log's folder.
            place: Where the copies go.
            state: How far it is.
            verifiers: The log's keys, past ones included.
            origin: The log's name.
            retain_days: How long each copy is locked.
            records: Whether the records behind the hashes are copied too.
        """
        self._log = log
        self._place = place
        self._state = state
        self._verifiers = list(verifiers)
        self._origin = origin
        self._retain_ms = retain_days * _DAY_MS
        self._records = records
        self.copied = state.load()

    async def round(self, now_ms: int) -> Checkpoint | None:
        """Copy what is new, and the newest checkpoint last; None when it is copied already or there is none.

        Raises:
            CopyUnavailable: The place is out of reach or does not lock. What was copied stays; the rest follows.
            BadCopy: The log contradicts its copies. Nothing more was copied.
            BadLog: The log cannot be read, or its tiles do not lead to what it signs.
            OSError: The state cannot be kept.
        """
        note, head = self._newest()
        if head is None or (head.size, head.time_ms) == (self.copied.size, self.copied.time_ms):
            return None
        self._must_follow(head)
        until_ms = now_ms + self._retain_ms
        for batch in _batches(full_tiles(self.copied.full, head.size, records=self._records)):
            await asyncio.gather(*(self._place_tile(tile, until_ms) for tile in batch))
            self._state.save(self.copied)
        self.copied.full = head.size // WIDTH * WIDTH
        if self._records and head.size % WIDTH:
            await self._place_tile(("entries", head.size // WIDTH, head.size % WIDTH), until_ms)
        for tile in edge_tiles(head.size):
            await self._place_tile(tile, until_ms)
        key = checkpoint_key(head)
        await self._put(key, note.encode(), until_ms)
        lock = await self._place.lock(key)
        if lock is None or lock.until_ms < until_ms - _SLACK_MS:
            raise CopyUnavailable("the store took a copy and did not lock it as long as it was told to")
        self.copied.size, self.copied.root, self.copied.time_ms = head.size, head.root.hex(), head.time_ms
        self.copied.error, self.copied.error_ms = "", 0
        self._state.save(self.copied)
        return head

    def failed(self, error: str, now_ms: int) -> None:
        """Keep why nothing is copied, for who asks later.

        Raises:
            OSError: The state cannot be kept.
        """
        self.copied.error_ms = self.copied.error_ms if self.copied.error else now_ms
        self.copied.error = error
        self._state.save(self.copied)

    def _newest(self) -> tuple[str, Checkpoint | None]:
        note = read_note(self._log)
        if note is None:
            if self.copied.size:
                raise BadCopy(f"the log has no checkpoint, though one of {self.copied.size} events was copied")
            return "", None
        try:
            return note, verify(note, self._verifiers, self._origin)
        except BadCheckpoint as error:
            raise BadLog(f"the newest checkpoint is not the log's: {error}") from error

    def _must_follow(self, head: Checkpoint) -> None:
        """The log must have grown out of what was copied last."""
        nodes = TileNodes(self._log, head.size)
        if frontier_at(head.size, nodes).root() != head.root:
            raise BadLog(f"the tiles of the first {head.size} events do not lead to the signed root")
        before = self.copied
        if head.size < before.size or head.time_ms < before.time_ms:
            raise BadCopy(f"the log was cut: {before.size} events were copied, now it has {head.size}")
        if before.size and frontier_at(before.size, nodes).root().hex() != before.root:
            raise BadCopy(f"the log was rewritten: its first {before.size} events are not those that were copied")

    async def _place_tile(self, tile: tuple[int | str, int, int], until_ms: int) -> None:
        level, index, width = tile
        data = encode_bundle(self._log.bundle(index, width)) if isinstance(level, str) else b"".join(
            self._log.tile(level, index, width)
        )  # fmt: skip
        await self._put(tile_key(self._log, *tile), data, until_ms)

    async def _put(self, key: str, data: bytes, until_ms: int) -> None:
        present = await self._place.get(key)
        if present is None:
            await self._place.put(key, data, until_ms)
            self.copied.objects += 1
        elif present != data:
            raise BadCopy(f"{key} was copied before and is another one now: the log was rewritten, or the copy was")


def tile_key(log: TileStore, level: int | str, index: int, width: int) -> str:
    """Where a tile is in the bucket: as in the log's folder."""
    return log.path(level, index, width).relative_to(log.folder).as_posix()


def checkpoint_key(head: Checkpoint) -> str:
    """Where a checkpoint is in the bucket; in the order of time."""
    moment = datetime.fromtimestamp(head.time_ms / 1000, UTC)
    return f"{CHECKPOINTS}{moment:%Y-%m-%dT%H-%M-%S}-{head.time_ms % 1000:03d}Z.note"


def full_tiles(start: int, end: int, *, records: bool) -> Iterator[tuple[int | str, int, int]]:
    """Tiles that became full between two sizes of the log, as level, index and width."""
    if records:
        for index in range(start // WIDTH, end // WIDTH):
            yield "entries", index, WIDTH
    level = 0
    while row := end >> (HEIGHT * level):
        for index in range((start >> (HEIGHT * level)) // WIDTH, row // WIDTH):
            yield level, index, WIDTH
        level += 1


def edge_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """The unfinished tiles of a size, from the leaves up."""
    row, level = size, 0
    while row:
        index, width = divmod(row, WIDTH)
        if width:
            yield level, index, width
        row, level = index, level + 1


def _batches(tiles: Iterator[tuple[int | str, int, int]]) -> Iterator[list[tuple[int | str, int, int]]]:
    batch = []
    for tile in tiles:
        batch.append(tile)
        if len(batch) == _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch
