"""The ledger of erasures: lines are added and kept for ever, under a key of its own for their marks.

In SQLite it is a file apart from everything it erases, which no restore touches. In PostgreSQL it goes back in time
with the database; so each machine keeps a copy in that file, and gives back what a restored database has lost.
"""

import contextlib
import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greffier.audit.content import KEY_BYTES, context_of
from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.governance.privacy.records import Tombstone
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing, first_line, upsert

log = logging.getLogger(__name__)

_METADATA = MetaData()
_TOMBSTONES = Table(
    "tombstone",
    _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("mark", String(64), nullable=False),
    Column("request", String(40), nullable=False),
    UniqueConstraint("request", "mark"),
    sqlite_autoincrement=True,
)
_KEY = Table(
    "tombstone_key",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)
_REFUSALS = {
    "tombstone_frozen": ("UPDATE ON tombstone", "1", "lines of the ledger of erasures are not changed"),
    "tombstone_kept": ("DELETE ON tombstone", "1", "lines of the ledger of erasures are not deleted"),
    "tombstone_key_frozen": (
        "UPDATE ON tombstone_key",
        "EXISTS (SELECT 1 FROM tombstone)",
        "the key of a ledger that has lines is not changed",
    ),
}
"""What the database refuses by itself, as on PostgreSQL (`greffier.storage.migrations`): act, condition, reason."""
_WRITING = 0x67726566_0004  # "gref", 4


