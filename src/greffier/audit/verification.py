"""Verify the whole log: journal, tiles, checkpoints and their signatures against each other, in one pass.

Everything is compared event by event in bounded memory, so that each finding names the place. Nothing is repaired.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, verify
from greffier.audit.merkle import EMPTY_ROOT, Frontier, frontier_at, leaf_hash, perfect_root
from greffier.audit.ports import JournalReader
from greffier.audit.sealer import read_note
from greffier.audit.tiles import HEIGHT, WIDTH, BadLog, TileNodes, TileStore
from greffier.core.events import Act, parse

CLOCK_STEP_MS = 60_000  # events of parallel requests are written out of order by less than this
PRUNED = "journal.prune"
"""The act that says up to which event retention dropped the journal; its ``first_seq`` is the first one left."""
_MOST_FINDINGS = 100


class FiledReader(JournalReader, Protocol):
    """A journal whose look-up columns can be compared with the events."""

    def misfiled(self, start: int, limit: int) -> list[int]:
        """Sequence numbers in ``[start, start + limit)`` whose look-up columns differ from the event."""
        ...


class Finding(msgspec.Struct, frozen=True):
    """Something that does not fit.

    Attributes:
        severity: ``error`` breaks the evidence; ``warning`` is for a person to judge.
        kind: Stable word: ``changed``, ``missing``, ``order``, ``misfiled``, ``tile``, ``bundle``, ``checkpoint``,
            ``root``, ``clock``, ``format``.
        message: One sentence that names the place.
        seq: The event, or 0.
    """

    severity: Literal["error", "warning"]
    kind: str
    message: str
    seq: int = 0


class Report(msgspec.Struct, frozen=True):
    """What was verified, and what was found.

    Attributes:
        checkpoint: The newest checkpoint, if one is signed by a known key.
        first_seq: First event that was compared.
        events: Events compared.
        unsealed: Events after the checkpoint; they are in the journal and will be sealed next.
        checkpoints: Signed checkpoints that were compared, the newest included.
        findings: At most a hundred.
    """

    checkpoint: Checkpoint | None
    first_seq: int
    events: int
    unsealed: int
    checkpoints: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the evidence holds."""
        return not any(finding.severity == "error" for finding in self.findings)


class _TooMany(Exception):  # noqa: N818 - ends the pass, it is no error
    pass


