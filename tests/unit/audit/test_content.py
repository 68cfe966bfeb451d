import asyncio
import hashlib
import hmac
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.audit.content import context_of, decrypt, encrypt, open_part, seal_part
from greffier.audit.ports import ContentUnavailable, PartLabel
from greffier.config.paths import WorkspacePaths
from greffier.storage.content import SqliteContentStore, open_content_store
from greffier.storage.content_keys import EPOCH_MS, Rotation
from greffier.storage.content_root import FileKeyWrapper

SECRET = b"Mrs Planted lives in Canary Street"


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path)
    made.ensure()
    return made


@pytest.fixture
def store(paths: WorkspacePaths) -> SqliteContentStore:
    return open_content_store(paths)


def put(store: SqliteContentStore, tenant: str, event: str, **parts: bytes) -> dict[str, tuple[str, str]]:
    return asyncio.run(store.put(tenant, event, parts))


def test_parts_come_back_with_the_commitment_of_the_record(store: SqliteContentStore) -> None:
    kept = put(store, "acme", "req_1", prompt=SECRET, answer=b"")
    assert kept.keys() == {"prompt", "answer"}
    for name, part in (("prompt", SECRET), ("answer", b"")):
        identifier, commit = kept[name]
        assert store.get("acme", identifier) == (part, commit)


@given(st.binary(max_size=100))
def test_the_commitment_is_hmac_with_a_salt_that_only_the_ciphertext_holds(part: bytes) -> None:
    key, context = bytes(32), context_of("t", "e", "p")
    sealed, commit = seal_part(key, part, context)
    salt = decrypt(key, sealed, context)[:32]
    assert commit == hmac.new(salt, part, hashlib.sha256).hexdigest()
    assert seal_part(key, part, context)[1] != commit  # equal texts do not show as equal
    assert open_part(key, sealed, context) == (part, commit)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_contexts_of_different_names_never_coincide(one: list[str], other: list[str]) -> None:
    assert (context_of(*one) == context_of(*other)) == (one == other)


def test_a_ciphertext_does_not_open_elsewhere_or_changed() -> None:
    key = bytes(32)
    sealed = encrypt(key, b"x", b"here")
    with pytest.raises(ContentUnavailable):
        decrypt(key, sealed, b"there")
    with pytest.raises(ContentUnavailable):
        decrypt(bytes(31) + b"\x01", sealed, b"here")
    for at in range(len(sealed)):
        with pytest.raises(ContentUnavailable):
            decrypt(key, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], b"here")
    with pytest.raises(ContentUnavailable):
        decrypt(key, b"", b"here")


def test_content_never_stands_in_the_files_in_the_clear(paths: WorkspacePaths, store: SqliteContentStore) -> None:
    put(store, "acme", "req_1", prompt=SECRET)
    for file in paths.state.rglob("*"):
        assert not file.is_file() or SECRET not in file.read_bytes()


def test_another_tenant_gets_nothing_even_with_the_identifier(store: SqliteContentStore) -> None:
    identifier, _ = put(store, "acme", "req_1", prompt=SECRET)["prompt"]
    put(store, "globex", "req_2", prompt=b"other")
    with pytest.raises(ContentUnavailable):
        store.get("globex", identifier)
    assert store.delete("globex", "req_1") == 0


def test_a_row_moved_to_another_tenant_or_event_does_not_open(paths: WorkspacePaths, store: SqliteContentStore) -> None:
    identifier, _ = put(store, "acme", "req_1", prompt=SECRET)["prompt"]
    put(store, "globex", "req_2", prompt=b"other")
    with sqlite3.connect(paths.content_db) as database:
        database.execute("DELETE FROM part WHERE tenant = 'globex'")
    for change in ("tenant = 'globex'", "tenant = 'acme', event_id = 'req_9'", "event_id = 'req_1', name = 'answer'"):
        with sqlite3.connect(paths.content_db) as database:
            database.execute(f"UPDATE part SET {change}")  # noqa: S608 - our own words
        for tenant in ("acme", "globex"):
            with pytest.raises(ContentUnavailable):
                store.get(tenant, identifier)


