"""Keys and spend on PostgreSQL keep the contracts of SQLite, and the gateway's role keeps its place."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.content import SqlContentStore
from greffier.storage.content_keys import ContentKeys
from greffier.storage.content_root import FileKeyWrapper
from greffier.storage.incidents import SqlIncidents
from greffier.storage.keys import SqlKeyStore
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.leader import PostgresLeader, number_of
from greffier.storage.privacy_db import PrivacyDatabase
from greffier.storage.reviews import SqlReviewStore
from greffier.storage.spend import SpendUnavailable, SqlSpendBook
from greffier.testing.contracts.content_store import ContentStoreContract
from greffier.testing.contracts.incidents import IncidentsContract
from greffier.testing.contracts.key_store import NOW, KeyStoreContract, a_key
from greffier.testing.contracts.privacy_database import PrivacyDatabaseContract
from greffier.testing.contracts.review_store import ReviewStoreContract
from greffier.testing.contracts.spend_book import SpendBookContract
from greffier.testing.postgres_server import PostgresServer


@pytest.fixture
def store(gateway: Database) -> Iterator[SqlKeyStore]:
    opened = SqlKeyStore(gateway.engine())
    yield opened
    opened.close()


@pytest.fixture
def book(gateway: Database) -> Iterator[SqlSpendBook]:
    opened = SqlSpendBook(gateway.engine())
    yield opened
    opened.close()


class TestPostgresKeyStore(KeyStoreContract):
    pass


class TestPostgresSpendBook(SpendBookContract):
    pass


class TestPostgresContentStore(ContentStoreContract):
    @pytest.fixture
    def store(self, gateway: Database, tmp_path: Path) -> Iterator[SqlContentStore]:
        keys = ContentKeys(gateway.engine(), FileKeyWrapper(tmp_path / "root.key"))
        opened = SqlContentStore(gateway.engine(), keys)
        yield opened
        opened.close()


class TestPostgresPrivacyDatabase(PrivacyDatabaseContract):
    @pytest.fixture
    def database(self, gateway: Database) -> Iterator[PrivacyDatabase]:
        opened = PrivacyDatabase(gateway.engine())
        yield opened
        opened.close()


class TestPostgresIncidents(IncidentsContract):
    @pytest.fixture
    def register(self, gateway: Database) -> Iterator[SqlIncidents]:
        opened = SqlIncidents(gateway.engine())
        yield opened
        opened.close()


class TestPostgresReviewStore(ReviewStoreContract):
    @pytest.fixture
    def store(self, gateway: Database) -> Iterator[SqlReviewStore]:
        opened = SqlReviewStore(gateway.engine())
        yield opened
        opened.close()


def test_the_gateways_role_deletes_no_key_and_no_sum(gateway: Database) -> None:
    with gateway.connect(statement_timeout_ms=5000, autocommit=True) as connection:
        for statement in (
            b"DELETE FROM api_keys",
            b"TRUNCATE api_keys",
            b"DELETE FROM api_key_store",
            b"DELETE FROM spend",
            b"DELETE FROM spend_cursor",
            b"DELETE FROM privacy_ledger",
            b"UPDATE privacy_ledger SET active = 0",
            b"DELETE FROM legal_hold",
            b"DELETE FROM reveal_request",
            b"DELETE FROM review",
            b"DELETE FROM sink_progress",
            b"DELETE FROM sink_rejected",
            b"DELETE FROM tombstone",
            b"UPDATE review SET deadline_ms = 9",
            b"DELETE FROM incident",
            b"UPDATE incident SET data = '{}'",
            b"ALTER TABLE privacy_ledger DISABLE TRIGGER ALL",
            b"ALTER TABLE api_keys ADD COLUMN x integer",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_forgotten_key_keeps_its_id_and_loses_its_holder(store: SqlKeyStore) -> None:
    record = a_key()
    store.create(record)
    store.forget(record.id, at_ms=NOW)
    left = store.get(record.id)
    assert (left.digest, left.label, left.groups, left.attributes, left.revoked_ms) == (record.digest, "", (), {}, NOW)


def test_cut_connections_are_replaced_unseen(
    server: PostgresServer, name: str, store: SqlKeyStore, book: SqlSpendBook
) -> None:
    store.generation()
    book.cursor()
    with psycopg.connect(server.url(name), autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
    assert store.list() == ()
    assert book.cursor() is None


def test_a_database_out_of_reach_is_an_outage_and_says_no_address() -> None:
    nowhere = Database("postgresql://gateway:s3cret@127.0.0.1:1/none")
    with pytest.raises(KeyStoreUnavailable) as keys:
        SqlKeyStore(nowhere.engine()).list()
    with pytest.raises(SpendUnavailable) as spend:
        SqlSpendBook(nowhere.engine()).cursor()
    assert "s3cret" not in str(keys.value) + str(spend.value) + repr(nowhere)


def test_each_task_has_a_leader_of_its_own(gateway: Database) -> None:
    tasks = [number_of(name) for name in ("task retention", "task notices", "sink siem", "sink archive")]
    leaders = [PostgresLeader(gateway), *(PostgresLeader(gateway, task) for task in tasks)]
    others = [PostgresLeader(gateway), *(PostgresLeader(gateway, task) for task in tasks)]
    assert [leader.leads() for leader in leaders] == [True] * 5
    assert [leader.leads() for leader in others] == [False] * 5
    for leader in (*leaders, *others):
        leader.close()


def test_one_of_many_leads_and_another_takes_over_when_its_connection_ends(
    server: PostgresServer, name: str, gateway: Database
) -> None:
    first, second = PostgresLeader(gateway), PostgresLeader(gateway)
    assert first.leads()
    assert not second.leads()
    assert first.leads()
    with psycopg.connect(server.url(name), autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
    assert second.leads()
    assert not first.leads(), "it notices that it lost the lock before it works again"
    second.close()
    assert first.leads()
    first.close()
    assert not PostgresLeader(Database("postgresql://gateway@127.0.0.1:1/none")).leads()
