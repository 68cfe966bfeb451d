import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.keys import SqliteKeyStore
from greffier.testing.contracts.key_store import NOW, KeyStoreContract, a_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteKeyStore]:
    opened = SqliteKeyStore(path)
    yield opened
    opened.close()


class TestSqliteKeyStore(KeyStoreContract):
    pass


def test_only_the_owner_may_read_the_file(store: SqliteKeyStore, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_another_process_sees_changes_at_once(store: SqliteKeyStore, path: Path) -> None:
    other = SqliteKeyStore(path)
    record = a_key()
    other.create(record)
    assert store.get(record.id) == record
    other.close()


def test_a_restored_backup_is_noticed(store: SqliteKeyStore, path: Path, tmp_path: Path) -> None:
    store.create(a_key())
    elsewhere = SqliteKeyStore(tmp_path / "backup.db")
    restored = a_key()
    elsewhere.create(restored)
    elsewhere.close()
    before = store.generation()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.move(tmp_path / "backup.db", path)
    assert store.generation().store != before.store
    assert store.list() == (restored,)


def test_a_missing_file_is_an_outage_and_not_an_empty_store(store: SqliteKeyStore, path: Path) -> None:
    store.create(a_key())
    path.unlink()
    with pytest.raises(KeyStoreUnavailable):
        store.generation()
    assert not path.exists()


def test_a_damaged_file_is_an_outage(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(KeyStoreUnavailable):
        SqliteKeyStore(path)


def test_a_row_that_cannot_be_read_is_an_outage(store: SqliteKeyStore, path: Path) -> None:
    store.create(a_key())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE api_keys SET groups = '{'")
    connection.close()
    with pytest.raises(KeyStoreUnavailable):
        store.changes()


def test_a_newer_schema_is_refused(store: SqliteKeyStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE api_key_store SET schema = 99")
    connection.close()
    with pytest.raises(KeyStoreUnavailable, match="schema 99"):
        SqliteKeyStore(path)


def test_a_locked_store_is_an_outage_for_writers_only(store: SqliteKeyStore, path: Path) -> None:
    record = a_key()
    store.create(record)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert store.get(record.id) == record
    with store._engine.connect() as connection:  # the pool hands the same connection out again
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")
    with pytest.raises(KeyStoreUnavailable):
        store.revoke(record.id, at_ms=NOW, reason="")
    blocker.execute("ROLLBACK")
    blocker.close()
    assert store.get(record.id).revoked_ms is None
