"""Keys of the content: one data key per data subject, under the tenant's key of the week, under the root.

    root (file, HSM) - key-encrypting key of a tenant and week (an epoch) - data key of a data subject

The tenant's own data key (for what is nobody's) has the empty subject. Once a week every living data key is wrapped
anew under the new epoch and the epoch before the last is destroyed, so that a data key destroyed today cannot be had
from a stolen copy of this database either, once two weeks are over and the copy's epoch keys are gone with it.
"""

import os
import time
from pathlib import Path

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Delete,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from greffier.audit.content import KEY_BYTES, context_of, decrypt, encrypt
from greffier.audit.ports import ContentUnavailable, KeyWrapper
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.erasing import Busy, erase, overwrite
from greffier.storage.tables import create_missing, upsert

EPOCH_MS = 7 * 86_400_000
KEPT_EPOCHS = 2
"""The current epoch and the one before it."""

_BATCH = 500
_METADATA = MetaData()
epoch_keys = Table(
    "epoch_key",
    _METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
data_keys = Table(
    "data_key",
    _METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("subject", String(80), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
_BEFORE_EPOCHS = Table(  # one key per tenant straight under the root, as the first version kept them
    "tenant_key",
    MetaData(),
    Column("tenant", String(64), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)


class Rotation(msgspec.Struct, frozen=True):
    """What a rotation did.

    Attributes:
        epoch: The epoch in force: weeks since 1970-01-01.
        rewrapped: Data keys wrapped anew.
        destroyed: Epoch keys destroyed.
    """

    epoch: int
    rewrapped: int
    destroyed: int


class ContentKeys:
    """Finds, makes, re-wraps and destroys data keys. Nothing is cached: a destroyed key stops working at once."""

    def __init__(self, engine: Engine, wrapper: KeyWrapper) -> None:
        """Use a database whose tables are there already."""
        self._wrapper = wrapper
        self._engine = engine

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def existing(self, tenant: str, subject: str) -> bytes:
        """The data key of a subject; the empty subject is the tenant itself.

        Raises:
            ContentUnavailable: It was destroyed, or cannot be read.
        """
        try:
            with self._engine.connect() as connection:
                key = self._find(connection, tenant, subject)
        except DBAPIError as error:
            raise unavailable(error) from error
        if key is None:
            raise ContentUnavailable("the key of this content was destroyed")
        return key

    def get_or_create(self, tenant: str, subject: str) -> bytes:
        """The data key of a subject, made if there is none.

        Raises:
            ContentUnavailable: It cannot be read or made.
        """
        try:
            with self._engine.connect() as connection:
                key = self._find(connection, tenant, subject)
            if key is None:
                with self._engine.begin() as connection:
                    self._create(connection, tenant, subject)
                    key = self._find(connection, tenant, subject)  # another process may have been faster
        except DBAPIError as error:
            raise unavailable(error) from error
        if key is None:
            raise ContentUnavailable("the key of this content was destroyed while it was being made")
        return key

    def rotate(self, now_ms: int) -> Rotation:
        """Wrap every data key under the epoch of ``now_ms`` and destroy the epochs that are over.

        Raises:
            ContentUnavailable: Keys cannot be read or written; those already rotated stay so.
        """
        epoch = now_ms // EPOCH_MS
        rewrapped = 0
        try:
            with self._engine.connect() as connection:
                behind = connection.execute(
                    select(data_keys.c.tenant, data_keys.c.subject, data_keys.c.epoch).where(data_keys.c.epoch < epoch)
                ).all()
            for start in range(0, len(behind), _BATCH):
                with self._engine.begin() as connection:
                    overwrite(connection)
                    for row in behind[start : start + _BATCH]:
                        rewrapped += self._rewrap(connection, row.tenant, row.subject, row.epoch, epoch)
            destroyed = self._erase(
                delete(epoch_keys).where(
                    epoch_keys.c.epoch <= epoch - KEPT_EPOCHS,
                    ~select(data_keys.c.tenant)
                    .where(data_keys.c.tenant == epoch_keys.c.tenant, data_keys.c.epoch == epoch_keys.c.epoch)
                    .exists(),
                )
            )
        except DBAPIError as error:
            raise unavailable(error) from error
        return Rotation(epoch, rewrapped, destroyed)

    def rewrap(self) -> int:
        """Wrap every epoch key anew under the root in force, so that an older root can be destroyed; return how many.

        Raises:
            ContentUnavailable: A key cannot be unwrapped, or the database is out of reach; those done stay so.
        """
        columns = (epoch_keys.c.tenant, epoch_keys.c.epoch, epoch_keys.c.wrapped)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(select(*columns)).all()
            for row in rows:
                context = _epoch_context(row.tenant, row.epoch)
                fresh = self._wrapper.wrap(self._wrapper.unwrap(row.wrapped, context), context)
                with self._engine.begin() as connection:
                    overwrite(connection)
                    connection.execute(
                        update(epoch_keys)
                        .where(epoch_keys.c.tenant == row.tenant, epoch_keys.c.epoch == row.epoch)
                        .where(epoch_keys.c.wrapped == row.wrapped)
                        .values(wrapped=fresh)
                    )
        except DBAPIError as error:
            raise unavailable(error) from error
        return len(rows)

    def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy one data key for good; return whether there was one.

        Raises:
            ContentUnavailable: The database is out of reach.
        """
        return bool(self._erase(delete(data_keys).where(data_keys.c.tenant == tenant, data_keys.c.subject == subject)))

    def destroy_tenant(self, tenant: str) -> bool:
        """Destroy all keys of a tenant for good; return whether there was one.

        Raises:
            ContentUnavailable: The database is out of reach.
        """
        found = self._erase(delete(data_keys).where(data_keys.c.tenant == tenant))
        found += self._erase(delete(epoch_keys).where(epoch_keys.c.tenant == tenant))
        return bool(found)

    def subjects(self) -> list[tuple[str, str]]:
        """Tenant and subject of every living data key; the tenants' own are left out.

        Raises:
            ContentUnavailable: The database is out of reach.
        """
        query = select(data_keys.c.tenant, data_keys.c.subject).where(data_keys.c.subject != "")
        try:
            with self._engine.connect() as connection:
                return [(row.tenant, row.subject) for row in connection.execute(query)]
        except DBAPIError as error:
            raise unavailable(error) from error

    def oldest_epoch(self) -> int | None:
        """The oldest epoch whose key still exists; None without any.

        Raises:
            ContentUnavailable: The database is out of reach.
        """
        try:
            with self._engine.connect() as connection:
                found: int | None = connection.execute(select(func.min(epoch_keys.c.epoch))).scalar_one()
                return found
        except DBAPIError as error:
            raise unavailable(error) from error

    def _erase(self, statement: Delete) -> int:
        try:
            return erase(self._engine, statement)
        except DBAPIError as error:
            raise unavailable(error) from error
        except Busy as error:
            raise ContentUnavailable(str(error)) from error

    def _find(self, connection: Connection, tenant: str, subject: str) -> bytes | None:
        row = connection.execute(
            select(data_keys.c.wrapped, data_keys.c.epoch, epoch_keys.c.wrapped.label("outer"))
            .join(epoch_keys, (epoch_keys.c.tenant == data_keys.c.tenant) & (epoch_keys.c.epoch == data_keys.c.epoch))
            .where(data_keys.c.tenant == tenant, data_keys.c.subject == subject)
        ).one_or_none()
        if row is None:
            return None
        epoch_key = self._wrapper.unwrap(row.outer, _epoch_context(tenant, row.epoch))
        return decrypt(epoch_key, row.wrapped, _data_context(tenant, subject))

    def _create(self, connection: Connection, tenant: str, subject: str) -> None:
        epoch = _now_ms() // EPOCH_MS
        self._insert(connection, tenant, subject, epoch, os.urandom(KEY_BYTES))

    def _insert(self, connection: Connection, tenant: str, subject: str, epoch: int, key: bytes) -> None:
        wrapped = encrypt(self._epoch_key(connection, tenant, epoch), key, _data_context(tenant, subject))
        row = {"tenant": tenant, "subject": subject, "epoch": epoch, "created_ms": _now_ms(), "wrapped": wrapped}
        connection.execute(upsert(connection, data_keys).values(row).on_conflict_do_nothing())

    def _epoch_key(self, connection: Connection, tenant: str, epoch: int) -> bytes:
        """The key of an epoch, made if there is none; of two processes that make one, the first counts."""
        context = _epoch_context(tenant, epoch)
        fresh = {"tenant": tenant, "epoch": epoch, "created_ms": _now_ms()}
        query = select(epoch_keys.c.wrapped).where(epoch_keys.c.tenant == tenant, epoch_keys.c.epoch == epoch)
        wrapped = connection.execute(query).scalar_one_or_none()
        if wrapped is None:
            fresh["wrapped"] = self._wrapper.wrap(os.urandom(KEY_BYTES), context)
            connection.execute(upsert(connection, epoch_keys).values(fresh).on_conflict_do_nothing())
            wrapped = connection.execute(query).scalar_one()
        return self._wrapper.unwrap(wrapped, context)

    def _rewrap(self, connection: Connection, tenant: str, subject: str, old: int, epoch: int) -> int:
        outer = self._epoch_key(connection, tenant, epoch)
        key = self._find(connection, tenant, subject)
        if key is None:
            return 0  # destroyed meanwhile: it stays destroyed, as it does when the update below finds no row
        wrapped = encrypt(outer, key, _data_context(tenant, subject))
        return connection.execute(
            update(data_keys)
            .where(data_keys.c.tenant == tenant, data_keys.c.subject == subject, data_keys.c.epoch == old)
            .values(epoch=epoch, wrapped=wrapped)
        ).rowcount


class SqliteContentKeys(ContentKeys):
    """The keys in a SQLite file of their own."""

    def __init__(self, path: Path, wrapper: KeyWrapper) -> None:
        """Open the database, or create it.

        Raises:
            ContentUnavailable: It cannot be opened.
        """
        super().__init__(sqlite_engine(path, wal=WAL_IS_SOUND), wrapper)
        try:
            with self._engine.begin() as connection:
                create_missing(connection, _METADATA)
                overwrite(connection)
                self._take_over(connection)
        except DBAPIError as error:
            raise unavailable(error) from error

    def _take_over(self, connection: Connection) -> None:
        """Bring the keys of the first version under epochs."""
        if not inspect(connection).has_table(_BEFORE_EPOCHS.name):
            return
        for row in connection.execute(select(_BEFORE_EPOCHS)).all():
            key = self._wrapper.unwrap(row.wrapped, context_of("greffier content key", row.tenant))
            self._insert(connection, row.tenant, "", _now_ms() // EPOCH_MS, key)
        connection.execute(delete(_BEFORE_EPOCHS))


def unavailable(error: DBAPIError) -> ContentUnavailable:
    """The one translation of database errors in the content stores."""
    why = str(error.orig).splitlines()[0]  # further lines of PostgreSQL may hold values
    return ContentUnavailable(f"the content store cannot be used ({why})")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _epoch_context(tenant: str, epoch: int) -> bytes:
    return context_of("greffier epoch key", tenant, str(epoch))


def _data_context(tenant: str, subject: str) -> bytes:
    return context_of("greffier data key", tenant, subject)