def test_deleted_parts_are_gone_from_the_file_too(paths: WorkspacePaths, store: SqliteContentStore) -> None:
    identifier, _ = put(store, "acme", "req_1", prompt=SECRET, answer=b"a")["prompt"]
    other, commit = put(store, "acme", "req_2", prompt=b"stays")["prompt"]
    with sqlite3.connect(paths.content_db) as database:
        (sealed,) = database.execute("SELECT sealed FROM part WHERE id = ?", (identifier,)).fetchone()
    assert store.delete("acme", "req_1") == 2
    with pytest.raises(ContentUnavailable, match="deleted"):
        store.get("acme", identifier)
    assert store.get("acme", other) == (b"stays", commit)
    for file in paths.state.glob("content.db*"):
        assert sealed not in file.read_bytes()


def test_retention_deletes_by_age(store: SqliteContentStore) -> None:
    identifier, _ = put(store, "acme", "req_1", prompt=SECRET)["prompt"]
    assert store.purge(before_ms=1) == 0
    assert store.purge(before_ms=1 << 60) == 1
    with pytest.raises(ContentUnavailable):
        store.get("acme", identifier)


def test_destroying_a_tenants_key_reaches_copies_and_leaves_others(
    paths: WorkspacePaths, store: SqliteContentStore
) -> None:
    gone, _ = put(store, "acme", "req_1", prompt=SECRET)["prompt"]
    stays, _ = put(store, "globex", "req_2", prompt=b"other")["prompt"]
    with sqlite3.connect(paths.content_keys_db) as database:
        (wrapped,) = database.execute("SELECT wrapped FROM data_key WHERE tenant = 'acme'").fetchone()
    assert store.shred("acme")
    assert not store.shred("acme")
    with pytest.raises(ContentUnavailable, match="destroyed"):
        store.get("acme", gone)
    assert store.get("globex", stays)[0] == b"other"
    for file in paths.state.glob("content-keys.db*"):
        assert wrapped not in file.read_bytes()
    again, _ = put(store, "acme", "req_3", prompt=b"new")["prompt"]  # a new key for new content
    assert store.get("acme", again)[0] == b"new"
    with pytest.raises(ContentUnavailable):
        store.get("acme", gone)


def test_two_processes_that_meet_a_new_tenant_use_one_key(paths: WorkspacePaths) -> None:
    stores = [open_content_store(paths) for _ in range(4)]

    async def race() -> list[dict[str, tuple[str, str]]]:
        return await asyncio.gather(*(store.put("acme", f"req_{n}", {"p": b"x"}) for n, store in enumerate(stores)))

    for kept in asyncio.run(race()):
        assert stores[0].get("acme", kept["p"][0])[0] == b"x"


def test_the_root_key_is_private_and_checked(paths: WorkspacePaths) -> None:
    open_content_store(paths).close()
    path = paths.secrets / "content-root.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ContentUnavailable, match="0600"):
        open_content_store(paths)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ContentUnavailable, match="32 bytes"):
        open_content_store(paths)


def test_a_store_out_of_reach_is_reported(paths: WorkspacePaths) -> None:
    paths.content_db.mkdir()
    with pytest.raises(ContentUnavailable, match="cannot be"):
        open_content_store(paths)


def label(subject: str, *residual: str) -> PartLabel:
    return PartLabel(subject, "assistant", "assistance", ("personal",), residual)


def put_of(store: SqliteContentStore, subject: str, event: str, *residual: str, **parts: bytes) -> dict[str, str]:
    kept = asyncio.run(store.put("acme", event, parts, label(subject, *residual)))
    return {name: identifier for name, (identifier, _) in kept.items()}


