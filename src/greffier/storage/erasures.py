"""The ledger of erasures in SQLite, apart from everything it erases, with a key of its own for its marks."""

import hashlib
import hmac
import secrets

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from greffier.audit.content import KEY_BYTES, context_of
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.governance.privacy.records import Tombstone
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing

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


class SqlErasureLedger:
    """`ErasureLedger`. Its key travels with it: marks are of random-looking references, so it hides nothing more."""

    def __init__(self, paths: WorkspacePaths) -> None:
        """Open the ledger, or begin one.

        Raises:
            PrivacyUnavailable: It cannot be opened.
        """
        try:
            self._engine = sqlite_engine(paths.erasures_db, wal=WAL_IS_SOUND)
            with self._engine.begin() as connection:
                create_missing(connection, _METADATA)
                fresh = insert(_KEY).values(id=1, key=secrets.token_bytes(KEY_BYTES))
                connection.execute(fresh.on_conflict_do_nothing())
                self._key: bytes = connection.execute(select(_KEY.c.key)).scalar_one()
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(error) from error

    def newest(self) -> int:
        """See `ErasureLedger.newest`."""
        try:
            with self._engine.connect() as connection:
                return int(connection.execute(select(func.coalesce(func.max(_TOMBSTONES.c.number), 0))).scalar_one())
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def lines(self, after: int) -> list[Tombstone]:
        """See `ErasureLedger.lines`."""
        query = select(_TOMBSTONES).where(_TOMBSTONES.c.number > after).order_by(_TOMBSTONES.c.number)
        try:
            with self._engine.connect() as connection:
                return [
                    Tombstone(row.number, row.at_ms, row.kind, row.tenant, row.mark, row.request)
                    for row in connection.execute(query)
                ]
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def bury(self, request: str, tenant: str, refs: tuple[str, ...], parts: tuple[str, ...], at_ms: int) -> int:
        """See `ErasureLedger.bury`."""
        named = [("subject", name) for name in refs] + [("part", name) for name in parts]
        try:
            with self._engine.begin() as connection:
                for kind, name in named:
                    connection.execute(
                        insert(_TOMBSTONES)
                        .values(
                            at_ms=at_ms, kind=kind, tenant=tenant, mark=self.mark(kind, tenant, name), request=request
                        )
                        .on_conflict_do_nothing()
                    )
                mine = select(func.coalesce(func.max(_TOMBSTONES.c.number), 0)).where(_TOMBSTONES.c.request == request)
                return int(connection.execute(mine).scalar_one())
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def mark(self, kind: str, tenant: str, name: str) -> str:
        """See `ErasureLedger.mark`."""
        return hmac.new(self._key, context_of(kind, tenant, name), hashlib.sha256).hexdigest()

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()


def _unavailable(error: Exception) -> PrivacyUnavailable:
    return PrivacyUnavailable(f"the ledger of erasures cannot be used ({getattr(error, 'orig', None) or error})")
