"""Content parts, encrypted, apart from the journal, so that they can be deleted while the log stays whole.

Two databases: the parts, and their keys (`content_keys`). Deleting a part is the ordinary way to forget; destroying a
key makes every copy of what it encrypted unreadable, in backups too.
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Update,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from greffier.audit.content import context_of, decrypt, encrypt, open_part, seal_part
from greffier.audit.ports import UNLABELLED, ContentUnavailable, KeyWrapper, PartLabel
from greffier.config.paths import WorkspacePaths
from greffier.core.ids import new_id
from greffier.storage.content_keys import ContentKeys, SqliteContentKeys, unavailable
from greffier.storage.content_root import FileKeyWrapper
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.erasing import Busy, erase
from greffier.storage.tables import create_missing, upsert

metadata = MetaData()
parts_table = Table(
    "part",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("name", String(64), nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("subject", String(80), nullable=False, server_default=""),
    Column("use_case", String(64), nullable=False, server_default=""),
    Column("purpose", String(64), nullable=False, server_default=""),
    Column("data_classes", String, nullable=False, server_default=""),
    Index("part_event", "tenant", "event_id"),
    Index("part_age", "stored_ms"),
)
_ADDED = ("subject", "use_case", "purpose", "data_classes")
_mark = Table(
    "erasure_mark",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("applied", BigInteger, nullable=False),
)
_CHUNK = 500
CONTENT_ROOT_KEY = "content-root.key"
"""Name of the root key's file among the secrets."""


class StoredPart(msgspec.Struct, frozen=True):
    """A part without its text.

    Attributes:
        subject: Under whose key it is; empty for the tenant's.
        data_classes: Sorted, joined with commas.
    """

    id: str
    tenant: str
    event_id: str
    name: str
    stored_ms: int
    subject: str
    use_case: str
    purpose: str
    data_classes: str


class PartGroup(msgspec.Struct, frozen=True):
    """Parts that the same retention rules apply to: all that share tenant, use case, purpose, classes and name."""

    tenant: str
    use_case: str
    purpose: str
    data_classes: str
    name: str
    parts: int
    oldest_ms: int


