from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.config.paths import WorkspacePaths
from greffier.storage.content import SqlContentStore, open_content_store
from greffier.testing.contracts.content_store import ContentStoreContract


class TestSqliteContentStore(ContentStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlContentStore]:
        paths = WorkspacePaths(tmp_path)
        paths.ensure()
        opened = open_content_store(paths)
        yield opened
        opened.close()
