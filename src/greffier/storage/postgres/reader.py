"""Reads the journal on PostgreSQL. Partitions follow one another as ``seq`` does: a page reads few of them."""

import weakref
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
from sqlalchemy import BigInteger, Column, Date, LargeBinary, MetaData, Select, String, Table, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from greffier.audit.ports import JournalUnavailable, Sequenced
from greffier.storage.filing import well_filed
from greffier.storage.postgres.database import Database, reason_of

_METADATA = MetaData()
_EVENTS = Table(
    "event",
    _METADATA,
    Column("day", Date, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("id", String),
    Column("ts", BigInteger),
    Column("tenant", String),
    Column("kind", String),
    Column("request_id", String),
    Column("data", LargeBinary),
)
_HEAD = Table("journal_head", _METADATA, Column("seq", BigInteger))
_DAYS = Table("journal_day", _METADATA, Column("day", Date), Column("first_seq", BigInteger))
_LABELS = tuple(column for column in _EVENTS.c if column.name not in {"day", "data"})
_ORDER = (_EVENTS.c.day, _EVENTS.c.seq)  # the partitions' own order: they are read one after the other, unsorted
_PATIENCE_MS = 60_000


class PostgresJournalReader:
    """JournalReader port on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        """Make a pool; the first question connects."""
        self._engine = database.engine(statement_timeout_ms=_PATIENCE_MS)
        weakref.finalize(self, self._engine.dispose)  # a sealer keeps its reader for life and never closes it

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def size(self) -> int:
        """Number of events ever appended (the highest ``seq``: it has no gaps).

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        rows = self._fetch(select(_HEAD.c.seq))
        if not rows:
            raise JournalUnavailable("the journal's counter is gone")
        return int(rows[0][0])

    def first(self) -> int:
        """The lowest ``seq`` that retention has left; one more than `size` when it left none.

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        kept = self._fetch(select(func.min(_DAYS.c.first_seq)))[0][0]
        return int(kept) if kept is not None else self.size() + 1

    def read(self, start: int, limit: int) -> list[Sequenced]:
        """Events with ``seq >= start``, in order, at most ``limit``.

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        rows: list[Any] = []
        for day in self._days(start):
            query = self._of(day, select(_EVENTS.c.seq, _EVENTS.c.data), start).limit(limit - len(rows))
            rows += self._fetch(query)
            if len(rows) >= limit:
                break
        return [Sequenced(seq, data) for seq, data in rows]

    def find(self, request_id: str) -> list[Sequenced]:
        """All events of one request, in order.

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        query = select(_EVENTS.c.seq, _EVENTS.c.data).where(_EVENTS.c.request_id == request_id).order_by(*_ORDER)
        return [Sequenced(seq, data) for seq, data in self._fetch(query)] if "\0" not in request_id else []

    def scan(self, start: int = 1) -> Iterator[Sequenced]:
        """All events from ``start`` on, in order, a thousand in memory at a time.

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        while chunk := self.read(start, 1000):
            yield from chunk
            start = chunk[-1].seq + 1

    def misfiled(self, start: int, limit: int) -> list[int]:
        """Sequence numbers in ``[start, start + limit)`` whose look-up columns differ from the event itself.

        Raises:
            JournalUnavailable: The database cannot be read.
        """
        found: list[int] = []
        for day in self._days(start, start + limit):
            query = self._of(day, select(*_LABELS, _EVENTS.c.data), start).where(_EVENTS.c.seq < start + limit)
            found += [row[0] for row in self._fetch(query) if not well_filed(row)]
        return found

    def _days(self, start: int, end: int | None = None) -> list[date]:
        """The days that may hold events from ``start`` on, and before ``end``, in order."""
        before = select(func.max(_DAYS.c.first_seq)).where(_DAYS.c.first_seq <= start).scalar_subquery()
        query = select(_DAYS.c.day).where(_DAYS.c.first_seq >= func.coalesce(before, 0)).order_by(_DAYS.c.day)
        if end is not None:
            query = query.where(_DAYS.c.first_seq < end)
        return [row[0] for row in self._fetch(query)]

    @staticmethod
    def _of(day: date, query: Select[Any], start: int) -> Select[Any]:
        """One day's events from ``start`` on. The day must be equal, not later: the index is by day, then number."""
        return query.where(_EVENTS.c.day == day, _EVENTS.c.seq >= start).order_by(_EVENTS.c.seq)

    def _fetch(self, query: Select[Any]) -> list[Any]:
        try:
            with self._engine.connect() as connection:
                return [tuple(row) for row in connection.execute(query)]
        except DBAPIError as error:
            why = reason_of(error.orig) if isinstance(error.orig, psycopg.Error) else type(error).__name__
            raise JournalUnavailable(f"the journal's database cannot be read: {why}") from error
        except SQLAlchemyError as error:  # the pool gave no connection in time
            raise JournalUnavailable(f"the journal's database cannot be read: {type(error).__name__}") from error