class SqlContentStore:
    """ContentStore. The tenant stands in every query and in the authenticated data of every ciphertext."""

    def __init__(self, engine: Engine, keys: ContentKeys) -> None:
        """Use a database whose tables are there already, and keys that may be in another."""
        self._engine = engine
        self.keys = keys

    async def put(
        self, tenant: str, event_id: str, parts: dict[str, bytes], label: PartLabel = UNLABELLED
    ) -> dict[str, tuple[str, str]]:
        """Encrypt and store parts; see the port.

        Raises:
            ContentUnavailable: Nothing was stored.
        """
        return await asyncio.to_thread(self._put, tenant, event_id, parts, label)

    def _put(self, tenant: str, event_id: str, parts: dict[str, bytes], label: PartLabel) -> dict[str, tuple[str, str]]:
        subjects = {name: "" if name in label.residual else label.subject for name in parts}
        keys = {subject: self.keys.get_or_create(tenant, subject) for subject in set(subjects.values())}
        rows = []
        result = {}
        for name, part in parts.items():
            identifier = new_id("part")
            sealed, commit = seal_part(keys[subjects[name]], part, context_of(tenant, event_id, name))
            result[name] = (identifier, commit)
            rows.append(
                {
                    "id": identifier,
                    "tenant": tenant,
                    "event_id": event_id,
                    "name": name,
                    "stored_ms": time.time_ns() // 1_000_000,
                    "sealed": sealed,
                    "subject": subjects[name],
                    "use_case": label.use_case,
                    "purpose": label.purpose,
                    "data_classes": ",".join(sorted(label.data_classes)),
                }
            )
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(parts_table), rows)
        except DBAPIError as error:
            raise unavailable(error) from error
        return result

    def get(self, tenant: str, store_id: str) -> tuple[bytes, str]:
        """A part and its commitment computed anew, to be compared with the record.

        Raises:
            ContentUnavailable: Deleted, its key destroyed, changed, or the store is out of reach.
        """
        query = select(parts_table).where(parts_table.c.tenant == tenant, parts_table.c.id == store_id)
        rows = self._fetch(query)
        if not rows:
            raise ContentUnavailable("the part was deleted, or there never was one")
        row = rows[0]
        key = self.keys.existing(tenant, row.subject)
        return open_part(key, row.sealed, context_of(tenant, row.event_id, row.name))

    def of_subject(self, tenant: str, subject: str) -> list[StoredPart]:
        """Parts under a subject's own key, oldest first.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._listed(parts_table.c.tenant == tenant, parts_table.c.subject == subject)

    def of_tenant(self, tenant: str) -> list[StoredPart]:
        """All parts of a tenant, oldest first.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._listed(parts_table.c.tenant == tenant)

    def of_event(self, tenant: str, event_id: str) -> list[StoredPart]:
        """Parts of one request, oldest first.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._listed(parts_table.c.tenant == tenant, parts_table.c.event_id == event_id)

    def parts(self, tenant: str, identifiers: Iterable[str]) -> list[StoredPart]:
        """Those of the named parts that exist.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._listed(parts_table.c.tenant == tenant, parts_table.c.id.in_(list(identifiers)))

    def owners(self) -> list[tuple[str, str]]:
        """Tenant and subject of everyone who has a part or a key here.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        query = select(parts_table.c.tenant, parts_table.c.subject).where(parts_table.c.subject != "").distinct()
        found = {(row.tenant, row.subject) for row in self._fetch(query)}
        return sorted(found | set(self.keys.subjects()))

    def identifiers(self) -> list[tuple[str, str]]:
        """Tenant and id of every part.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return [(row.tenant, row.id) for row in self._fetch(select(parts_table.c.tenant, parts_table.c.id))]

    def groups(self) -> list[PartGroup]:
        """What is stored, by what retention rules look at.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        table = parts_table.c
        columns = (table.tenant, table.use_case, table.purpose, table.data_classes, table.name)
        query = select(*columns, func.count(), func.min(table.stored_ms)).group_by(*columns)
        return [PartGroup(*tuple(row)) for row in self._fetch(query)]

    def expired(self, group: PartGroup, before_ms: int) -> list[StoredPart]:
        """Parts of a group stored before a moment.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        table = parts_table.c
        return self._listed(
            table.tenant == group.tenant,
            table.use_case == group.use_case,
            table.purpose == group.purpose,
            table.data_classes == group.data_classes,
            table.name == group.name,
            table.stored_ms < before_ms,
        )

    def delete(self, tenant: str, event_id: str) -> int:
        """Delete the parts of one event; return how many there were.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._erase(parts_table.c.tenant == tenant, parts_table.c.event_id == event_id)

    def delete_parts(self, tenant: str, identifiers: Iterable[str]) -> int:
        """Delete the named parts; return how many there were.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        names = list(identifiers)
        return sum(
            self._erase(parts_table.c.tenant == tenant, parts_table.c.id.in_(names[start : start + _CHUNK]))
            for start in range(0, len(names), _CHUNK)
        )

    def delete_subject(self, tenant: str, subject: str) -> int:
        """Delete every part under a subject's own key; return how many there were. The key is destroyed apart.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._erase(parts_table.c.tenant == tenant, parts_table.c.subject == subject)

    def purge(self, before_ms: int) -> int:
        """Delete every part stored before a moment (milliseconds since the epoch); return how many there were.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return self._erase(parts_table.c.stored_ms < before_ms)

    def shred(self, tenant: str) -> bool:
        """Destroy a tenant's keys: all its parts, copies and backups become unreadable. Return whether there was one.

        Raises:
            ContentUnavailable: The key store is out of reach.
        """
        return self.keys.destroy_tenant(tenant)

    def applied(self) -> int:
        """Number of the last erasure that was carried out here; a restored backup has an older one.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        rows = self._fetch(select(_mark.c.applied))
        return int(rows[0].applied) if rows else 0

    def mark_applied(self, number: int) -> None:
        """Note that every erasure up to ``number`` was carried out here.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        statement = upsert(self._engine, _mark).values(id=1, applied=number)
        larger = func.greatest if self._engine.dialect.name == "postgresql" else func.max
        newest = larger(_mark.c.applied, statement.excluded.applied)
        try:
            with self._engine.begin() as connection:
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"applied": newest}))
        except DBAPIError as error:
            raise unavailable(error) from error

    def set_aside(self, tenant: str, event_id: str) -> int:
        """Move a request's parts from a person's key to the tenant's, out of reach of the person's erasure.

        What the record committed to stays true. Return how many parts were moved.

        Raises:
            ContentUnavailable: A part or key cannot be read or written; repeating it does what is left.
        """
        moved = 0
        for part in self.of_event(tenant, event_id):
            if not part.subject:
                continue
            context = context_of(tenant, part.event_id, part.name)
            row = self._fetch(select(parts_table.c.sealed).where(parts_table.c.id == part.id))[0]
            plain = decrypt(self.keys.existing(tenant, part.subject), row.sealed, context)
            sealed = encrypt(self.keys.get_or_create(tenant, ""), plain, context)
            change = update(parts_table).where(parts_table.c.tenant == tenant, parts_table.c.id == part.id)
            moved += self._changed(change.values(subject="", sealed=sealed))
        return moved

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()
        self.keys.close()

    def _listed(self, *where: ColumnElement[bool]) -> list[StoredPart]:
        columns = [parts_table.c[name] for name in StoredPart.__struct_fields__]
        query = select(*columns).where(*where).order_by(parts_table.c.stored_ms, parts_table.c.id)
        return [StoredPart(*tuple(row)) for row in self._fetch(query)]

    def _fetch(self, query: Select[Any]) -> list[Row[Any]]:
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(query))
        except DBAPIError as error:
            raise unavailable(error) from error

    def _erase(self, *where: ColumnElement[bool]) -> int:
        return self._changed(delete(parts_table).where(*where))

    def _changed(self, statement: Delete | Update) -> int:
        try:
            return erase(self._engine, statement)
        except DBAPIError as error:
            raise unavailable(error) from error
        except Busy as error:
            raise ContentUnavailable(str(error)) from error


