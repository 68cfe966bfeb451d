"""The journal on SQLite: group commit in a writer thread, any number of processes on one file.

How one append travels: the event loop encodes the event and queues it; the writer thread takes the inter-process lock,
then everything that is queued, and commits it with one statement and one fsync; the loop is woken once per commit and
wakes the waiters. At low load nothing waits: a batch is what arrived while the previous commit ran. From 1,000 events
a second on, the writer gathers for up to five milliseconds first (`Pace`): each commit costs about 200 µs of CPU.

The writer runs beside a busy event loop, and each return from SQLite must win the GIL back. So a batch is one
``INSERT`` of many rows in autocommit mode (one call) instead of ``BEGIN``, a call per row and ``COMMIT``.

The inter-process lock does more than order the writers: SQLite copies the WAL back within a commit (every thousand
pages), and so no checkpoint ever runs beside another connection's commit (see `greffier.storage.engine`).
"""

import queue
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PoolProxiedConnection,
    Select,
    String,
    Table,
    cast,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError

from greffier.audit.ports import JournalState, JournalUnavailable, Sequenced
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.storage.bridging import LOOK_S, Bridge, row_of
from greffier.storage.engine import Writers, sqlite_engine, sqlite_reader
from greffier.storage.filing import well_filed
from greffier.storage.group_commit import GroupCommit, Pending, Row
from greffier.storage.spool import Kept

metadata = MetaData()
events = Table(
    "event",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", String(40), nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("request_id", String(40), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("event_request", "request_id"),
)

# SQLite keeps what it is given: whoever edits a row by hand may leave text in it, which must be read to be found.
_DATA = cast(events.c.data, LargeBinary)
_LABELS = tuple(column for column in events.c if column.name != "data")

_ROWS_PER_STATEMENT = 64
_ROWS_PER_CHUNK = 500  # of a spool
_RETRY_S = 0.002  # we poll a foreign lock ourselves: SQLite's busy handler would write for callers refused meanwhile

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the journal is read-only",
    sqlite3.SQLITE_CORRUPT: "the journal file is damaged",
    sqlite3.SQLITE_NOTADB: "the journal file is damaged",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CANTOPEN: "the journal file cannot be opened",
    sqlite3.SQLITE_PERM: "the journal file cannot be opened",
    sqlite3.SQLITE_BUSY: "the journal is locked by another program",
    sqlite3.SQLITE_LOCKED: "the journal is locked by another program",
}
_RETRY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def _insert(rows: int) -> str:
    # `seq` is the table's rowid: SQLite gives each new row the highest one plus one, inside the write transaction.
    values = ",".join(["(?,?,?,?,?,?)"] * rows)
    return f"INSERT INTO event (id, ts, tenant, kind, request_id, data) VALUES {values}"  # noqa: S608 - placeholders only


_INSERTS = tuple(_insert(rows) for rows in range(_ROWS_PER_STATEMENT + 1))


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # drop the extended part of the code


def _unavailable(error: sqlite3.Error) -> JournalUnavailable:
    return JournalUnavailable(f"{_REASONS.get(_primary(error), 'the journal failed')} ({error})")


