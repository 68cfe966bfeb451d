from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.storage.incidents import SqliteIncidents
from greffier.testing.contracts.incidents import IncidentsContract


class TestSqliteIncidents(IncidentsContract):
    @pytest.fixture
    def register(self, tmp_path: Path) -> Iterator[SqliteIncidents]:
        opened = SqliteIncidents(tmp_path / "incidents.db")
        yield opened
        opened.close()