class SqliteContentStore(SqlContentStore):
    """ContentStore on SQLite."""

    def __init__(self, path: Path, keys_path: Path, wrapper: KeyWrapper) -> None:
        """Open both databases, or create them.

        Raises:
            ContentUnavailable: They cannot be opened.
        """
        engine = sqlite_engine(path, wal=WAL_IS_SOUND)
        try:
            with engine.begin() as connection:
                _create(connection)
        except DBAPIError as error:
            raise unavailable(error) from error
        super().__init__(engine, SqliteContentKeys(keys_path, wrapper))


def _create(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # several workers start at once, and only one may add columns
    create_missing(connection, metadata)
    present = {column["name"] for column in inspect(connection).get_columns("part")}
    for name in _ADDED:
        if name not in present:  # a store of the first version
            connection.exec_driver_sql(f"ALTER TABLE part ADD COLUMN {name} VARCHAR NOT NULL DEFAULT ''")
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS part_subject ON part (tenant, subject)")


def open_content_store(paths: WorkspacePaths, root: KeyWrapper | None = None) -> SqliteContentStore:
    """The workspace's content store.

    Args:
        paths: The workspace.
        root: The root of its keys; None takes the one in a file, made where there is none.

    Raises:
        ContentUnavailable: It, or its root key, cannot be opened.
    """
    wrapper = root or FileKeyWrapper(paths.secrets / CONTENT_ROOT_KEY)
    return SqliteContentStore(paths.content_db, paths.content_keys_db, wrapper)
