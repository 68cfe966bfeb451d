"""How far each sink is, in the database that several machines share: one of them supplies it, under an advisory lock.

The lock says who ships. It ends with its connection, so a holder may learn late that it lost it; therefore a state is
saved only over the one that was loaded. What was under way then may arrive twice, under the same ids, and the cursor
never goes back.
"""

import contextlib
from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Identity, MetaData, Table, Text, UniqueConstraint, select, update
from sqlalchemy.exc import SQLAlchemyError

from greffier.audit.ports import Leader
from greffier.audit.progress import Progress, Rejection, SinkTaken
from greffier.audit.sinks import SinkUnavailable
from greffier.storage.tables import first_line, upsert

_METADATA = MetaData()
_PROGRESS = Table(
    "sink_progress",
    _METADATA,
    Column("sink", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)
_REJECTED = Table(
    "sink_rejected",
    _METADATA,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("sink", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("sink", "id"),
)


class SqlProgress:
    """`ProgressStore` of one sink; its tables are there already."""

    def __init__(self, engine: Engine, leader: Leader, sink: str) -> None:
        """Name the collaborators.

        Args:
            engine: The database.
            leader: Who of all machines supplies this sink.
            sink: Its name.
        """
        self._engine = engine
        self._leader = leader
        self._sink = sink
        self._version = 0

    def hold(self) -> bool:
        """See `ProgressStore.hold`."""
        return self._leader.leads()

    def load(self) -> Progress | None:
        """See `ProgressStore.load`."""
        query = select(_PROGRESS.c.version, _PROGRESS.c.data).where(_PROGRESS.c.sink == self._sink)
        with self._translated(), self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        self._version = row.version if row else 0
        return msgspec.json.decode(row.data, type=Progress) if row else None

    def save(self, progress: Progress) -> None:
        """See `ProgressStore.save`."""
        data = msgspec.json.encode(progress).decode()
        with self._translated(), self._engine.begin() as connection:
            if self._version:
                change = update(_PROGRESS).where(_PROGRESS.c.sink == self._sink, _PROGRESS.c.version == self._version)
                saved = connection.execute(
                    change.values(version=self._version + 1, data=data).returning(_PROGRESS.c.version)
                )
            else:
                fresh = upsert(connection, _PROGRESS).values(sink=self._sink, version=1, data=data)
                saved = connection.execute(fresh.on_conflict_do_nothing().returning(_PROGRESS.c.version))
            if saved.first() is None:
                raise SinkTaken(f"another gateway supplies '{self._sink}' now")
        self._version += 1

    def keep_rejected(self, lines: Sequence[Rejection]) -> None:
        """See `ProgressStore.keep_rejected`."""
        rows = [{"sink": self._sink, **msgspec.structs.asdict(line)} for line in lines]
        if rows:
            with self._translated(), self._engine.begin() as connection:
                connection.execute(upsert(connection, _REJECTED).on_conflict_do_nothing(), rows)

    def rejected(self, limit: int) -> list[Rejection]:
        """See `ProgressStore.rejected`."""
        query = select(_REJECTED).where(_REJECTED.c.sink == self._sink).order_by(_REJECTED.c.number.desc()).limit(limit)
        with self._translated(), self._engine.connect() as connection:
            rows = list(connection.execute(query))
        return [Rejection(row.seq, row.id, row.code, row.reason) for row in reversed(rows)]

    def close(self) -> None:
        """See `ProgressStore.close`."""
        self._leader.close()
        self._engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = first_line(getattr(error, "orig", None) or error)
            raise SinkUnavailable(f"the cursor of '{self._sink}' cannot be reached ({reason})") from error
