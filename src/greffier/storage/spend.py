"""What was spent per day, summed up from the journal, so that budgets survive a restart without reading all of it.

The sums and the journal position they cover change in one transaction: an event is counted once, whatever crashes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, String, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from greffier.limits.service import SpendEntry
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing

_DAY_MS = 86_400_000
_METADATA = MetaData()

_SPEND = Table(
    "spend",
    _METADATA,
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("tenant", String, primary_key=True),
    Column("credential", String, primary_key=True),
    Column("use_case", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("micro", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
_CURSOR = Table(
    "spend_cursor",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)


_ACCOUNT = ("day", "tenant", "credential", "use_case", "model")


class SpendUnavailable(Exception):  # noqa: N818 - named for the condition
    """The sums cannot be read or written."""


class Account(msgspec.Struct, frozen=True):
    """Whom money is counted against on which day.

    Attributes:
        day: Days since the epoch, UTC.
    """

    day: int
    tenant: str
    credential: str
    use_case: str
    model: str


class SqlSpendBook:
    """The sums; any number of processes may share them."""

    def __init__(self, engine: Engine) -> None:
        """Use tables that are there already."""
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def cursor(self) -> int | None:
        """Number of the last event that the sums cover; None before the first."""
        with _translated(), self._engine.connect() as connection:
            return connection.execute(select(_CURSOR.c.seq)).scalar_one_or_none()

    def advance(self, seen: int | None, cursor: int, sums: Mapping[Account, int]) -> bool:
        """Add to the sums and move the cursor, both or neither.

        Args:
            seen: Where the cursor stood when the events were read.
            cursor: Number of the last event that ``sums`` cover.
            sums: Micro-units per account.

        Returns:
            False when another process moved the cursor meanwhile; nothing was added then.
        """
        with _translated(), self._engine.begin() as connection:
            if seen is None:
                first = self._insert(_CURSOR).values(id=1, seq=cursor).on_conflict_do_nothing()
                moved = connection.execute(first.returning(_CURSOR.c.seq))
            else:
                moved = connection.execute(
                    update(_CURSOR).where(_CURSOR.c.seq == seen).values(seq=cursor).returning(_CURSOR.c.seq)
                )
            if moved.first() is None:
                return False
            if sums:
                rows = [msgspec.structs.asdict(account) | {"micro": micro} for account, micro in sums.items()]
                added = self._insert(_SPEND)
                total = _SPEND.c.micro + added.excluded.micro
                connection.execute(added.on_conflict_do_update(index_elements=_ACCOUNT, set_={"micro": total}), rows)
            return True

    def since(self, first_day: int, today: int) -> tuple[int | None, list[SpendEntry]]:
        """The cursor and what was spent since ``first_day``, as of the same moment.

        The days before ``today`` come as one sum per account: only budgets of a month still count them.
        """
        place = (_SPEND.c.tenant, _SPEND.c.credential, _SPEND.c.use_case, _SPEND.c.model)
        earlier = (
            select(*place, func.sum(_SPEND.c.micro))
            .where(_SPEND.c.day >= first_day, _SPEND.c.day < today)
            .group_by(*place)
        )
        current = select(*place, _SPEND.c.micro).where(_SPEND.c.day == today)
        with _translated(), self._engine.connect() as connection:
            self._one_snapshot(connection)
            cursor = connection.execute(select(_CURSOR.c.seq)).scalar_one_or_none()
            entries = [
                SpendEntry(tenant, credential, use_case, model, day * _DAY_MS, int(micro))
                for day, query in ((first_day, earlier), (today, current))
                for tenant, credential, use_case, model, micro in connection.execute(query)
            ]
        return cursor, entries

    @staticmethod
    def _one_snapshot(connection: Connection) -> None:
        """Let all statements that follow see the same moment."""
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        else:
            connection.exec_driver_sql("BEGIN")  # the driver opens no transaction for reading


class SqliteSpendBook(SqlSpendBook):
    """The sums in a file of their own."""

    def __init__(self, path: Path) -> None:
        """Open the book, creating it if the file has none.

        Raises:
            SpendUnavailable: The file cannot be opened.
        """
        with _translated():
            super().__init__(sqlite_engine(path, wal=WAL_IS_SOUND))
            with self._engine.begin() as connection:
                create_missing(connection, _METADATA)


@contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors; SQLAlchemy's own text would show values, so only the driver's is kept."""
    try:
        yield
    except SQLAlchemyError as error:
        raise SpendUnavailable(f"what was spent cannot be told: {getattr(error, 'orig', None) or error}") from error
    except OSError as error:
        raise SpendUnavailable(f"what was spent cannot be told: {error.strerror}") from error
