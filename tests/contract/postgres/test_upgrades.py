"""``db upgrade`` from every older schema, with data in it, while a gateway of the older version goes on writing."""

import asyncio

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from greffier.audit.settings import AuditSettings
from greffier.core.events import parse
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.storage.postgres.schema import REVISIONS, check, upgrade
from greffier.testing.contracts.journal import make_admission
from greffier.testing.postgres_server import PostgresServer

PATIENT = AuditSettings(append_timeout_ms=60_000)
DATA = {  # what a table may hold before the upgrade: kept word for word
    "0002": "INSERT INTO spend VALUES (20000, 'acme', 'key_1', 'assistant', 'model', 42)",
    "0003": "INSERT INTO part (id, tenant, event_id, name, stored_ms, sealed) VALUES ('p', 'acme', 'e', 'n', 1, 'x')",
    "0004": "INSERT INTO privacy_ledger (tenant, subject, purpose, kind, active, at_ms, actor, channel, text_version, "
    "proof, reason, origin) VALUES ('acme', 'ref', '', 'objection', 1, 1, 'os:ann', '', '', '', '', '')",
    "0005": "INSERT INTO incident SELECT 'inc_1', 1, 1, 'os:ann', '{}'",
}


def older(server: PostgresServer, revision: str) -> str:
    """A database as the version with that schema left it: its tables, its rights."""
    name = server.database()
    owner = Database(server.url(name))
    configuration = Config()
    configuration.set_main_option("script_location", "greffier:storage/migrations")
    engine = owner.engine(statement_timeout_ms=60_000)
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)
        connection.commit()
    engine.dispose()
    with psycopg.connect(server.url(name), autocommit=True) as connection_:
        connection_.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO gateway")
        connection_.execute("GRANT EXECUTE ON FUNCTION journal_append TO gateway")
    return name


def contents(server: PostgresServer, name: str) -> dict[str, list[str]]:
    """Every row of every table but the journal's, as text."""
    with psycopg.connect(server.url(name)) as connection:
        names = connection.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND relname NOT LIKE 'event%' AND relname NOT LIKE 'journal%' AND relname <> 'alembic_version'"
        ).fetchall()
        return {
            table: [str(row[0]) for row in connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode())]  # noqa: S608
            for (table,) in names
        }


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_an_upgrade_keeps_all_data_and_every_event_written_meanwhile(
    server: PostgresServer, revision: str
) -> None:
    name = older(server, revision)
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        for since, statement in DATA.items():
            if since <= revision:
                connection.execute(statement.encode())
    before = contents(server, name)
    gateway = Database(server.url(name, "gateway"))
    journal = PostgresJournal(gateway, PATIENT)
    written = [make_admission() for _ in range(20)]
    for event in written:
        await journal.append(event)
    stop = asyncio.Event()

    async def write_on() -> None:
        while not stop.is_set():
            event = make_admission()
            await journal.append(event)
            written.append(event)

    writers = [asyncio.create_task(write_on()) for _ in range(3)]
    result = await asyncio.to_thread(upgrade, Database(server.url(name)), "gateway")
    assert result == (revision, REVISIONS[-1])
    await journal.append(make_admission())
    stop.set()
    await asyncio.gather(*writers)
    await journal.close()
    check(gateway)
    after = contents(server, name)
    assert {table: after[table] for table in before} == before
    reader = PostgresJournalReader(gateway)
    rows = list(reader.scan())
    reader.close()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert {event.id for event in written} <= {parse(row.data).id for row in rows}
    with (
        psycopg.connect(server.url(name, "gateway")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM event")
