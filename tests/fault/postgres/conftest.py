from collections.abc import Iterator

import pytest

from greffier.storage.postgres.database import Database
from greffier.storage.postgres.schema import upgrade
from greffier.testing.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    yield from running_postgres()


@pytest.fixture(scope="session")
def migrated(server: PostgresServer) -> str:
    """A database with the schema, to be copied: faster than a migration per test."""
    made = server.database()
    upgrade(Database(server.url(made)), "gateway")
    return made


@pytest.fixture
def name(server: PostgresServer, migrated: str) -> str:
    return server.database(template=migrated)


@pytest.fixture
def gateway(server: PostgresServer, name: str) -> Database:
    return Database(server.url(name, "gateway"))


@pytest.fixture
def owner(server: PostgresServer, name: str) -> Database:
    return Database(server.url(name))