class SqlErasureLedger:
    """`ErasureLedger`. Its key travels with it: marks are of random-looking references, so it hides nothing more."""

    returned: int = 0
    """Lines that the database had lost, and that opening it gave back from this machine's copy."""

    def __init__(self, engine: Engine) -> None:
        """Use tables that are there already, with a key.

        Raises:
            PrivacyUnavailable: The key cannot be read.
        """
        self._engine = engine
        self._key = self.key()

    def newest(self) -> int:
        """See `ErasureLedger.newest`."""
        with self._reading() as connection:
            return _newest(connection)

    def lines(self, after: int) -> list[Tombstone]:
        """See `ErasureLedger.lines`."""
        query = select(_TOMBSTONES).where(_TOMBSTONES.c.number > after).order_by(_TOMBSTONES.c.number)
        with self._reading() as connection:
            return [
                Tombstone(row.number, row.at_ms, row.kind, row.tenant, row.mark, row.request)
                for row in connection.execute(query)
            ]

    def bury(self, request: str, tenant: str, refs: tuple[str, ...], parts: tuple[str, ...], at_ms: int) -> int:
        """See `ErasureLedger.bury`."""
        named: list[tuple[Literal["subject", "part"], str]] = [("subject", name) for name in refs]
        named += [("part", name) for name in parts]
        with self.writing() as connection:
            self._key = _key(connection)  # it may have been replaced while there was no line
            for kind, name in named:
                mark = self.mark(kind, tenant, name)
                _add(connection, Tombstone(_newest(connection) + 1, at_ms, kind, tenant, mark, request))
            mine = select(func.coalesce(func.max(_TOMBSTONES.c.number), 0)).where(_TOMBSTONES.c.request == request)
            return int(connection.execute(mine).scalar_one())

    def mark(self, kind: str, tenant: str, name: str) -> str:
        """See `ErasureLedger.mark`."""
        return hmac.new(self._key, context_of(kind, tenant, name), hashlib.sha256).hexdigest()

    def key(self) -> bytes:
        """The key of the marks.

        Raises:
            PrivacyUnavailable: It cannot be read.
        """
        with self._reading() as connection:
            return _key(connection)

    def take_key(self, key: bytes) -> None:
        """Use the key of another ledger, whose lines are to be taken; only while there is no line here.

        Raises:
            NotAllowed: There is one.
        """
        with self.writing() as connection:
            if _newest(connection):
                raise NotAllowed("the key of a ledger that has lines is not changed")
            connection.execute(update(_KEY).values(key=key))
            self._key = key

    def take(self, lines: Iterable[Tombstone]) -> int:
        """Add lines of another ledger of the same key, those that are missing; return how many these were.

        A line keeps its number where that is free and the highest; content counts erasures by it.
        """
        with self.writing() as connection:
            return sum(_add(connection, line) for line in lines)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; writers take turns, so numbers become visible in their order."""
        with _translated(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(select(func.pg_advisory_xact_lock(_WRITING)))
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()


class SqliteErasureLedger(SqlErasureLedger):
    """The ledger in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, or begin one.

        Raises:
            PrivacyUnavailable: It cannot be opened.
        """
        with _translated():
            engine = sqlite_engine(path, wal=WAL_IS_SOUND)
            with engine.begin() as connection:
                create_missing(connection, _METADATA)
                for name, (act, condition, reason) in _REFUSALS.items():
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {act} WHEN {condition} "
                        f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
                    )
                fresh = upsert(connection, _KEY).values(id=1, key=secrets.token_bytes(KEY_BYTES))
                connection.execute(fresh.on_conflict_do_nothing())
        super().__init__(engine)


class CopiedErasureLedger(SqlErasureLedger):
    """The ledger in the database, and this machine's copy, which no restore of the database takes back in time."""

    def __init__(self, engine: Engine, copy: Path) -> None:
        """Use the database's tables; bring database and copy to the same lines.

        Raises:
            PrivacyUnavailable: One of them cannot be used, or the copy is of another ledger.
        """
        super().__init__(engine)
        self._copy = SqliteErasureLedger(copy)
        try:
            self._same_key(copy)
            self.returned = self._reconcile()
        except BaseException:
            self.close()
            raise
        if self.returned:
            log.warning("the database had lost %d line(s) of the ledger of erasures; they are back", self.returned)

    def bury(self, request: str, tenant: str, refs: tuple[str, ...], parts: tuple[str, ...], at_ms: int) -> int:
        """See `ErasureLedger.bury`: in the database and on this machine, before anything is erased."""
        number = super().bury(request, tenant, refs, parts, at_ms)
        if self._copy.key() != self._key:
            self._copy.take_key(self._key)
        self._copy.take(line for line in self.lines(0) if line.request == request)
        return number

    def close(self) -> None:
        """Release the connections and the file."""
        super().close()
        self._copy.close()

    def _same_key(self, path: Path) -> None:
        key, copied = self.key(), self._copy.key()
        if key == copied:
            return
        if not self._copy.newest():
            self._copy.take_key(key)
        elif not self.newest():  # an earlier version kept the ledger in this file
            self.take_key(copied)
        else:
            raise PrivacyUnavailable(
                f"the ledger of erasures in the database is not the one that {path} is a copy of; if the file belongs "
                "to another installation, move it away"
            )

    def _reconcile(self) -> int:
        """Give either what it lacks; return how many lines the database lacked."""
        here = {(line.request, line.mark): line for line in self.lines(0)}
        there = {(line.request, line.mark): line for line in self._copy.lines(0)}
        if missing := [line for name, line in here.items() if name not in there]:
            self._copy.take(missing)
        lost = [line for name, line in there.items() if name not in here]
        return self.take(lost) if lost else 0


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(_TOMBSTONES.c.number), 0))).scalar_one())


def _key(connection: Connection) -> bytes:
    return bytes(connection.execute(select(_KEY.c.key)).scalar_one())


def _add(connection: Connection, line: Tombstone) -> int:
    """Add a line unless it is there; return whether it was added."""
    number = max(line.number, _newest(connection) + 1)
    values = {"at_ms": line.at_ms, "kind": line.kind, "tenant": line.tenant, "mark": line.mark, "request": line.request}
    added = upsert(connection, _TOMBSTONES).values(number=number, **values)
    unless_there = added.on_conflict_do_nothing(index_elements=["request", "mark"]).returning(_TOMBSTONES.c.number)
    return int(connection.execute(unless_there).first() is not None)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors."""
    try:
        yield
    except IntegrityError as error:
        raise NotAllowed(f"the database refuses it ({first_line(error.orig)})") from error
    except (SQLAlchemyError, OSError) as error:
        reason = first_line(getattr(error, "orig", None) or error)
        raise PrivacyUnavailable(f"the ledger of erasures cannot be used ({reason})") from error