class SqliteJournal(GroupCommit):
    """Journal port on SQLite. One object per worker and event loop."""

    def __init__(
        self, path: Path, settings: AuditSettings, spools: Path | None = None, spool_bytes: int = 1 << 28
    ) -> None:
        """Open the file, which is made where there is none, and take over what dead workers spooled.

        Args:
            path: The file.
            settings: Timeouts, and how long each risk class may go on without the file (ADR 0135).
            spools: Folder for what may wait while the file cannot be written; None refuses everything meanwhile.
            spool_bytes: How large this worker's spool may grow.

        Raises:
            JournalUnavailable: The file or the folder cannot be used.
        """
        super().__init__(settings)
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writers = Writers(path)
            self._engine = sqlite_engine(path)
            with self._writers.alone():
                metadata.create_all(self._engine)
        except DBAPIError as error:
            raise _unavailable(_driver_error(error)) from error
        except OSError as error:
            raise JournalUnavailable(f"the journal cannot be opened ({error})") from error
        self._connection: PoolProxiedConnection | None = None
        self._identity = (0, 0)
        self._locked_since: float | None = None
        self._bridge = Bridge("the journal", settings, spools, spool_bytes, self._answer)
        self._writer.start()

    def state(self) -> JournalState:
        """See the port."""
        return self._bridge.state()

    def _write(self) -> None:
        backlog: list[Pending] = []
        stopping = False
        while not (stopping and not backlog):
            if backlog:
                time.sleep(_RETRY_S)
            elif self._wait(backlog):
                stopping = True
                continue
            with self._writers.alone():
                stopping = self._drain(backlog) or stopping
                batch = [pending for pending in backlog if not pending.withdrawn]
                backlog = self._commit(batch, final=stopping)
                if self._bridge.busy:
                    self._bridge.catch_up(_ROWS_PER_CHUNK, self._resend, self._send)
        with self._writers.alone():
            self._disconnect()
            self._engine.dispose()
        self._writers.close()
        self._bridge.close()

    def _wait(self, backlog: list[Pending]) -> bool:
        """Wait for an event, or only for a moment while something waits to be sent; True when it is being closed."""
        try:
            first = self._queue.get(timeout=LOOK_S if self._bridge.busy else None)
        except queue.Empty:
            return False
        if first is None:
            return True
        backlog.append(first)
        if self._pace.delay:
            time.sleep(self._pace.delay)
        return False

    def _commit(self, batch: list[Pending], *, final: bool) -> list[Pending]:
        """Write a batch and wake its waiters; return what must be tried again because a foreign lock was held."""
        if not batch:
            return []
        if self._bridge.outage is not None:
            reached = self._bridge.outage.ended is not None
            self._bridge.span(batch, (lambda high: self._tried([one.row for one in high])) if reached else None)
            return []
        failure: JournalUnavailable | None = None
        try:
            self._insert([pending.row for pending in batch])
        except (sqlite3.Error, DBAPIError, OSError) as error:
            if isinstance(error, sqlite3.Error) and _primary(error) in _RETRY and not final and not self._given_up():
                return batch
            failure = self._lost(error)
        self._locked_since = None
        self._pace.committed(len(batch))
        if failure is not None and self._bridge.spools:
            self._bridge.begin(str(failure))
            self._bridge.keep(batch)
        else:
            self._answer(batch, failure)
        return []

    def _lost(self, error: sqlite3.Error | DBAPIError | OSError) -> JournalUnavailable:
        self._disconnect()  # a fresh connection notices a mended disk
        if isinstance(error, OSError):
            return JournalUnavailable(f"the journal file cannot be reached ({error})")
        return _unavailable(_driver_error(error) if isinstance(error, DBAPIError) else error)

    def _given_up(self) -> bool:
        """Whether a foreign lock has been waited for so long that a spool must do, while there is time for it."""
        if self._locked_since is None:
            self._locked_since = time.monotonic()
        return self._bridge.spools and time.monotonic() - self._locked_since > self._timeout / 2

    # --- during an outage, and after it

    def _tried(self, rows: list[Row]) -> str | None:
        """Insert rows; why they could not be, or None."""
        try:
            self._insert(rows)
        except (sqlite3.Error, DBAPIError, OSError) as error:
            return str(self._lost(error))
        return None

    def _send(self, chunk: list[Kept]) -> str | None:
        return self._tried([row_of(kept.data) for kept in chunk])

    def _resend(self, chunk: list[Kept]) -> str | None:
        """Insert what the file does not have yet. Nobody else writes meanwhile: this worker has the turn."""
        rows = [row_of(kept.data) for kept in chunk]
        try:
            known = self._known({row[4] for row in rows})
        except (sqlite3.Error, DBAPIError, OSError) as error:
            return str(self._lost(error))
        fresh = [row for row in rows if row[0] not in known]
        return self._tried(fresh) if fresh else None

    def _known(self, requests: set[str]) -> set[str]:
        """Identifiers of the events that the file has of some requests."""
        marks = ",".join("?" * len(requests))
        found = self._connected().execute(f"SELECT id FROM event WHERE request_id IN ({marks})", list(requests))  # noqa: S608
        return {identifier for (identifier,) in found}

    # --- the file

    def _insert(self, rows: list[Row]) -> None:
        connection = self._connected()
        if len(rows) <= _ROWS_PER_STATEMENT:
            connection.execute(_INSERTS[len(rows)], [value for row in rows for value in row])
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            for start in range(0, len(rows), _ROWS_PER_STATEMENT):
                chunk = rows[start : start + _ROWS_PER_STATEMENT]
                connection.execute(_INSERTS[len(chunk)], [value for row in chunk for value in row])
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connected(self) -> sqlite3.Connection:
        """The open connection, renewed when the path no longer names the file it was opened on.

        Without the check, rows would go on being acknowledged into a file that was deleted or swapped away.
        """
        status = self._path.stat()
        if self._connection is None or (status.st_dev, status.st_ino) != self._identity:
            self._disconnect()
            self._engine.dispose()
            self._connection = self._engine.raw_connection()
            driver = _sqlite(self._connection)
            driver.isolation_level = None
            driver.execute("PRAGMA busy_timeout=0")
            self._identity = (status.st_dev, status.st_ino)
        return _sqlite(self._connection)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