class Verification:
    """One pass over a log, tile by tile. Call `run` once."""

    def __init__(
        self,
        reader: FiledReader,
        store: TileStore,
        verifiers: Sequence[Verifier],
        origin: str | None,
        kept: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Name what is compared.

        Args:
            reader: The journal.
            store: The log's files.
            verifiers: Keys that may have signed checkpoints.
            origin: Name the log must have; None takes that of its newest checkpoint.
            kept: Name and note of checkpoints that were kept elsewhere; the log must be consistent with each.
        """
        self._reader = reader
        self._store = store
        self._verifiers = list(verifiers)
        self._origin = origin
        self._kept = kept
        self._findings: list[Finding] = []
        self._newest: Checkpoint | None = None
        self._heads: deque[tuple[Checkpoint, str]] = deque()
        self._checkpoints = 0
        self._events = 0
        self._latest_ts = 0
        self._first = 1
        self._dropped_seq = 0
        self._pruned_to = 1
        self._hidden = 0
        self._frontier = Frontier()
        self._upper: list[list[bytes]] = []

    def run(self, since_seq: int = 1) -> Report:
        """Compare everything from the tile of event ``since_seq`` on; earlier leaves are taken from the tiles.

        Raises:
            JournalUnavailable: The journal cannot be read.
        """
        size = self._reader.size()
        self._first = self._reader.first()
        start = 0
        sealed = 0
        with contextlib.suppress(_TooMany):
            self._load_checkpoints(size)
            sealed = self._newest.size if self._newest else 0
            start = min(max(since_seq, 1) - 1, sealed) // WIDTH * WIDTH
            self._begin(start, sealed)
            for index in range(start // WIDTH, -(-sealed // WIDTH)):
                self._tile(index, min(WIDTH, sealed - index * WIDTH))
            self._upper_tiles(sealed)
            for checkpoint, name in self._heads:
                self._error("missing", f"{name} signs {checkpoint.size} events; the log has {sealed}")
            self._check_counter(self._tail(sealed))
            if self._dropped_seq >= self._pruned_to:
                message = (
                    f"the journal begins with event {self._first}, and no record says that earlier ones were pruned"
                )
                self._error("missing", message, self._dropped_seq)
        unsealed = max(0, size - sealed)
        return Report(self._newest, start + 1, self._events, unsealed, self._checkpoints, tuple(self._findings))

    def _error(self, kind: str, message: str, seq: int = 0) -> None:
        self._note(Finding("error", kind, message, seq))

    def _note(self, finding: Finding) -> None:
        self._findings.append(finding)
        if len(self._findings) == _MOST_FINDINGS:
            self._findings.append(Finding("warning", "format", f"stopped after {_MOST_FINDINGS} findings"))
            raise _TooMany

    # --- checkpoints

    def _load_checkpoints(self, size: int) -> None:
        archived = sorted((self._store.folder / "checkpoints").glob("*.note"))
        notes = [(f"checkpoints/{path.name}", path.read_text(encoding="utf-8", errors="replace")) for path in archived]
        newest: str | None = None
        try:
            newest = read_note(self._store)
        except BadLog as error:
            self._error("checkpoint", str(error))
        if newest is not None:
            notes.append(("checkpoint", newest))
        elif archived or self._kept:
            self._error("checkpoint", "the newest checkpoint is missing")
        elif size:
            self._note(Finding("warning", "checkpoint", "there is no checkpoint: nothing was sealed yet"))
        self._open_own(notes)
        for name, text in self._kept:
            kept = self._open(name, text)
            if kept and self._newest and kept.time_ms > self._newest.time_ms:
                self._error("clock", f"{name} is newer than the log's newest checkpoint: the log was rolled back")
        self._heads = deque(sorted(self._heads, key=lambda head: head[0].size))

    def _open_own(self, notes: list[tuple[str, str]]) -> None:
        previous: Checkpoint | None = None
        for name, text in notes:
            checkpoint = self._open(name, text)
            if checkpoint is None:
                continue
            if previous and (checkpoint.time_ms < previous.time_ms or checkpoint.size < previous.size):
                self._error("clock", f"{name} is older than the checkpoint before it: the clock or the log went back")
            previous = checkpoint
            if name == "checkpoint":
                self._newest = checkpoint

    def _open(self, name: str, text: str) -> Checkpoint | None:
        try:
            checkpoint = verify(text, self._verifiers, self._origin)
        except BadCheckpoint as error:
            self._error("checkpoint", f"{name}: {error}")
            return None
        self._checkpoints += 1
        self._heads.append((checkpoint, name))
        return checkpoint

    def _check_heads(self) -> None:
        while self._heads and self._heads[0][0].size == self._frontier.size:
            checkpoint, name = self._heads.popleft()
            if checkpoint.root != self._frontier.root():
                self._error("root", f"the first {checkpoint.size} events do not have the root that {name} signs")

    # --- sealed events

    def _begin(self, start: int, sealed: int) -> None:
        """Take the tree before ``start`` from the tiles. The signed root still binds it."""
        while self._heads and self._heads[0][0].size < start:
            self._heads.popleft()
        nodes = TileNodes(self._store, sealed)
        try:
            self._frontier = frontier_at(start, nodes)
            row = start // WIDTH
            while row:
                level = len(self._upper) + 1
                index, width = divmod(row, WIDTH)
                self._upper.append(self._store.tile(level, index, width) if width else [])
                row = index
        except BadLog as error:
            self._error("tile", str(error))
            self._frontier = Frontier(start, [EMPTY_ROOT] * start.bit_count())
            self._upper = []
        self._check_heads()

    def _tile(self, index: int, width: int) -> None:
        first = index * WIDTH + 1
        rows = {row.seq: row.data for row in self._reader.read(first, width) if row.seq < first + width}
        self._hidden = self._hidden or next((seq for seq in rows if seq < self._first), 0)
        own = [leaf_hash(rows[seq]) if seq in rows else None for seq in range(first, first + width)]
        try:
            leaves = self._store.tile(0, index, width)
        except BadLog as error:
            self._error("tile", str(error))
            leaves = [leaf or EMPTY_ROOT for leaf in own]
        for seq, mine, sealed in zip(range(first, first + width), own, leaves, strict=True):
            if mine is None and seq < self._first:
                self._dropped_seq = seq
            elif mine is None:
                self._error("missing", f"event {seq} was sealed but is missing from the journal", seq)
            elif mine != sealed:
                self._error("changed", f"event {seq} in the journal is not the one that was sealed", seq)
            self._frontier.append(sealed)
            self._check_heads()
        self._check_bundle(index, leaves, list(rows.values()))
        self._check_events(rows)
        if width == WIDTH:
            self._raise(1, perfect_root(leaves))

    def _check_bundle(self, index: int, leaves: list[bytes], rows: list[bytes]) -> None:
        try:
            entries = self._store.bundle(index, len(leaves))
        except BadLog as error:
            self._error("bundle", str(error))
            return
        if entries == rows:
            return
        for seq, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), index * WIDTH + 1):
            if leaf_hash(entry) != leaf:
                self._error("bundle", f"event {seq} in its entry bundle is not the one that was sealed", seq)

    def _raise(self, level: int, node: bytes) -> None:
        """Add the root of a full tile to the row above, and compare each tile there once it is full."""
        if len(self._upper) < level:
            self._upper.append([])
        row = self._upper[level - 1]
        row.append(node)
        if len(row) == WIDTH:
            self._compare(level, (self._frontier.size >> (HEIGHT * (level + 1))) - 1, row)
            self._upper[level - 1] = []
            self._raise(level + 1, perfect_root(row))

    def _upper_tiles(self, sealed: int) -> None:
        for level, row in enumerate(self._upper, 1):
            if row:
                self._compare(level, sealed >> (HEIGHT * (level + 1)), row)

    def _compare(self, level: int, index: int, row: list[bytes]) -> None:
        try:
            if self._store.tile(level, index, len(row)) != row:
                self._error("tile", f"tile {level}/{index} does not hold the roots of the tiles below it")
        except BadLog as error:
            self._error("tile", str(error))

    # --- all events

    def _check_events(self, rows: dict[int, bytes]) -> None:
        for seq, data in rows.items():
            self._events += 1
            try:
                event = parse(data)
            except msgspec.DecodeError:
                self._error("format", f"event {seq} cannot be read", seq)
                continue
            if isinstance(event, Act) and event.action == PRUNED:
                self._pruned_to = max(self._pruned_to, int(event.details.get("first_seq", 1)))
            if event.ts < self._latest_ts - CLOCK_STEP_MS:
                behind = (self._latest_ts - event.ts) // 1000
                message = f"event {seq} is dated {behind} s before an event that precedes it: the clock went back"
                self._note(Finding("warning", "clock", message, seq))
                self._latest_ts = event.ts  # one finding per step, not one per event until the clock caught up
            self._latest_ts = max(self._latest_ts, event.ts)
        if rows:
            first = min(rows)
            for seq in self._reader.misfiled(first, max(rows) - first + 1):
                self._error("misfiled", f"the look-up columns of event {seq} differ from the event", seq)

    def _check_counter(self, last: int) -> None:
        """What the journal says of its own extent must be what is there; it is asked after the last event was read."""
        counted = self._reader.size()
        if counted < last:
            self._error("missing", f"the journal counts {counted} events, though there are {last}", counted + 1)
        if self._hidden:
            message = f"the journal says that it begins with event {self._first}, though event {self._hidden} is there"
            self._error("misfiled", message, self._hidden)

    def _tail(self, sealed: int) -> int:
        """Compare what is not sealed yet; return the last event's number."""
        expected = sealed + 1
        while chunk := self._reader.read(expected, 1024):
            for row in chunk:
                if row.seq != expected:
                    self._error("missing", f"event {expected} is missing from the journal", expected)
                expected = row.seq + 1
            self._check_events({row.seq: row.data for row in chunk})
        return expected - 1


def first_at(reader: JournalReader, ts_ms: int) -> int:
    """Number of the first event dated ``ts_ms`` or later; one past the last when there is none.

    A binary search: events of parallel requests are in order of time within `CLOCK_STEP_MS` only, so ask for a moment
    that much earlier and filter where the exact edge matters.

    Raises:
        JournalUnavailable: The journal cannot be read.
    """
    low, high = 1, reader.size() + 1
    while low < high:
        middle = (low + high) // 2
        row = reader.read(middle, 1)
        if row and parse(row[0].data).ts < ts_ms:
            low = row[0].seq + 1
        else:
            high = middle
    return low
