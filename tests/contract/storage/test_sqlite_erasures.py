from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.storage.erasures import SqliteErasureLedger
from greffier.testing.contracts.erasure_ledger import ErasureLedgerContract


class TestSqliteErasureLedger(ErasureLedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[SqliteErasureLedger]:
        opened = SqliteErasureLedger(tmp_path / "erasures.db")
        yield opened
        opened.close()