def _sqlite(connection: PoolProxiedConnection) -> sqlite3.Connection:
    driver = connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"not a SQLite connection: {type(driver)}")
    return driver


def _driver_error(error: DBAPIError) -> sqlite3.Error:
    return error.orig if isinstance(error.orig, sqlite3.Error) else sqlite3.Error(str(error))


class SqliteJournalReader:
    """JournalReader port on SQLite. Each call reads in its own short transaction, so writers are never held up."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise JournalUnavailable(f"there is no journal at {path}")
        self._engine: Engine = sqlite_reader(path)

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    def size(self) -> int:
        """Number of events (the highest ``seq``: it has no gaps).

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        return int(self._fetch(select(func.coalesce(func.max(events.c.seq), 0)))[0][0])

    def first(self) -> int:
        """The lowest ``seq`` that is kept: 1, for nothing is ever dropped from the file."""
        return 1

    def read(self, start: int, limit: int) -> list[Sequenced]:
        """Events with ``seq >= start``, in order, at most ``limit``.

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        rows = self._fetch(select(events.c.seq, _DATA).where(events.c.seq >= start).order_by(events.c.seq).limit(limit))
        return [Sequenced(seq, data) for seq, data in rows]

    def find(self, request_id: str) -> list[Sequenced]:
        """All events of one request, in order.

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        rows = self._fetch(select(events.c.seq, _DATA).where(events.c.request_id == request_id).order_by(events.c.seq))
        return [Sequenced(seq, data) for seq, data in rows]

    def scan(self, start: int = 1) -> Iterator[Sequenced]:
        """All events from ``start`` on, in order, a thousand in memory at a time.

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        while chunk := self.read(start, 1000):
            yield from chunk
            start = chunk[-1].seq + 1

    def misfiled(self, start: int, limit: int) -> list[int]:
        """Sequence numbers in ``[start, start + limit)`` whose searchable columns differ from the event itself.

        The columns are copies for look-ups and no part of the Merkle log: changing one would hide a record from
        `find` without breaking a hash.

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        rows = self._fetch(
            select(*_LABELS, _DATA).where(events.c.seq >= start, events.c.seq < start + limit).order_by(events.c.seq)
        )
        return [row[0] for row in rows if not well_filed(row)]

    def _fetch(self, query: Select[Any]) -> list[Any]:
        try:
            with self._engine.connect() as connection:
                return [tuple(row) for row in connection.execute(query)]
        except DBAPIError as error:
            raise _unavailable(_driver_error(error)) from error


def open_journal(paths: WorkspacePaths, settings: AuditSettings) -> SqliteJournal:
    """The workspace's journal, for writing.

    Raises:
        JournalUnavailable: The file cannot be opened or created.
    """
    return SqliteJournal(paths.journal_db, settings)


def open_reader(paths: WorkspacePaths) -> SqliteJournalReader:
    """The workspace's journal, for reading.

    Raises:
        JournalUnavailable: There is none.
    """
    return SqliteJournalReader(paths.journal_db)
