"""The journal on PostgreSQL: group commit in a writer thread, any number of machines on one log, a spool for outages.

A batch is one call of ``journal_append``, which is one transaction and one round trip. When the call fails, nobody
knows whether it was committed; so every event has a number under the name of the connection it was first sent over,
and is sent again under that number: the database leaves out what it has.

While the database is out of reach, events of the lower risk classes go to the worker's spool and are acknowledged
from there, for as long as their class allows; the others are refused at once. When the database is back, the spool is
sent in its order before anything of the same requests goes there directly, and the failure itself is put on record.
"""

import logging
import os
import queue
import socket
import time
from collections import deque
from pathlib import Path

import msgspec
import psycopg

from greffier.audit.ports import JournalState, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.context import RiskClass
from greffier.core.events import Act, AnyEvent, canonical, parse
from greffier.core.ids import new_id
from greffier.storage.group_commit import GroupCommit, Pending, Row
from greffier.storage.postgres.database import Database, reason_of
from greffier.storage.postgres.link import Line, Link
from greffier.storage.spool import Kept, Spool

log = logging.getLogger(__name__)

_ROWS_PER_CALL = 1000
_LOOK_S = 0.1  # how often to see whether the database is back


class Outage(msgspec.Struct):
    """A time during which the database could not be written, as this worker saw it.

    Attributes:
        since: Monotonic seconds.
        began_ms: Wall clock.
        why: What the database said first.
        spooled: Events acknowledged from the spool.
        refused: Events refused.
        ended: Monotonic seconds when it was reached again; None while it is not.
    """

    since: float
    began_ms: int
    why: str
    spooled: int = 0
    refused: int = 0
    ended: float | None = None


