from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.storage.spend import SqliteSpendBook
from greffier.testing.contracts.spend_book import SpendBookContract


class TestSqliteSpendBook(SpendBookContract):
    @pytest.fixture
    def book(self, tmp_path: Path) -> Iterator[SqliteSpendBook]:
        opened = SqliteSpendBook(tmp_path / "spend.db")
        yield opened
        opened.close()
