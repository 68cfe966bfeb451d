from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.storage.keys import SqliteKeyStore
from greffier.storage.reviews import SqliteReviewStore
from greffier.testing.contracts.review_store import ReviewStoreContract, approve


class TestSqliteReviewStore(ReviewStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteReviewStore]:
        opened = SqliteReviewStore(tmp_path / "state.db")
        yield opened
        opened.close()

    def test_reviews_and_keys_share_a_file(self, store: SqliteReviewStore, tmp_path: Path) -> None:
        keys = SqliteKeyStore(tmp_path / "state.db")
        approve(store)
        assert keys.list() == ()
        keys.close()
