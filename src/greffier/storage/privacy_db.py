"""The database of data protection: what people said, what they asked for, who may see content, what is on hold.

What two people must agree on is kept apart by the database itself (CHECK constraints and triggers), not by a screen.
"""

import contextlib
import secrets
from collections.abc import Iterator

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing, first_line

metadata = MetaData()
store = Table(
    "privacy_store", metadata, Column("id", Integer, primary_key=True), Column("name", String(16), nullable=False)
)
ledger = Table(
    "privacy_ledger",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("active", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("text_version", String, nullable=False),
    Column("proof", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("origin", String, nullable=False),
    CheckConstraint("kind IN ('consent', 'objection', 'restriction')"),
    Index("privacy_ledger_subject", "tenant", "subject"),
    sqlite_autoincrement=True,  # a number is never used twice: workers ask for what came after the last they know
)
holds = Table(
    "legal_hold",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("use_case", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("reason", String, nullable=False),
    Column("placed_by", String, nullable=False),
    Column("placed_ms", BigInteger, nullable=False),
    Column("approve_by_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("approved_by", String),
    Column("approved_ms", BigInteger),
    Column("release_asked_by", String),
    Column("released_by", String),
    Column("released_ms", BigInteger),
    CheckConstraint("approved_by IS NULL OR approved_by <> placed_by"),
    CheckConstraint("released_by IS NULL OR released_by <> release_asked_by"),
    CheckConstraint("expires_ms > placed_ms"),
)
reveals = Table(
    "reveal_request",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("request_id", String(64), nullable=False),
    Column("reason", String, nullable=False),
    Column("requested_by", String, nullable=False),
    Column("requested_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("approved_by", String),
    Column("approved_ms", BigInteger),
    CheckConstraint("approved_by IS NULL OR approved_by <> requested_by"),
    CheckConstraint("approved_ms IS NULL OR approved_ms < expires_ms"),
)
requests = Table(
    "subject_request",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("data", Text, nullable=False),
)
_WRITING = 0x67726566_0003  # "gref", 3
_FROZEN = {
    "privacy_ledger": None,
    "legal_hold": ("id", "tenant", "subject", "use_case", "request_id", "placed_by", "placed_ms", "expires_ms"),
    "reveal_request": ("id", "request_id", "reason", "requested_by", "requested_ms", "expires_ms"),
}
"""Columns that nobody may change once a row is written; None: no column, and the row is never deleted."""


class PrivacyDatabase:
    """Connections to the database, with its errors translated in one place."""

    def __init__(self, engine: Engine) -> None:
        """Use a database whose tables are there already."""
        self._engine = engine

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; it holds the write lock from its beginning, so what it reads cannot change."""
        with _translated(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:  # writers take turns, so the ledger's numbers become visible in their order
                connection.execute(select(func.pg_advisory_xact_lock(_WRITING)))
            yield connection

    def name(self, connection: Connection) -> str:
        """Random name of this database."""
        return str(connection.execute(select(store.c.name)).scalar_one())

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()


class SqlitePrivacyDatabase(PrivacyDatabase):
    """The database in a file."""

    def __init__(self, engine: Engine) -> None:
        """Use an engine; create what is missing.

        Raises:
            PrivacyUnavailable: The database cannot be opened.
        """
        super().__init__(engine)
        with self.writing() as connection:
            create_missing(connection, metadata)
            for trigger in _triggers():
                connection.exec_driver_sql(trigger)
            connection.execute(insert(store).values(id=1, name=secrets.token_hex(8)).on_conflict_do_nothing())


def _triggers() -> Iterator[str]:
    for table, columns in _FROZEN.items():
        of = f" OF {', '.join(columns)}" if columns else ""
        yield (
            f"CREATE TRIGGER IF NOT EXISTS {table}_frozen BEFORE UPDATE{of} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'what stands in {table} is not changed'); END"
        )
    yield (
        "CREATE TRIGGER IF NOT EXISTS privacy_ledger_kept BEFORE DELETE ON privacy_ledger "
        "BEGIN SELECT RAISE(ABORT, 'lines of the ledger are not deleted'); END"
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors."""
    try:
        yield
    except IntegrityError as error:
        raise NotAllowed(f"the database refuses it ({first_line(error.orig)})") from error
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise PrivacyUnavailable(f"the privacy database cannot be used ({first_line(reason)})") from error
    except OSError as error:
        raise PrivacyUnavailable(f"the privacy database cannot be opened ({error.strerror})") from error


def open_privacy(paths: WorkspacePaths) -> PrivacyDatabase:
    """The workspace's database of data protection.

    Raises:
        PrivacyUnavailable: It cannot be opened.
    """
    with _translated():
        engine = sqlite_engine(paths.privacy_db, wal=WAL_IS_SOUND)
    return SqlitePrivacyDatabase(engine)
