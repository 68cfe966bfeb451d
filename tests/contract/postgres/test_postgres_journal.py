from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from greffier.audit.settings import AuditSettings
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.testing.contracts.journal import JournalContract, JournalPlace, make_admission


class PostgresPlace:
    def __init__(self, database: Database, spools: Path) -> None:
        self._database = database
        self._spools = spools
        self._readers: list[PostgresJournalReader] = []

    def journal(self, *, append_timeout_ms: int = 2000) -> PostgresJournal:
        settings = AuditSettings(append_timeout_ms=append_timeout_ms)
        return PostgresJournal(self._database, settings, self._spools)

    def reader(self) -> PostgresJournalReader:
        reader = PostgresJournalReader(self._database)
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


@pytest.fixture
def place(gateway: Database, tmp_path: Path) -> Iterator[PostgresPlace]:
    made = PostgresPlace(gateway, tmp_path)
    yield made
    made.close()


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    def place(self, place: PostgresPlace) -> JournalPlace:
        return place


FORBIDDEN = (
    "UPDATE event SET data = ''",
    "DELETE FROM event",
    "TRUNCATE event",
    "INSERT INTO event VALUES (current_date, 99, 'x', 1, '', 'act', '', '')",
    "UPDATE journal_head SET seq = 0",
    "UPDATE journal_writer SET number = 0",
    "DELETE FROM journal_day",
    "ALTER TABLE event ADD COLUMN x integer",
    "DROP TABLE event",
    "DROP FUNCTION journal_append",
    "UPDATE alembic_version SET version_num = '9999'",
    "SELECT setval('x', 1)",
    "SET ROLE owner",
    "CREATE TABLE mine (x integer)",
    "DELETE FROM {partition}",
    "SELECT * FROM {partition}",
    "DROP TABLE {partition}",
)


async def test_the_gateways_role_can_add_and_nothing_else(place: PostgresPlace, gateway: Database) -> None:
    journal = place.journal()
    await journal.append(make_admission())
    await journal.close()
    with gateway.connect(statement_timeout_ms=5000, autocommit=True) as connection:
        row = connection.execute("SELECT tableoid::regclass::text FROM event").fetchone()
        assert row is not None
        for statement in FORBIDDEN:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)):
                connection.execute(statement.format(partition=row[0]).encode())
    assert place.reader().size() == 1
    assert len(place.reader().read(1, 10)) == 1


async def test_a_temporary_table_of_the_role_does_not_divert_the_function(
    place: PostgresPlace, gateway: Database
) -> None:
    with gateway.connect(statement_timeout_ms=5000, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE journal_head (id integer, seq bigint, day date)")
        connection.execute("INSERT INTO journal_head VALUES (1, 1000, '2099-01-01')")
        row = connection.execute(
            "SELECT journal_append('w', '{1}', '{e}', '{1}', '{t}', '{act}', '{r}', ARRAY['x'::bytea])"
        ).fetchone()
    assert row == (1,)