class PostgresJournal(GroupCommit):
    """Journal port on PostgreSQL. One object per worker and event loop."""

    _STORE = "the database"

    def __init__(
        self, database: Database, settings: AuditSettings, spools: Path | None = None, spool_bytes: int = 1 << 28
    ) -> None:
        """Connect, and take over what dead workers spooled.

        Args:
            database: Where the journal is.
            settings: Timeouts, and how long each risk class may go on without the database.
            spools: Folder on a local disk; None refuses everything while the database is out of reach.
            spool_bytes: How large this worker's spool may grow.

        Raises:
            JournalUnavailable: The database cannot be reached, or the folder cannot be used.
        """
        super().__init__(settings)
        self._bounds: dict[RiskClass, float] = {
            "minimal": settings.spool_minimal_s,
            "limited": settings.spool_limited_s,
            "high": 0.0,
        }
        try:
            self._link = Link(database, int(self._timeout * 1000 / 2))
        except psycopg.Error as error:
            raise JournalUnavailable(f"the journal's database cannot be reached: {reason_of(error)}") from error
        self._name = f"{socket.gethostname()}-{os.getpid()}-{new_id('w')}"
        self._orphans = deque(Spool.adopt(spools)) if spools else deque()
        self._spool = Spool.create(spools, self._name, spool_bytes) if spools else None
        self._spooled_number = 0
        self._outage: Outage | None = None
        self._writer.start()

    def state(self) -> JournalState:
        """See the port; what a dead worker left and this one sends counts as waiting too."""
        outage = self._outage
        spools = [spool for spool in (self._spool, *tuple(self._orphans)) if spool is not None]
        return JournalState(
            why=outage.why if outage else "",
            out_s=time.monotonic() - outage.since if outage else 0.0,
            waiting=sum(spool.waiting for spool in spools),
            waiting_bytes=sum(spool.waiting_bytes for spool in spools),
            refused=outage.refused if outage else 0,
        )

    async def append(self, event: AnyEvent, *, risk: RiskClass = "high") -> None:
        """Return once the event is on stable storage; see the port.

        Raises:
            JournalUnavailable: Not durable, and will not become so.
        """
        if "\0" in event.id + event.tenant + event.request_id:
            raise JournalUnavailable("an identifier holds a NUL character, which PostgreSQL does not take")
        await super().append(event, risk=risk)

    def _watched(self) -> None:
        # Half the wait is left then to try another connection, or for the spool.
        line = self._link.line
        if line is not None and line.busy_for() > self._timeout * 0.4:
            line.hang_up()

    async def close(self) -> None:
        """Commit or spool what is queued, then release; appends from now on are refused."""
        await super().close()
        if self._writer.is_alive() and self._link.line is not None:
            self._link.line.hang_up()

    # --- the writer thread

    def _write(self) -> None:
        stopping = False
        while not stopping:
            batch: list[Pending] = []
            try:
                first = self._queue.get(timeout=_LOOK_S) if self._outage or self._orphans else self._queue.get()
            except queue.Empty:
                pass
            else:
                if first is None:
                    break
                batch.append(first)
                if self._pace.delay:
                    time.sleep(self._pace.delay)
                stopping = self._drain(batch)
            self._step([pending for pending in batch if not pending.withdrawn])
        self._link.close()
        for spool in (self._spool, *self._orphans):
            if spool is not None:
                spool.close()

    def _step(self, batch: list[Pending]) -> None:
        """Do what can be done now: answer the batch, and send some of what is spooled."""
        line = self._link.renewed()
        if self._outage is None:
            for start in range(0, len(batch), _ROWS_PER_CALL):
                self._commit(batch[start : start + _ROWS_PER_CALL])
        elif batch:
            self._bridge(batch, line)
        if self._outage is not None or self._orphans:
            self._catch_up()

    def _commit(self, batch: list[Pending]) -> None:
        if self._outage is not None:  # it began with the part before
            self._bridge(batch, None)
            return
        line = self._link.renewed()
        if line is None:
            self._begin("the connection was lost")
            self._bridge(batch, None)
            return
        numbers = list(range(line.numbered + 1, line.numbered + len(batch) + 1))
        line.numbered += len(batch)
        why = self._send(line, line.writer, numbers, [pending.row for pending in batch])
        if why is not None:  # once more over a new connection, if there is one soon: a restarted server costs nothing
            again = self._link.renewed(self._timeout / 4)
            if again is not None:
                why = self._send(again, line.writer, numbers, [pending.row for pending in batch])
        self._pace.committed(len(batch))
        if why is None:
            self._answer(batch, None)
            return
        self._begin(why)
        kept = [Kept(line.writer, n, pending.row[5]) for n, pending in zip(numbers, batch, strict=True)]
        self._keep(batch, kept)

    def _send(self, line: Line, writer: str, numbers: list[int], rows: list[Row]) -> str | None:
        """Send a batch; on failure, drop the line and return why."""
        try:
            line.append(writer, numbers, rows)
        except psycopg.Error as error:
            self._link.broken()
            return reason_of(error)
        return None

    # --- while the database is out of reach

    def _begin(self, why: str) -> None:
        if self._outage is None:
            self._outage = Outage(time.monotonic(), time.time_ns() // 1_000_000, why)
            log.critical("the journal's database cannot be written: %s", why)
        self._outage.ended = None

    def _bridge(self, batch: list[Pending], line: Line | None) -> None:
        """Answer a batch during an outage, or while the spool is being sent."""
        high = [pending for pending in batch if pending.risk == "high"]
        if line is not None and high:  # nothing of their requests is in the spool, so they may go ahead of it
            numbers = list(range(line.numbered + 1, line.numbered + len(high) + 1))
            line.numbered += len(high)
            why = self._send(line, line.writer, numbers, [pending.row for pending in high])
            if why is None:
                self._answer(high, None)
            else:
                self._begin(why)
                self._refuse_all(high, why)
            batch = [pending for pending in batch if pending.risk != "high"]
        kept = [Kept(self._name, self._spooled_number + n, p.row[5]) for n, p in enumerate(batch, 1)]
        self._spooled_number += len(batch)
        self._keep(batch, kept)

    def _keep(self, batch: list[Pending], kept: list[Kept]) -> None:
        """Spool what may be spooled and refuse the rest."""
        allowed = [self._allowed(pending) for pending in batch]
        taken = [pending for pending, may in zip(batch, allowed, strict=True) if may]
        refused = [pending for pending, may in zip(batch, allowed, strict=True) if not may]
        outage = self._outage
        if taken and self._spool is not None:
            try:
                self._spool.append([event for event, may in zip(kept, allowed, strict=True) if may])
            except JournalUnavailable as error:
                self._refuse_all(taken, str(error))
            else:
                if outage is not None:
                    outage.spooled += len(taken)
                self._answer(taken, None)
        if refused and outage is not None:
            self._refuse_all(refused, outage.why)

    def _allowed(self, pending: Pending) -> bool:
        if self._spool is None or pending.risk == "high" or self._outage is None:
            return False
        if pending.follows:  # the prompt has left under the same rule: its ending is on record too, however late
            return True
        passed = (self._outage.ended or time.monotonic()) - self._outage.since
        return passed <= self._bounds[pending.risk]

    def _refuse_all(self, batch: list[Pending], why: str) -> None:
        if self._outage is not None:
            self._outage.refused += len(batch)
        self._answer(batch, JournalUnavailable(f"the journal's database cannot be written: {why}"))

    # --- when it is back

    def _catch_up(self) -> None:
        """Send one chunk of what is spooled; when nothing is left, the outage is over."""
        line = self._link.renewed()
        if line is None:
            return
        if self._outage is not None and self._outage.ended is None:
            self._outage.ended = time.monotonic()
        while self._orphans and self._orphans[0].empty:
            self._finish_orphan(self._orphans[0])
        spool = self._spool if self._spool is not None and not self._spool.empty else next(iter(self._orphans), None)
        try:
            if spool is not None:
                self._send_chunk(line, spool)
            if self._outage is not None and (self._spool is None or self._spool.empty):
                self._conclude(line, self._outage)
        except JournalUnavailable as error:
            log.critical("the spool is not being sent: %s", error)
            time.sleep(_LOOK_S)

    def _send_chunk(self, line: Line, spool: Spool) -> None:
        chunk = spool.first(_ROWS_PER_CALL)
        if chunk:
            rows = [_row(kept.data) for kept in chunk]
            why = self._send(line, chunk[0].writer, [kept.number for kept in chunk], rows)
            if why is not None:
                self._begin(why)
                return
        spool.sent()

    def _conclude(self, line: Line, outage: Outage) -> None:
        lasted_ms = int(((outage.ended or time.monotonic()) - outage.since) * 1000)
        act = Act(
            id=new_id("evt"),
            ts=time.time_ns() // 1_000_000,
            action="journal.outage",
            actor="platform:journal",
            target=f"worker:{self._name}",
            reason=outage.why,
            details={
                "began_ms": outage.began_ms,
                "lasted_ms": lasted_ms,
                "spooled": outage.spooled,
                "refused": outage.refused,
            },
        )
        line.numbered += 1
        why = self._send(line, line.writer, [line.numbered], [_row(canonical(act))])
        if why is not None:
            self._begin(why)
            return
        self._outage = None
        log.warning("the journal's database is written again after %.1f s", lasted_ms / 1000)

    def _finish_orphan(self, spool: Spool) -> None:
        if spool.damaged:
            log.critical("%d line(s) of the spool %s were damaged; it is kept aside", spool.damaged, spool.name)
        log.warning("the spool that %s left has been sent", spool.name)
        spool.close()
        self._orphans.popleft()


def _row(data: bytes) -> Row:
    event = parse(data)
    return event.id, event.ts, event.tenant, str(type(event).__struct_config__.tag), event.request_id, data
