"""Ships copies of the evidence to sinks: at least once, in order, and never in the way of a request.

A shipper reads the journal like any auditor, with a cursor of its own that moves only once the sink has acknowledged.
What a sink cannot take now is tried again with growing pauses; the journal is the queue, so nothing is dropped and no
memory fills up. What a sink refuses for good is kept in a file beside the cursor, counted, and said aloud.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export.canonical import Canonicaliser
from greffier.audit.export.codes import Severity
from greffier.audit.export.entry import Entry
from greffier.audit.export.notices import checkpoint_entry, missing
from greffier.audit.ports import JournalReader, JournalUnavailable
from greffier.audit.sinks import Parcel, Sink, SinkRejected, SinkUnavailable, Writer, write_parcel
from greffier.core.clock import Clock

log = logging.getLogger(__name__)

POLL_S = 0.5
MAX_CHUNK_BYTES = 512_000  # of one delivery; below the usual limit of a Kafka message set or an HTTP collector
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_LAST_EFFORT_S = 5.0


class Progress(msgspec.Struct, omit_defaults=True):
    """How far a sink is, as it stands in its state file.

    Attributes:
        cursor: Last sequence number that was shipped or left out by the filter.
        previous: Last sequence number something was sent about.
        checkpoint: Size of the last checkpoint sent.
        checkpoint_ms: Its time.
        delivered: Entries acknowledged.
        rejected: Entries refused for good; they are in the file of the same name ending in ``.rejected``.
        error: Why nothing is shipped at present; empty while all is well.
        error_ms: Since when.
        delivered_ms: When the sink acknowledged last.
    """

    cursor: int = 0
    previous: int = 0
    checkpoint: int = 0
    checkpoint_ms: int = 0
    delivered: int = 0
    rejected: int = 0
    error: str = ""
    error_ms: int = 0
    delivered_ms: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink gets.

    Attributes:
        name: Of the sink.
        workspace: Stands in every event as the environment.
        events: Begins of the event codes to send; all when empty.
        at_least: Lowest severity to send.
        from_now: Whether a new sink starts with what comes next.
        batch: Most journal events read at a time.
        timeout_s: For one delivery.
        checkpoint_every_s: Shortest time between two checkpoints.
    """

    name: str
    workspace: str
    events: tuple[str, ...] = ()
    at_least: Severity = Severity.INFORMATIONAL
    from_now: bool = False
    batch: int = 500
    timeout_s: float = 30.0
    checkpoint_every_s: int = 60

    def wants(self, entry: Entry) -> bool:
        """Whether the sink gets an entry. Holes in the evidence are told to every sink."""
        if entry.code.code in _ALWAYS:
            return True
        return entry.code.severity >= self.at_least and (not self.events or entry.code.code.startswith(self.events))


_ALWAYS = frozenset({"GW-5900", "GW-5901"})

CheckpointSource = Callable[[], Checkpoint | None]


class ProgressFile:
    """A sink's state, replaced whole and flushed at each change."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        self._rejected = folder / f"{name}.rejected"

    def load(self) -> Progress | None:
        """What was saved last; None for a new sink.

        Raises:
            SinkUnavailable: The file is damaged. Guessing a cursor would lose or repeat everything.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise SinkUnavailable(
                f"{self.path} cannot be read; restore it, or remove it to send everything again"
            ) from error

    def save(self, progress: Progress) -> None:
        """Make it durable.

        Raises:
            OSError: The state folder cannot be written.
        """
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def keep_rejected(self, parcels: Sequence[Parcel], reasons: dict[str, str]) -> None:
        """Write what a sink refused for good where an operator finds it, with the reason.

        Raises:
            OSError: The state folder cannot be written.
        """
        with self._rejected.open("ab") as file:
            for parcel in parcels:
                if parcel.id in reasons:
                    line = {"seq": parcel.seq, "id": parcel.id, "code": parcel.code, "reason": reasons[parcel.id]}
                    file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())


class _Load(msgspec.Struct):
    """Parcels that are on their way, and the progress once they have arrived."""

    parcels: list[Parcel]
    after: Progress


