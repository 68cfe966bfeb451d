"""API keys in SQLite or PostgreSQL, each change counted in the transaction that makes it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from greffier.identity.keys import KeyRecord
from greffier.identity.ports import Generation, KeyChanges, KeyConflict, KeyNotFound, KeyStoreUnavailable
from greffier.storage.engine import sqlite_engine

_SCHEMA = 1
_METADATA = MetaData()

_KEYS = Table(
    "api_keys",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("tenant", String, nullable=False),
    Column("use_case", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("principal_type", String, nullable=False),
    Column("groups", String, nullable=False),  # JSON, like roles and attributes: read whole, never searched
    Column("roles", String, nullable=False),
    Column("purpose", String),
    Column("attributes", String, nullable=False),
    Column("label", String, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("revoked_reason", String, nullable=False),
    Column("family", String, nullable=False),
    Column("successor", String, nullable=False),
    Column("changed", BigInteger, nullable=False, index=True),  # generation number of the last change
)
_STORE = Table(
    "api_key_store",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("schema", Integer, nullable=False),
    Column("store", String, nullable=False),
    Column("generation", BigInteger, nullable=False),
)
_STRINGS = msgspec.json.Decoder(tuple[str, ...])
_ATTRIBUTES = msgspec.json.Decoder(dict[str, str])


class SqlKeyStore:
    """`KeyStore` on a database whose tables are there already; any number of processes may share it."""

    def __init__(self, engine: Engine) -> None:
        """Use a database."""
        self._engine = engine

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`."""
        with self._writing() as (connection, number):
            connection.execute(insert(_KEYS).values(_to_row(record, number)))

    def rotate(self, key_id: str, successor: KeyRecord, retire_ms: int) -> KeyRecord:
        """See `KeyStore.rotate`."""
        with self._writing() as (connection, number):
            old = _get(connection, key_id)
            state = old.state(successor.created_ms)
            if state != "active":
                raise KeyConflict(_WHY[state].format(old=old))
            connection.execute(insert(_KEYS).values(_to_row(successor, number)))
            expires_ms = min(old.expires_ms, retire_ms)
            connection.execute(
                update(_KEYS)
                .where(_KEYS.c.id == key_id)
                .values(successor=successor.id, expires_ms=expires_ms, changed=number)
            )
            return msgspec.structs.replace(old, successor=successor.id, expires_ms=expires_ms)

    def revoke(self, key_id: str, *, at_ms: int, reason: str) -> KeyRecord:
        """See `KeyStore.revoke`."""
        with self._writing() as (connection, number):
            old = _get(connection, key_id)
            if old.revoked_ms is not None:
                raise KeyConflict(_WHY["revoked"].format(old=old))
            connection.execute(
                update(_KEYS)
                .where(_KEYS.c.id == key_id)
                .values(revoked_ms=at_ms, revoked_reason=reason, changed=number)
            )
            return msgspec.structs.replace(old, revoked_ms=at_ms, revoked_reason=reason)

    def forget(self, key_id: str, *, at_ms: int) -> None:
        """Revoke a key, and remove for good what describes its holder; its id and digest stay (GDPR Art. 17).

        Raises:
            KeyNotFound: No such key.
            KeyStoreUnavailable: The store cannot be reached, or its log keeps a copy for now: repeat it.
        """
        with self._writing() as (connection, number):
            old = _get(connection, key_id)
            self._erase_for_good(connection)
            connection.execute(
                update(_KEYS)
                .where(_KEYS.c.id == key_id)
                .values(
                    label="",
                    groups="[]",
                    roles="[]",
                    attributes="{}",
                    revoked_ms=at_ms if old.revoked_ms is None else old.revoked_ms,
                    revoked_reason=old.revoked_reason or "holder erased",
                    changed=number,
                )
            )

    def describe(self, key_id: str, *, label: str, attributes: dict[str, str]) -> None:
        """Say anew what describes a key's holder, because it was wrong (GDPR Art. 16); what stood there is overwritten.

        Raises:
            KeyNotFound: No such key.
            KeyStoreUnavailable: The store cannot be reached.
        """
        with self._writing() as (connection, number):
            _get(connection, key_id)
            self._erase_for_good(connection)
            said = msgspec.json.encode(attributes, order="sorted").decode()
            connection.execute(
                update(_KEYS).where(_KEYS.c.id == key_id).values(label=label, attributes=said, changed=number)
            )

    def get(self, key_id: str) -> KeyRecord:
        """See `KeyStore.get`."""
        with self._reading() as connection:
            return _get(connection, key_id)

    def list(self, tenant: str | None = None) -> tuple[KeyRecord, ...]:
        """See `KeyStore.list`."""
        query = select(_KEYS).order_by(_KEYS.c.created_ms, _KEYS.c.id)
        if tenant is not None:
            query = query.where(_KEYS.c.tenant == tenant)
        with self._reading() as connection:
            return tuple(_from_row(row) for row in connection.execute(query))

    def generation(self) -> Generation:
        """See `KeyStore.generation`."""
        with self._reading() as connection:
            return _generation(connection)

    def changes(self, since: int = 0) -> KeyChanges:
        """See `KeyStore.changes`."""
        with self._reading() as connection:
            # The number is read first: a change that comes in between is then delivered again, not lost.
            generation = _generation(connection)
            rows = connection.execute(select(_KEYS).where(_KEYS.c.changed > since))
            return KeyChanges(generation, tuple(_from_row(row) for row in rows))

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, int]]:
        """A transaction that counts itself first, which also takes SQLite's write lock before anything is read."""
        with _translated(), self._current().begin() as connection:
            number: int = connection.execute(
                update(_STORE).values(generation=_STORE.c.generation + 1).returning(_STORE.c.generation)
            ).scalar_one()
            yield connection, number

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self._current().connect() as connection:
            yield connection

    def _current(self) -> Engine:
        return self._engine

    def _erase_for_good(self, connection: Connection) -> None:
        """Called inside the transaction that overwrites personal data."""


