"""Content parts in SQLite, encrypted, apart from the journal, so that they can be deleted while the log stays whole.

Two databases: the parts, and the tenants' data keys wrapped under a root key. Deleting a part is the ordinary way to
forget; destroying a tenant's key makes every copy of its parts unreadable, in backups too.
"""

import asyncio
import os
import time
from pathlib import Path
from threading import Lock

from sqlalchemy import (
    BigInteger,
    Column,
    Delete,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from greffier.audit.content import KEY_BYTES, context_of, decrypt, encrypt, open_part, seal_part
from greffier.audit.ports import ContentUnavailable, KeyWrapper
from greffier.config.paths import WorkspacePaths
from greffier.core.ids import new_id
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing

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
    Index("part_event", "tenant", "event_id"),
    Index("part_age", "stored_ms"),
)
key_metadata = MetaData()
keys_table = Table(
    "tenant_key",
    key_metadata,
    Column("tenant", String(64), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)


class FileKeyWrapper:
    """KeyWrapper whose root key is a file of 32 random bytes, mode 0600, created at first use."""

    def __init__(self, path: Path) -> None:
        """Open the key, or create it.

        Raises:
            ContentUnavailable: The file is no root key, may be read by others, or cannot be read.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                _create_key(path)
            if path.stat().st_mode & 0o077:
                raise ContentUnavailable(f"{path.name} may be read by others; set its mode to 0600")
            self._key = path.read_bytes()
        except OSError as error:
            raise ContentUnavailable(f"the content root key cannot be read ({error})") from error
        if len(self._key) != KEY_BYTES:
            raise ContentUnavailable(f"{path.name} is not a key of {KEY_BYTES} bytes")

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key; ``purpose`` must be given again to unwrap it."""
        return encrypt(self._key, key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt a key.

        Raises:
            ContentUnavailable: It was not wrapped by this root key for this purpose.
        """
        return decrypt(self._key, wrapped, purpose)


class SqliteContentStore:
    """ContentStore on SQLite. The tenant stands in every query and in the authenticated data of every ciphertext."""

    def __init__(self, path: Path, keys_path: Path, wrapper: KeyWrapper) -> None:
        """Open both databases, or create them.

        Raises:
            ContentUnavailable: They cannot be opened.
        """
        self._wrapper = wrapper
        self._lock = Lock()
        self._engine = sqlite_engine(path, wal=WAL_IS_SOUND)
        self._key_engine = sqlite_engine(keys_path, wal=WAL_IS_SOUND)
        try:
            for engine, tables in ((self._engine, metadata), (self._key_engine, key_metadata)):
                with engine.begin() as connection:
                    create_missing(connection, tables)
        except DBAPIError as error:
            raise _unavailable(error) from error

    async def put(self, tenant: str, event_id: str, parts: dict[str, bytes]) -> dict[str, tuple[str, str]]:
        """Encrypt and store parts; see the port.

        Raises:
            ContentUnavailable: Nothing was stored.
        """
        return await asyncio.to_thread(self._put, tenant, event_id, parts)

    def _put(self, tenant: str, event_id: str, parts: dict[str, bytes]) -> dict[str, tuple[str, str]]:
        key = self._key(tenant, create=True)
        rows = []
        result = {}
        for name, part in parts.items():
            identifier = new_id("part")
            sealed, commit = seal_part(key, part, context_of(tenant, event_id, name))
            result[name] = (identifier, commit)
            rows.append(
                {
                    "id": identifier,
                    "tenant": tenant,
                    "event_id": event_id,
                    "name": name,
                    "stored_ms": time.time_ns() // 1_000_000,
                    "sealed": sealed,
                }
            )
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(parts_table), rows)
        except DBAPIError as error:
            raise _unavailable(error) from error
        return result

    def get(self, tenant: str, store_id: str) -> tuple[bytes, str]:
        """A part and its commitment computed anew, to be compared with the record.

        Raises:
            ContentUnavailable: Deleted, its key destroyed, changed, or the store is out of reach.
        """
        query = select(parts_table.c.event_id, parts_table.c.name, parts_table.c.sealed).where(
            parts_table.c.tenant == tenant, parts_table.c.id == store_id
        )
        try:
            with self._engine.connect() as connection:
                row = connection.execute(query).one_or_none()
        except DBAPIError as error:
            raise _unavailable(error) from error
        if row is None:
            raise ContentUnavailable("the part was deleted, or there never was one")
        return open_part(self._key(tenant, create=False), row.sealed, context_of(tenant, row.event_id, row.name))

    def delete(self, tenant: str, event_id: str) -> int:
        """Delete the parts of one event; return how many there were.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return _erase(
            self._engine, delete(parts_table).where(parts_table.c.tenant == tenant, parts_table.c.event_id == event_id)
        )

    def purge(self, before_ms: int) -> int:
        """Delete every part stored before a moment (milliseconds since the epoch); return how many there were.

        Raises:
            ContentUnavailable: The store is out of reach.
        """
        return _erase(self._engine, delete(parts_table).where(parts_table.c.stored_ms < before_ms))

    def shred(self, tenant: str) -> bool:
        """Destroy a tenant's key: all its parts, copies and backups become unreadable. Return whether there was one.

        Raises:
            ContentUnavailable: The key store is out of reach.
        """
        return bool(_erase(self._key_engine, delete(keys_table).where(keys_table.c.tenant == tenant)))

    def close(self) -> None:
        """Release the files."""
        self._engine.dispose()
        self._key_engine.dispose()

    def _key(self, tenant: str, *, create: bool) -> bytes:
        # Not cached: a destroyed key must stop working at once, in every process.
        purpose = context_of("greffier content key", tenant)
        try:
            with self._lock:
                wrapped = self._stored_key(tenant)
                if wrapped is None and create:
                    wrapped = self._new_key(tenant, purpose)
        except DBAPIError as error:
            raise _unavailable(error) from error
        if wrapped is None:
            raise ContentUnavailable("the key of this content was destroyed")
        return self._wrapper.unwrap(wrapped, purpose)

    def _stored_key(self, tenant: str) -> bytes | None:
        with self._key_engine.connect() as connection:
            found: bytes | None = connection.execute(
                select(keys_table.c.wrapped).where(keys_table.c.tenant == tenant)
            ).scalar_one_or_none()
            return found

    def _new_key(self, tenant: str, purpose: bytes) -> bytes | None:
        wrapped = self._wrapper.wrap(os.urandom(KEY_BYTES), purpose)
        row = {"tenant": tenant, "created_ms": time.time_ns() // 1_000_000, "wrapped": wrapped}
        try:
            with self._key_engine.begin() as connection:
                connection.execute(insert(keys_table), row)
        except IntegrityError:  # another process was faster: use its key
            return self._stored_key(tenant)
        return wrapped


def _erase(engine: Engine, statement: Delete) -> int:
    """Delete rows so that their bytes are gone from the files: overwritten, and the write-ahead log emptied."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
            count = connection.execute(statement).rowcount
        with engine.connect() as connection:  # does nothing where the file has no write-ahead log
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    except DBAPIError as error:
        raise _unavailable(error) from error
    if busy:
        raise ContentUnavailable("deleted, but the file's write-ahead log is in use and keeps a copy: repeat it")
    return count


def _unavailable(error: DBAPIError) -> ContentUnavailable:
    return ContentUnavailable(f"the content store cannot be used ({error.orig})")


def _create_key(path: Path) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, path)  # atomic, and loses against another worker that was faster
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def open_content_store(paths: WorkspacePaths) -> SqliteContentStore:
    """The workspace's content store.

    Raises:
        ContentUnavailable: It, or its root key, cannot be opened.
    """
    wrapper = FileKeyWrapper(paths.secrets / "content-root.key")
    return SqliteContentStore(paths.content_db, paths.content_keys_db, wrapper)