class Shipper:
    """Keeps one sink supplied. Only one at a time works on a sink; others wait, and take over when it ends."""

    def __init__(  # noqa: PLR0917 - collaborators, each named once by the composition root
        self,
        plan: Plan,
        sink: Sink,
        writer: Writer,
        reader: JournalReader,
        checkpoints: CheckpointSource,
        folder: Path,
        clock: Clock,
        random: Random,
    ) -> None:
        """Name the collaborators; nothing is opened yet.

        Args:
            plan: What the sink gets.
            sink: Where to.
            writer: The sink's format.
            reader: The journal.
            checkpoints: The newest signed checkpoint.
            folder: Where the cursor is kept.
            clock: Time of what carries none.
            random: Spreads the retries of many gateways.
        """
        self.plan = plan
        self._sink = sink
        self._writer = writer
        self._reader = reader
        self._checkpoints = checkpoints
        self._folder = folder
        self._file = ProgressFile(folder, plan.name)
        self._clock = clock
        self._random = random
        self._canonicaliser = Canonicaliser(plan.workspace, reader, clock)
        self._lock: int | None = None
        self._load: _Load | None = None
        self.progress = Progress()
        self.lag = 0
        """Journal events not yet shipped, when last looked at."""

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until told to stop, then make one last short effort, so that the stop itself is on record there."""
        try:
            await self._until(stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_EFFORT_S):
                    while await self._attempt():
                        pass
        finally:
            await self.close()

    async def _until(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            moved = await self._attempt()
            failures = 0 if moved is not None else failures + 1
            if not moved:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause(failures)):
                        await stop.wait()

    def _pause(self, failures: int) -> float:
        if not failures:
            return POLL_S
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
        return longest * (0.5 + self._random.random() / 2)

    async def _attempt(self) -> int | None:
        """Journal events shipped; None when it failed."""
        try:
            moved = await self.ship_once()
        except (SinkUnavailable, JournalUnavailable, OSError) as error:
            await asyncio.to_thread(self._note, str(error))
            return None
        except Exception as error:  # a fault in one sink must neither end its supply for ever nor go unseen
            log.exception("sink %s failed", self.plan.name)
            await asyncio.to_thread(self._note, f"{type(error).__name__}; the log of the gateway says more")
            return None
        await asyncio.to_thread(self._note, "")
        return moved

    def _note(self, error: str) -> None:
        if error == self.progress.error:
            return
        if error:
            log.error("sink %s gets nothing: %s", self.plan.name, error)
        else:
            log.warning("sink %s is being supplied again", self.plan.name)
        self.progress = msgspec.structs.replace(self.progress, error=error, error_ms=self._clock.wall_ms())
        if self._lock is None:  # somebody else's state, or one that cannot be read
            return
        with contextlib.suppress(OSError):  # the same disk fault is what `error` says; it is tried again
            self._file.save(self.progress)

    async def ship_once(self) -> int:
        """Ship one batch, if there is something new, and return how many journal events it covered.

        Also 0 while another shipper works on the sink.

        Raises:
            SinkUnavailable: The sink did not take it. It stays first in line.
            JournalUnavailable: The journal cannot be read.
            OSError: The cursor cannot be kept.
        """
        if not await asyncio.to_thread(self._lead):
            return 0
        load = self._load = self._load or await asyncio.to_thread(self._pack)
        if load is None:
            return 0
        rejected = 0
        delivered = len(load.parcels)
        while load.parcels:
            chunk = _chunk(load.parcels)
            rejected += await self._deliver(chunk)
            del load.parcels[: len(chunk)]
        moved = load.after.cursor - self.progress.cursor
        after = msgspec.structs.replace(
            load.after,
            delivered=self.progress.delivered + delivered - rejected,
            rejected=self.progress.rejected + rejected,
            delivered_ms=self._clock.wall_ms() if delivered else self.progress.delivered_ms,
        )
        await asyncio.to_thread(self._file.save, after)
        self.progress = after
        self._load = None
        self.lag = max(0, self.lag - moved)
        return moved

    async def _deliver(self, chunk: list[Parcel]) -> int:
        try:
            async with asyncio.timeout(self.plan.timeout_s):
                await self._sink.send(chunk)
        except TimeoutError:
            raise SinkUnavailable(f"no acknowledgement within {self.plan.timeout_s:g} s") from None
        except SinkRejected as error:
            log.error("sink %s refuses %d event(s) for good: %s", self.plan.name, len(error.reasons), error)  # noqa: TRY400
            await asyncio.to_thread(self._file.keep_rejected, chunk, error.reasons)
            return len(error.reasons)
        return 0

    def _lead(self) -> bool:
        if self._lock is not None:
            return True
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / f"{self.plan.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = self._file.load()
            if known is None:
                start = self._reader.size() if self.plan.from_now else 0
                known = Progress(cursor=start)
                self._file.save(known)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self.progress = known
        self._lock = lock
        return True

    def _pack(self) -> _Load | None:
        progress = msgspec.structs.replace(self.progress)
        size = self._reader.size()
        self.lag = max(0, size - progress.cursor)
        if size < progress.cursor:
            raise SinkUnavailable(f"the journal was cut: {progress.cursor} events were shipped, {size} are left")
        parcels: list[Parcel] = []
        for row in self._reader.read(progress.cursor + 1, self.plan.batch):
            entries = self._canonicaliser.entries(row)
            if row.seq > progress.cursor + 1:
                hole = missing(progress.cursor + 1, row.seq - 1, self.plan.workspace, self._clock.wall_ms())
                entries = (hole, *entries)
            progress.cursor = row.seq
            self._add(parcels, entries, progress, row.seq)
        self._add_checkpoint(parcels, progress)
        if progress.cursor == self.progress.cursor and not parcels:
            return None
        return _Load(parcels, progress)

    def _add(self, parcels: list[Parcel], entries: Sequence[Entry], progress: Progress, seq: int) -> None:
        wanted = [entry for entry in entries if self.plan.wants(entry)]
        parcels += [self._parcel(entry, progress.previous) for entry in wanted]
        if wanted:
            progress.previous = seq

    def _add_checkpoint(self, parcels: list[Parcel], progress: Progress) -> None:
        """A checkpoint follows the events it covers."""
        newest = self._checkpoints()
        if newest is None or newest.size > progress.cursor or newest.size < progress.checkpoint:
            return
        if newest.time_ms - progress.checkpoint_ms < self.plan.checkpoint_every_s * 1000:
            return
        entry = checkpoint_entry(newest, self.plan.workspace)
        progress.checkpoint, progress.checkpoint_ms = newest.size, newest.time_ms
        if self.plan.wants(entry):
            parcels.append(self._parcel(entry, progress.previous))

    def _parcel(self, entry: Entry, previous: int) -> Parcel:
        return write_parcel(msgspec.structs.replace(entry, prev_seq=previous), self._writer)

    async def close(self) -> None:
        """Release the sink and let another shipper take over."""
        await self._sink.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._load = None


def _chunk(parcels: list[Parcel]) -> list[Parcel]:
    size = 0
    for number, parcel in enumerate(parcels):
        size += len(parcel.data)
        if size > MAX_CHUNK_BYTES and number:
            return parcels[:number]
    return parcels[:]
