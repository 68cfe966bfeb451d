# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every `KeyStore` must do. Subclass `KeyStoreContract` and give it a ``store`` fixture."""

import random
import secrets
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from greffier.identity.keys import KeyRecord, digest_of, issue_key, issue_successor
from greffier.identity.ports import KeyConflict, KeyNotFound, KeyStore

NOW = 1_800_000_000_000
DAY = 86_400_000


def a_key(tenant: str = "acme", **changes: object) -> KeyRecord:
    """A record with every field set to something that could be lost on the way."""
    issued = issue_key(
        tenant=tenant,
        use_case="claims",
        created_ms=NOW,
        expires_ms=NOW + 90 * DAY,
        principal_type="agent",
        groups=("analysts", "größe/ä"),
        roles=("reader",),
        purpose="claims-handling",
        attributes={"department": "claims", "quote": "'\"; DROP TABLE api_keys; --"},
        label="nightly <b>batch</b>",
    )
    return msgspec.structs.replace(issued.record, **changes)


class KeyStoreContract:
    """Run with ``class TestMyStore(KeyStoreContract)`` and a fixture ``store`` that yields an empty store."""

    def test_a_new_store_is_empty(self, store: KeyStore) -> None:
        assert store.list() == ()
        assert store.changes().records == ()

    def test_keeps_every_field(self, store: KeyStore) -> None:
        record = a_key()
        store.create(record)
        assert store.get(record.id) == record
        assert store.list() == (record,)
        assert store.changes().records == (record,)

    def test_refuses_a_second_key_with_the_same_id_or_digest(self, store: KeyStore) -> None:
        record = a_key()
        store.create(record)
        before = store.generation()
        for twin in (a_key(id=record.id), a_key(digest=record.digest)):
            with pytest.raises(KeyConflict):
                store.create(twin)
        assert store.list() == (record,)
        assert store.generation() == before, "a refused change is not a change"

    def test_lists_one_tenant_only(self, store: KeyStore) -> None:
        ours, theirs = a_key("acme"), a_key("globex")
        store.create(ours)
        store.create(theirs)
        assert store.list("acme") == (ours,)
        assert store.list("globex") == (theirs,)
        assert store.list("acm") == ()
        assert {record.id for record in store.list()} == {ours.id, theirs.id}

    def test_revokes_once_and_for_good(self, store: KeyStore) -> None:
        record = a_key()
        store.create(record)
        revoked = store.revoke(record.id, at_ms=NOW + 5, reason="leaked")
        assert revoked == msgspec.structs.replace(record, revoked_ms=NOW + 5, revoked_reason="leaked")
        assert store.get(record.id) == revoked
        with pytest.raises(KeyConflict):
            store.revoke(record.id, at_ms=NOW + 9, reason="again")
        assert store.get(record.id) == revoked

    def test_rotation_adds_the_successor_and_shortens_the_old_key(self, store: KeyStore) -> None:
        old = a_key()
        store.create(old)
        successor = issue_successor(old, created_ms=NOW + 10, expires_ms=NOW + 90 * DAY).record
        retired = store.rotate(old.id, successor, NOW + DAY)
        assert retired.expires_ms == NOW + DAY
        assert retired.successor == successor.id
        assert store.get(old.id) == retired
        assert store.get(successor.id) == successor
        assert successor.family == old.id

    def test_rotation_never_lengthens_a_life(self, store: KeyStore) -> None:
        old = a_key(expires_ms=NOW + 1_000)
        store.create(old)
        successor = issue_successor(old, created_ms=NOW, expires_ms=NOW + DAY).record
        assert store.rotate(old.id, successor, NOW + DAY).expires_ms == NOW + 1_000

    @pytest.mark.parametrize("state", ["revoked", "expired", "rotated"])
    def test_only_an_active_key_is_rotated(self, store: KeyStore, state: str) -> None:
        old = a_key(expires_ms=NOW - 1) if state == "expired" else a_key()
        store.create(old)
        if state == "revoked":
            store.revoke(old.id, at_ms=NOW, reason="")
        if state == "rotated":
            store.rotate(old.id, issue_successor(old, created_ms=NOW, expires_ms=NOW + DAY).record, NOW + DAY)
        before = store.changes()
        with pytest.raises(KeyConflict):
            store.rotate(old.id, issue_successor(old, created_ms=NOW, expires_ms=NOW + DAY).record, NOW + DAY)
        assert store.changes() == before, "a refused rotation leaves nothing behind"

    def test_unknown_ids_are_named(self, store: KeyStore) -> None:
        stranger = a_key()
        with pytest.raises(KeyNotFound):
            store.get("0" * 12)
        with pytest.raises(KeyNotFound):
            store.revoke("' OR 1=1 --", at_ms=NOW, reason="")
        with pytest.raises(KeyNotFound):
            store.rotate("0" * 12, stranger, NOW)
        assert store.list() == ()

    def test_every_change_raises_the_generation_and_is_delivered(self, store: KeyStore) -> None:
        first, second = a_key(), a_key()
        start = store.generation()
        store.create(first)
        after_first = store.generation()
        store.create(second)
        after_second = store.generation()
        store.revoke(first.id, at_ms=NOW, reason="")
        after_revoke = store.generation()

        numbers = [state.number for state in (start, after_first, after_second, after_revoke)]
        assert numbers == sorted(set(numbers))
        assert len({start.store, after_revoke.store}) == 1
        assert {record.id for record in store.changes(after_first.number).records} == {first.id, second.id}
        assert [record.id for record in store.changes(after_second.number).records] == [first.id]
        assert store.changes(after_revoke.number).records == ()
        assert store.changes(after_revoke.number).generation == after_revoke

    def test_following_changes_equals_reading_everything(self, store: KeyStore) -> None:
        """Any mix of acts, looked at whenever: whoever applies the changes knows what a new reader would read."""
        chance = random.Random(20261124)  # noqa: S311 - a fixed sequence of acts, no secret
        followed: dict[str, KeyRecord] = {}
        reached = 0
        for step in range(60):
            everything = store.list()
            act = chance.choice(("create", "rotate", "revoke"))
            try:
                if act == "create" or not everything:
                    store.create(a_key(chance.choice(("acme", "globex"))))
                elif act == "rotate":
                    old = chance.choice(everything)
                    new = issue_successor(old, created_ms=NOW + step, expires_ms=NOW + chance.randrange(DAY)).record
                    store.rotate(old.id, new, NOW + chance.randrange(DAY))
                else:
                    store.revoke(chance.choice(everything).id, at_ms=NOW + step, reason=str(step))
            except KeyConflict:
                pass
            if chance.random() < 0.3:  # noqa: PLR2004 - look every third time or so
                changes = store.changes(reached)
                reached = changes.generation.number
                followed.update((record.id, record) for record in changes.records)
        followed.update((record.id, record) for record in store.changes(reached).records)
        assert followed == {record.id: record for record in store.list()}
        assert followed == {record.id: record for record in store.changes().records}

    def test_concurrent_rotations_leave_one_successor(self, store: KeyStore) -> None:
        old = a_key()
        store.create(old)
        candidates = [issue_successor(old, created_ms=NOW, expires_ms=NOW + DAY).record for _ in range(4)]

        def rotate(successor: KeyRecord) -> str:
            try:
                return store.rotate(old.id, successor, NOW + DAY).successor
            except KeyConflict:
                return ""

        with ThreadPoolExecutor(len(candidates)) as pool:
            winners = [winner for winner in pool.map(rotate, candidates) if winner]
        assert len(winners) == 1
        assert {record.id for record in store.list()} == {old.id, winners[0]}

    def test_concurrent_creations_are_all_delivered_to_a_follower(self, store: KeyStore) -> None:
        records = [a_key(digest=digest_of(secrets.token_hex(16))) for _ in range(12)]
        seen: set[str] = set()
        reached = 0
        with ThreadPoolExecutor(4) as pool:
            pending = [pool.submit(store.create, record) for record in records]
            while not all(future.done() for future in pending):
                changes = store.changes(reached)
                reached = changes.generation.number
                seen.update(record.id for record in changes.records)
            for future in pending:
                future.result()
        seen.update(record.id for record in store.changes(reached).records)
        assert seen == {record.id for record in records}
