"""Seals the journal: every new event becomes a Merkle leaf, and a signed checkpoint covers all of them.

The sealer never signs what contradicts an earlier signature. Before each checkpoint it compares the journal with what
was sealed (the last sealed event each time, older ones in rotation), the files with its own memory, and the clock with
the last checkpoint. What does not fit stops the sealing with a `BadLog` that says where; requests go on, and the
unsealed tail grows in sight of everyone.
"""

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, sign, verify
from greffier.audit.merkle import Frontier, frontier_at, leaf_hash, perfect_root
from greffier.audit.ports import (
    CheckpointSigner,
    JournalReader,
    JournalUnavailable,
    Leader,
    Sequenced,
    SignerUnavailable,
)
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import HEIGHT, WIDTH, BadLog, TileNodes, TileStore, TileWriter
from greffier.core.clock import Clock

log = logging.getLogger(__name__)

HEARTBEAT_MS = 60_000
CLOCK_SLACK_MS = 5_000  # what a time daemon may step back; more is a clock that was set
_CHUNK = 1024
_HOUR_MS = 3_600_000


class Sealer:
    """One log's sealer. Only one at a time works on a folder; others wait, and take over when it ends."""

    def __init__(  # noqa: PLR0917 - collaborators, each named once by the composition root
        self,
        reader: JournalReader,
        store: TileStore,
        signer: CheckpointSigner,
        verifiers: Sequence[Verifier],
        settings: AuditSettings,
        clock: Clock,
        leader: Leader | None = None,
    ) -> None:
        """Name the collaborators; nothing is opened yet.

        Args:
            reader: The journal.
            store: The log's folder.
            signer: The key in force.
            verifiers: Keys of the past, whose checkpoints we still accept as our own.
            settings: Origin and interval.
            clock: Time of the checkpoints.
            leader: Who seals, where several machines could; None leaves it to the lock in the folder.
        """
        self._reader = reader
        self._store = store
        self._signer = signer
        self._verifiers = [*verifiers, Verifier(signer.name, signer.public_key_der())]
        self._settings = settings
        self._clock = clock
        self._leader = leader
        self._lock: int | None = None
        self._state: tuple[TileWriter, Frontier] | None = None
        self._last: Checkpoint | None = None
        self._floor: Checkpoint | None = None
        self._note = ""
        self._scrubbed = 0
        self.problem = ""
        """Why nothing is sealed at present; empty while all is well."""

    @property
    def last(self) -> Checkpoint | None:
        """The newest checkpoint we signed or took up."""
        return self._last

    def seal_once(self) -> Checkpoint | None:
        """Seal what is new; a heartbeat when nothing was for a minute. None when there was nothing to sign.

        Also None while another sealer works on the folder.

        Raises:
            BadLog: The journal, the files or the clock contradict what was sealed. Nothing was signed.
            JournalUnavailable: The journal cannot be read.
            SignerUnavailable: The key is out of reach.
            OSError: The log's folder cannot be written.
        """
        if not self._lead():
            return None
        try:
            return self._seal()
        except BaseException:
            self._state = None  # half-appended state must not be built upon
            raise

    def close(self) -> None:
        """Let another sealer take over."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._leader is not None:
            self._leader.close()
        self._state = None

    def run(self, stop: threading.Event) -> None:
        """Seal every ``seal_interval_ms`` until told to stop, then once more. For a thread of its own.

        A contradiction or an outage is logged once, kept in `problem`, and tried again at every interval.
        """
        while not stop.wait(self._settings.seal_interval_ms / 1000):
            self._attempt()
        self._attempt()
        self.close()

    def _attempt(self) -> None:
        try:
            self.seal_once()
        except (BadLog, JournalUnavailable, SignerUnavailable, OSError) as error:
            if str(error) != self.problem:
                self.problem = str(error)
                log.critical("the log is not being sealed: %s", error)
            return
        if self.problem:
            log.warning("the log is being sealed again")
            self.problem = ""

    def _lead(self) -> bool:
        if self._leader is not None and not self._leader.leads():
            self._stand_by()
            return False
        if self._lock is not None:
            return True
        self._store.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._store.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _stand_by(self) -> None:
        """Whoever leads meanwhile goes on from the files, and so shall we; yet never from older ones than we knew."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._floor = self._last or self._floor
        self._state = self._last = None

    # --- one round

    def _seal(self) -> Checkpoint | None:
        writer, frontier = self._state = self._state or self._take_up()
        now = self._check_clock()
        size = self._reader.size()
        self._check_journal(size)
        if size == writer.size and self._last is not None and now - self._last.time_ms < HEARTBEAT_MS:
            return None
        while writer.size < size:
            rows = self._reader.read(writer.size + 1, min(_CHUNK, size - writer.size))
            if not rows:
                raise BadLog(f"the journal has no event {writer.size + 1}, though it has {size}")
            for row in rows:
                if row.seq != writer.size + 1:
                    raise BadLog(f"event {writer.size + 1} is missing from the journal")
                leaf = leaf_hash(row.data)
                writer.append(row.data, leaf)
                frontier.append(leaf)
        writer.finish()
        return self._sign(Checkpoint(self._settings.origin, size, frontier.root(), now))

    def _sign(self, checkpoint: Checkpoint) -> Checkpoint:
        if self._last is not None and self._last.time_ms // _HOUR_MS != checkpoint.time_ms // _HOUR_MS:
            hour = datetime.fromtimestamp(self._last.time_ms / 1000, UTC).strftime("%Y-%m-%dT%H")
            self._store.replace(self._store.folder / "checkpoints" / f"{hour}.note", self._note.encode())
        note = sign(checkpoint, self._signer)
        self._store.replace(self._store.folder / "checkpoint", note.encode())
        self._store.flush()
        self._last, self._note = checkpoint, note
        return checkpoint

    # --- what must hold before we sign

    def _take_up(self) -> tuple[TileWriter, Frontier]:
        """Go on where the last checkpoint stands, after convincing ourselves that it is ours and fits its tiles."""
        note = read_note(self._store)
        if note is None:
            if any((self._store.folder / "checkpoints").glob("*.note")):
                raise BadLog("the newest checkpoint is gone, though older ones are there")
            if self._last is not None:
                raise BadLog("the checkpoint was removed")
            return TileWriter(self._store, 0), Frontier()
        found = self._verified(note)
        if self._last is not None and note != self._note:
            raise BadLog("the checkpoint on disk is not the one we wrote last")
        if self._floor is not None and (found.size < self._floor.size or found.time_ms < self._floor.time_ms):
            raise BadLog("the checkpoint is older than the last one we wrote: the log was rolled back")
        for path in sorted((self._store.folder / "checkpoints").glob("*.note"))[-1:]:
            older = self._verified(path.read_text(encoding="utf-8"))
            if older.size > found.size or older.time_ms > found.time_ms:
                raise BadLog(f"the checkpoint is older than {path.name}: the log was rolled back")
        writer = TileWriter(self._store, found.size)
        frontier = frontier_at(found.size, TileNodes(self._store, found.size))
        if frontier.root() != found.root:
            raise BadLog(f"the tiles of the first {found.size} events do not lead to the signed root")
        self._last, self._note = found, note
        self._check_rows(max(0, found.size - WIDTH), found.size)
        return writer, frontier

    def _verified(self, note: str) -> Checkpoint:
        try:
            return verify(note, list(self._verifiers), self._settings.origin)
        except BadCheckpoint as error:
            raise BadLog(f"a checkpoint in the log is not ours: {error}") from error

    def _check_clock(self) -> int:
        now = self._clock.wall_ms()
        if self._last is None or now >= self._last.time_ms:
            return now
        if self._last.time_ms - now > CLOCK_SLACK_MS:
            behind = (self._last.time_ms - now) / 1000
            raise BadLog(f"the clock is {behind:.0f} s behind the last checkpoint; nothing is signed until it is right")
        return self._last.time_ms

    def _check_journal(self, size: int) -> None:
        if self._last is None or not self._last.size:
            return
        if read_note(self._store) != self._note:
            raise BadLog("the checkpoint on disk is not the one we wrote last")
        sealed = self._last.size
        if size < sealed:
            raise BadLog(f"the journal was cut: {sealed} events were sealed, {size} are left")
        self._check_rows(sealed - 1, sealed)
        self._scrub(sealed)

    def _scrub(self, sealed: int) -> None:
        """Compare one older tile with the journal and with the row above it; over time, all of them."""
        end = min(self._scrubbed + WIDTH, sealed)
        self._check_rows(self._scrubbed, end)
        if end - self._scrubbed == WIDTH:
            index = self._scrubbed // WIDTH
            above = TileNodes(self._store, sealed)(HEIGHT, index)
            if perfect_root(self._store.tile(0, index, WIDTH)) != above:
                raise BadLog(f"tile 0/{index} does not lead to the hash above it")
        self._scrubbed = end if end < sealed else 0

    def _check_rows(self, start: int, end: int) -> None:
        """Compare the events with leaves ``[start, end)``, which lie in one or two tiles, with those tiles."""
        nodes = TileNodes(self._store, self._last.size if self._last else 0)
        start = max(start, self._reader.first() - 1)  # what retention dropped is left to the entry bundles
        rows = {row.seq: row for row in self._reader.read(start + 1, end - start)} if start < end else {}
        for index in range(start, end):
            check_row(rows.get(index + 1), index, nodes(0, index))


def check_row(row: Sequenced | None, index: int, leaf: bytes) -> None:
    """Compare one event of the journal with its sealed leaf.

    Raises:
        BadLog: It is missing or was changed.
    """
    if row is None:
        raise BadLog(f"event {index + 1} is sealed but missing from the journal")
    if leaf_hash(row.data) != leaf:
        raise BadLog(f"event {index + 1} in the journal is not the one that was sealed")


def read_note(store: TileStore) -> str | None:
    """The newest checkpoint's note, or None before the first.

    Raises:
        BadLog: It is no text.
    """
    with contextlib.suppress(FileNotFoundError):
        try:
            return (store.folder / "checkpoint").read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadLog("the checkpoint is not text") from error
    return None
