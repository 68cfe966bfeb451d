from pathlib import Path

import pytest

from greffier.audit.settings import AuditSettings
from greffier.storage.journal import SqliteJournal, SqliteJournalReader
from greffier.testing.contracts.journal import JournalContract, JournalPlace


class SqlitePlace:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"

    def journal(self, *, append_timeout_ms: int = 2000) -> SqliteJournal:
        return SqliteJournal(self.path, AuditSettings(append_timeout_ms=append_timeout_ms))

    def reader(self) -> SqliteJournalReader:
        return SqliteJournalReader(self.path)


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> JournalPlace:
        return SqlitePlace(tmp_path)
