# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every content store must do. Subclass `ContentStoreContract` and give it a ``store`` fixture: an empty one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from greffier.audit.ports import ContentUnavailable, PartLabel
from greffier.storage.content import SqlContentStore
from greffier.storage.content_keys import EPOCH_MS

SECRET = b"Mrs Planted lives in Canary Street"


def put(store: SqlContentStore, event: str, subject: str = "", tenant: str = "acme", **parts: bytes) -> dict[str, str]:
    """Store parts; return their ids by name."""
    label = PartLabel(subject=subject, use_case="claims", purpose="claims-handling")
    kept = asyncio.run(store.put(tenant, event, parts, label))
    return {name: identifier for name, (identifier, _) in kept.items()}


class ContentStoreContract:
    """Run with ``class TestMyStore(ContentStoreContract)`` and a fixture ``store``."""

    def test_parts_come_back_with_their_commitment(self, store: SqlContentStore) -> None:
        kept = asyncio.run(store.put("acme", "req_1", {"prompt": SECRET, "answer": b""}))
        for name, part in (("prompt", SECRET), ("answer", b"")):
            identifier, commit = kept[name]
            assert store.get("acme", identifier) == (part, commit)

    def test_another_tenant_gets_nothing(self, store: SqlContentStore) -> None:
        identifier = put(store, "req_1", prompt=SECRET)["prompt"]
        put(store, "req_2", tenant="globex", prompt=b"other")
        with pytest.raises(ContentUnavailable):
            store.get("globex", identifier)
        assert [part.tenant for part in store.of_tenant("globex")] == ["globex"]

    def test_deleted_parts_are_gone_and_others_stay(self, store: SqlContentStore) -> None:
        gone, kept = (put(store, event, prompt=SECRET)["prompt"] for event in ("req_1", "req_2"))
        assert store.delete("acme", "req_1") == 1
        with pytest.raises(ContentUnavailable):
            store.get("acme", gone)
        assert store.get("acme", kept)[0] == SECRET
        assert store.purge(1 << 62) == 1
        assert store.of_tenant("acme") == []

    def test_a_destroyed_subject_key_takes_its_parts_and_no_others(self, store: SqlContentStore) -> None:
        ada = put(store, "req_1", "ref:ada", prompt=SECRET)["prompt"]
        bob = put(store, "req_2", "ref:bob", prompt=b"hers")["prompt"]
        assert store.owners() == [("acme", "ref:ada"), ("acme", "ref:bob")]
        assert store.keys.destroy("acme", "ref:ada")
        with pytest.raises(ContentUnavailable, match="destroyed"):
            store.get("acme", ada)
        assert store.get("acme", bob)[0] == b"hers"
        assert not store.keys.destroy("acme", "ref:ada")
        assert store.delete_subject("acme", "ref:ada") == 1

    def test_keys_are_wrapped_anew_each_week(self, store: SqlContentStore) -> None:
        identifier = put(store, "req_1", "ref:ada", prompt=SECRET)["prompt"]
        first = store.keys.oldest_epoch()
        assert first is not None
        done = store.keys.rotate((first + 3) * EPOCH_MS)
        assert (done.rewrapped, done.destroyed) == (1, 1)
        assert store.get("acme", identifier)[0] == SECRET
        assert store.shred("acme")
        with pytest.raises(ContentUnavailable):
            store.get("acme", identifier)

    def test_the_mark_of_erasures_never_goes_back(self, store: SqlContentStore) -> None:
        assert store.applied() == 0
        for number in (3, 1, 7, 7, 2):
            store.mark_applied(number)
        assert store.applied() == 7  # noqa: PLR2004 - the highest of them

    def test_many_who_need_the_same_new_key_make_one(self, store: SqlContentStore) -> None:
        with ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda number: put(store, f"req_{number}", "ref:ada", prompt=SECRET), range(8)))
        assert [store.get("acme", ids["prompt"])[0] for ids in stored] == [SECRET] * 8
