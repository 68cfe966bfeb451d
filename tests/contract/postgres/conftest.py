import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.app.sealing import make_sealer
from greffier.app.stores import open_journal, open_reader
from greffier.audit.settings import AuditSettings
from greffier.cli.main import app
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.schema import upgrade
from greffier.testing.contracts.journal import make_admission
from greffier.testing.postgres_server import PostgresServer, running_postgres

STORAGE = "storage: {url: 'env:GATEWAY_URL', admin_url: 'env:OWNER_URL'}\n"


class Depot:
    """A workspace, and the commands and the journal on it."""

    def __init__(self, folder: Path) -> None:
        self.paths = WorkspacePaths(folder)
        self.paths.ensure()

    def run(self, *command: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [*command, "--workspace", str(self.paths.root), "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    def append(self, count: int) -> None:
        async def append() -> None:
            journal = open_journal(self.paths, AuditSettings())
            now = SystemClock().wall_ms()
            await asyncio.gather(*(journal.append(make_admission(ts=now)) for _ in range(count)))
            await journal.close()

        asyncio.run(append())

    def seal(self) -> None:
        sealer = make_sealer(self.paths, AuditSettings())
        sealer.seal_once()
        sealer.close()

    def size(self) -> int:
        reader = open_reader(self.paths)
        size = reader.size()
        reader.close()
        return size


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


@pytest.fixture
def point(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the workspace's references mean a database."""

    def to(name: str) -> None:
        monkeypatch.setenv("GATEWAY_URL", server.url(name, "gateway"))
        monkeypatch.setenv("OWNER_URL", server.url(name))

    return to
