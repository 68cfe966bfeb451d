"""Ships copies of the evidence to sinks: at least once, in order, and never in the way of a request.

A shipper reads the journal like any auditor, with a cursor of its own that moves only once the sink has acknowledged.
What a sink cannot take now is tried again with growing pauses; the journal is the queue, so nothing is dropped and no
memory fills up. What a sink refuses for good is kept beside the cursor, counted, and said aloud.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export.canonical import Canonicaliser
from greffier.audit.export.codes import Severity
from greffier.audit.export.entry import Entry
from greffier.audit.export.notices import checkpoint_entry, missing
from greffier.audit.ports import JournalReader, JournalUnavailable
from greffier.audit.progress import Progress, ProgressStore, Rejection, SinkTaken
from greffier.audit.sinks import Parcel, Sink, SinkRejected, SinkUnavailable, Writer, write_parcel
from greffier.core.clock import Clock

log = logging.getLogger(__name__)

POLL_S = 0.5
STANDBY_S = 2.0
"""How often who does not supply a sink looks whether it is needed."""
MAX_CHUNK_BYTES = 512_000  # of one delivery; below the usual limit of a Kafka message set or an HTTP collector
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_LAST_EFFORT_S = 5.0


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


class _Load(msgspec.Struct):
    """Parcels that are on their way, the progress once they have arrived, and what became of those that have."""

    parcels: list[Parcel]
    after: Progress
    delivered: int = 0
    rejected: int = 0


class Shipper:
    """Keeps one sink supplied. Only one at a time works on a sink; others wait, and take over when it ends."""

    def __init__(  # noqa: PLR0917 - collaborators, each named once by the composition root
        self,
        plan: Plan,
        sink: Sink,
        writer: Writer,
        reader: JournalReader,
        checkpoints: CheckpointSource,
        state: ProgressStore,
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
            state: Where the cursor is kept, and who may move it.
            clock: Time of what carries none.
            random: Spreads the retries of many gateways.
        """
        self.plan = plan
        self._sink = sink
        self._writer = writer
        self._reader = reader
        self._checkpoints = checkpoints
        self._state = state
        self._clock = clock
        self._random = random
        self._canonicaliser = Canonicaliser(plan.workspace, reader, clock)
        self.leading = False
        """Whether it is this one that supplies the sink, when last asked."""
        self._load: _Load | None = None
        self.progress = Progress()
        self.lag = 0
        """Journal events not yet shipped, when last looked at, by whoever supplies the sink."""

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
            return POLL_S if self.leading else STANDBY_S
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
        if error == self.progress.error or not (error or self.leading):
            return
        if error:
            log.error("sink %s gets nothing: %s", self.plan.name, error)
        else:
            log.warning("sink %s is being supplied again", self.plan.name)
        self.progress = msgspec.structs.replace(self.progress, error=error, error_ms=self._clock.wall_ms())
        if not self.leading:  # somebody else's state, or one that cannot be read
            return
        with contextlib.suppress(OSError, SinkUnavailable):  # the same fault is what `error` says; it is tried again
            self._save(self.progress)

    async def ship_once(self) -> int:
        """Ship one batch, if there is something new, and return how many journal events it covered.

        Also 0 while another shipper works on the sink.

        Raises:
            SinkUnavailable: The sink did not take it; it stays first in line. Or the cursor cannot be kept.
            JournalUnavailable: The journal cannot be read.
            OSError: The cursor cannot be kept.
        """
        if not await asyncio.to_thread(self._lead):
            return 0
        load = self._load = self._load or await asyncio.to_thread(self._pack)
        if load is None:
            return 0
        while load.parcels:
            chunk = _chunk(load.parcels)
            rejected = await self._deliver(chunk)
            load.rejected += rejected
            load.delivered += len(chunk) - rejected
            del load.parcels[: len(chunk)]
        moved = load.after.cursor - self.progress.cursor
        after = msgspec.structs.replace(
            load.after,
            delivered=self.progress.delivered + load.delivered,
            rejected=self.progress.rejected + load.rejected,
            delivered_ms=self._clock.wall_ms() if load.delivered else self.progress.delivered_ms,
        )
        await asyncio.to_thread(self._save, after)
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
            lines = [
                Rejection(one.seq, one.id, one.code, error.reasons[one.id]) for one in chunk if one.id in error.reasons
            ]
            await asyncio.to_thread(self._state.keep_rejected, lines)
            return len(error.reasons)
        return 0

    def _lead(self) -> bool:
        if not self._state.hold():
            self.leading, self._load = False, None
            self.progress = self._state.load() or Progress()  # the holder's, to be shown here too
            self.lag = max(0, self._reader.size() - self.progress.cursor)
            return False
        if not self.leading:
            self._load = None
            known = self._state.load()
            if known is None:
                known = Progress(cursor=self._reader.size() if self.plan.from_now else 0)
                self._state.save(known)
            self.progress = known
            self.leading = True
        return True

    def _save(self, progress: Progress) -> None:
        try:
            self._state.save(progress)
        except SinkTaken:
            self.leading, self._load = False, None
            raise

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
        await asyncio.to_thread(self._state.close)  # says goodbye to a database
        self.leading = False
        self._load = None


def _chunk(parcels: list[Parcel]) -> list[Parcel]:
    size = 0
    for number, parcel in enumerate(parcels):
        size += len(parcel.data)
        if size > MAX_CHUNK_BYTES and number:
            return parcels[:number]
    return parcels[:]
