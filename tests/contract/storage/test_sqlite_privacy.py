from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.config.paths import WorkspacePaths
from greffier.storage.privacy_db import PrivacyDatabase, open_privacy
from greffier.testing.contracts.privacy_database import PrivacyDatabaseContract


class TestSqlitePrivacyDatabase(PrivacyDatabaseContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[PrivacyDatabase]:
        opened = open_privacy(WorkspacePaths(tmp_path))
        yield opened
        opened.close()
