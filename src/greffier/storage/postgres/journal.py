"""The journal on PostgreSQL: group commit in a writer thread, any number of machines on one log, a spool for outages.

A batch is one call of ``journal_append``, which is one transaction and one round trip. When the call fails, nobody
knows whether it was committed; so every event has a number under the name of the connection it was first sent over,
and is sent again under that number: the database leaves out what it has.

What happens while the database is out of reach is `greffier.storage.bridging`'s to say.
"""

import queue
import time
from functools import partial
from pathlib import Path

import psycopg

from greffier.audit.ports import JournalState, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.context import RiskClass
from greffier.core.events import AnyEvent
from greffier.storage.bridging import LOOK_S, Bridge, row_of
from greffier.storage.group_commit import GroupCommit, Pending, Row
from greffier.storage.postgres.database import Database, reason_of
from greffier.storage.postgres.link import Line, Link
from greffier.storage.spool import Kept

_ROWS_PER_CALL = 1000


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
        try:
            self._link = Link(database, int(self._timeout * 1000 / 2))
        except psycopg.Error as error:
            raise JournalUnavailable(f"the journal's database cannot be reached: {reason_of(error)}") from error
        self._bridge = Bridge("the journal's database", settings, spools, spool_bytes, self._answer)
        self._writer.start()

    def state(self) -> JournalState:
        """See the port."""
        return self._bridge.state()

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
                first = self._queue.get(timeout=LOOK_S) if self._bridge.busy else self._queue.get()
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
        self._bridge.close()

    def _step(self, batch: list[Pending]) -> None:
        """Do what can be done now: answer the batch, and send some of what is spooled."""
        line = self._link.renewed()
        if self._bridge.outage is None:
            for start in range(0, len(batch), _ROWS_PER_CALL):
                self._commit(batch[start : start + _ROWS_PER_CALL])
        elif batch:
            self._span(batch, line)
        if self._bridge.busy:
            self._catch_up()

    def _commit(self, batch: list[Pending]) -> None:
        if self._bridge.outage is not None:  # it began with the part before
            self._span(batch, None)
            return
        line = self._link.renewed()
        if line is None:
            self._bridge.begin("the connection was lost")
            self._span(batch, None)
            return
        numbers = line.numbers(len(batch))
        why = self._send(line, line.writer, numbers, [pending.row for pending in batch])
        if why is not None:  # once more over a new connection, if there is one soon: a restarted server costs nothing
            again = self._link.renewed(self._timeout / 4)
            if again is not None:
                why = self._send(again, line.writer, numbers, [pending.row for pending in batch])
        self._pace.committed(len(batch))
        if why is None:
            self._answer(batch, None)
            return
        self._bridge.begin(why)
        kept = [Kept(line.writer, n, pending.row[5]) for n, pending in zip(numbers, batch, strict=True)]
        self._bridge.keep_as(batch, kept)

    def _send(self, line: Line, writer: str, numbers: list[int], rows: list[Row]) -> str | None:
        """Send a batch; on failure, drop the line and return why."""
        try:
            line.append(writer, numbers, rows)
        except psycopg.Error as error:
            self._link.broken()
            return reason_of(error)
        return None

    def _span(self, batch: list[Pending], line: Line | None) -> None:
        """Answer a batch during an outage, or while the spool is being sent."""
        self._bridge.span(batch, None if line is None else partial(self._send_fresh, line))

    def _send_fresh(self, line: Line, batch: list[Pending]) -> str | None:
        return self._send(line, line.writer, line.numbers(len(batch)), [pending.row for pending in batch])

    def _catch_up(self) -> None:
        """Send one chunk of what is spooled, where there is a connection."""
        line = self._link.renewed()
        if line is None:
            return
        self._bridge.reached()

        def resend(chunk: list[Kept]) -> str | None:
            rows = [row_of(kept.data) for kept in chunk]
            return self._send(line, chunk[0].writer, [kept.number for kept in chunk], rows)

        def conclude(chunk: list[Kept]) -> str | None:
            return self._send(line, line.writer, line.numbers(1), [row_of(chunk[0].data)])

        self._bridge.catch_up(_ROWS_PER_CALL, resend, conclude)