def test_a_destroyed_subject_key_takes_its_parts_and_no_others(store: SqliteContentStore) -> None:
    ada = put_of(store, "end_user:ada", "req_1", "system", prompt=SECRET, system=b"house rules")
    bob = put_of(store, "end_user:bob", "req_2", prompt=b"bob")
    assert store.owners() == [("acme", "end_user:ada"), ("acme", "end_user:bob")]
    assert store.keys.destroy("acme", "end_user:ada")
    with pytest.raises(ContentUnavailable, match="destroyed"):
        store.get("acme", ada["prompt"])
    assert store.get("acme", ada["system"])[0] == b"house rules"
    assert store.get("acme", bob["prompt"])[0] == b"bob"
    assert store.delete_subject("acme", "end_user:ada") == 1
    assert store.owners() == [("acme", "end_user:bob")]


def test_a_part_relabelled_to_another_subject_does_not_open(paths: WorkspacePaths, store: SqliteContentStore) -> None:
    part = put_of(store, "end_user:ada", "req_1", prompt=SECRET)["prompt"]
    put_of(store, "end_user:bob", "req_2", prompt=b"bob")
    for subject in ("end_user:bob", "end_user:nobody", ""):
        with sqlite3.connect(paths.content_db) as database:
            database.execute("UPDATE part SET subject = ? WHERE id = ?", (subject, part))
        with pytest.raises(ContentUnavailable):
            store.get("acme", part)


def test_weekly_rotation_keeps_content_and_destroys_the_epoch_before_the_last(
    paths: WorkspacePaths, store: SqliteContentStore
) -> None:
    part = put_of(store, "end_user:ada", "req_1", prompt=SECRET)["prompt"]
    shutil.copy(paths.content_keys_db, paths.state / "stolen-keys.db")
    first = store.keys.oldest_epoch()
    assert first is not None
    assert store.keys.rotate(first * EPOCH_MS) == Rotation(first, 0, 0)
    assert store.keys.rotate((first + 1) * EPOCH_MS) == Rotation(first + 1, 1, 0)
    assert store.keys.rotate((first + 2) * EPOCH_MS) == Rotation(first + 2, 1, 1)
    assert store.keys.oldest_epoch() == first + 1
    assert store.get("acme", part)[0] == SECRET
    with sqlite3.connect(paths.state / "stolen-keys.db") as database:
        (stolen,) = database.execute("SELECT wrapped FROM epoch_key").fetchone()
    for file in paths.state.glob("content-keys.db*"):
        assert stolen not in file.read_bytes()


def test_rotation_does_not_bring_a_destroyed_key_back(store: SqliteContentStore) -> None:
    part = put_of(store, "end_user:ada", "req_1", prompt=SECRET)["prompt"]
    first = store.keys.oldest_epoch()
    assert first is not None
    store.keys.destroy("acme", "end_user:ada")
    store.keys.rotate((first + 1) * EPOCH_MS)
    with pytest.raises(ContentUnavailable, match="destroyed"):
        store.get("acme", part)


def test_a_store_of_the_first_version_opens_with_its_content(paths: WorkspacePaths) -> None:
    key, context = os.urandom(32), context_of("acme", "req_1", "prompt")
    root = FileKeyWrapper(paths.secrets / "content-root.key")
    sealed, commit = seal_part(key, SECRET, context)
    with sqlite3.connect(paths.content_db) as database:
        database.execute("CREATE TABLE part (id PRIMARY KEY, tenant, event_id, name, stored_ms BIGINT, sealed BLOB)")
        database.execute("INSERT INTO part VALUES ('part_1', 'acme', 'req_1', 'prompt', 5, ?)", (sealed,))
    wrapped = root.wrap(key, context_of("greffier content key", "acme"))
    with sqlite3.connect(paths.content_keys_db) as database:
        database.execute("CREATE TABLE tenant_key (tenant PRIMARY KEY, created_ms BIGINT, wrapped BLOB)")
        database.execute("INSERT INTO tenant_key VALUES ('acme', 5, ?)", (wrapped,))
    store = open_content_store(paths)
    assert store.get("acme", "part_1") == (SECRET, commit)
    assert wrapped not in paths.content_keys_db.read_bytes()


def test_the_mark_of_erasures_never_goes_back(store: SqliteContentStore) -> None:
    assert store.applied() == 0
    store.mark_applied(3)
    store.mark_applied(2)
    assert store.applied() == 3