class SqliteKeyStore(SqlKeyStore):
    """`KeyStore` on a SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the store, creating it if the file has none.

        Raises:
            KeyStoreUnavailable: The file cannot be opened, or was written by a newer version.
        """
        self._path = path
        with _translated():
            super().__init__(sqlite_engine(path))
            with self._engine.begin() as connection:
                _create(connection)
        self._file = _identity(path)

    def forget(self, key_id: str, *, at_ms: int) -> None:
        """See `SqlKeyStore.forget`."""
        super().forget(key_id, at_ms=at_ms)
        with _translated(), self._current().connect() as connection:
            if connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                raise KeyStoreUnavailable("the key was forgotten, but the store's log keeps a copy for now: repeat it")

    def _erase_for_good(self, connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA secure_delete=ON")

    def _current(self) -> Engine:
        """Follow the path when the file was replaced (a restored backup); open connections would read the old one."""
        file = _identity(self._path)
        if file != self._file:
            self._engine.dispose()
            self._file = file
        return self._engine


_WHY = {
    "revoked": "the key {old.id} is revoked",
    "expired": "the key {old.id} has expired",
    "retiring": "the key {old.id} was already replaced by {old.successor}",
}


def _create(connection: Connection) -> None:
    for table in _METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(
        sqlite_insert(_STORE)
        .values(id=1, schema=_SCHEMA, store=secrets.token_hex(8), generation=0)
        .on_conflict_do_nothing()
    )
    schema = connection.execute(select(_STORE.c.schema)).scalar_one()
    if schema != _SCHEMA:
        raise KeyStoreUnavailable(f"the key store has schema {schema}; this version of Greffier reads {_SCHEMA}")


def _identity(path: Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116 - five times a second in every worker; Path.stat costs twice as much
    except OSError as error:
        raise KeyStoreUnavailable(f"the key store {path.name} cannot be opened: {error.strerror}") from error
    return stat.st_dev, stat.st_ino


def _generation(connection: Connection) -> Generation:
    row = connection.execute(select(_STORE.c.store, _STORE.c.generation)).one()
    return Generation(row.store, row.generation)


def _get(connection: Connection, key_id: str) -> KeyRecord:
    row = connection.execute(select(_KEYS).where(_KEYS.c.id == key_id)).one_or_none()
    if row is None:
        raise KeyNotFound(f"there is no key with the id {key_id}")
    return _from_row(row)


def _to_row(record: KeyRecord, number: int) -> dict[str, Any]:
    row = msgspec.structs.asdict(record)
    for name in ("groups", "roles", "attributes"):
        row[name] = msgspec.json.encode(row[name]).decode()
    return row | {"changed": number}


def _from_row(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        digest=row.digest,
        tenant=row.tenant,
        use_case=row.use_case,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        principal_type=row.principal_type,
        groups=_STRINGS.decode(row.groups),
        roles=_STRINGS.decode(row.roles),
        purpose=row.purpose,
        attributes=_ATTRIBUTES.decode(row.attributes),
        label=row.label,
        revoked_ms=row.revoked_ms,
        revoked_reason=row.revoked_reason,
        family=row.family,
        successor=row.successor,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors. SQLAlchemy's own text would show values, so only the driver's is kept."""
    try:
        yield
    except IntegrityError as error:
        raise KeyConflict("a key with this id or secret exists already") from error
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).splitlines()[0]  # PostgreSQL's further lines may hold values
        raise KeyStoreUnavailable(f"the key store cannot be used: {why}") from error
    except msgspec.MsgspecError as error:
        raise KeyStoreUnavailable("the key store holds a row that cannot be read") from error
    except OSError as error:
        raise KeyStoreUnavailable(f"the key store cannot be opened: {error.strerror}") from error
