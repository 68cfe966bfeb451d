# ruff: noqa: D102, PLR2004, S101 - a test is named after what it proves, and pytest asserts
"""What every book of spend must do. Subclass `SpendBookContract` and give it a ``book`` fixture: an empty one."""

from concurrent.futures import ThreadPoolExecutor

from greffier.limits.service import SpendEntry
from greffier.storage.spend import Account, SqlSpendBook

TODAY = 20_000
DAY_MS = 86_400_000


def account(day: int = TODAY, use_case: str = "claims") -> Account:
    """Whom money is counted against."""
    return Account(day, "acme", "key:1", use_case, "small")


class SpendBookContract:
    """Run with ``class TestMyBook(SpendBookContract)`` and a fixture ``book``."""

    def test_a_new_book_covers_nothing(self, book: SqlSpendBook) -> None:
        assert book.cursor() is None
        assert book.since(0, TODAY) == (None, [])

    def test_sums_and_cursor_move_together(self, book: SqlSpendBook) -> None:
        assert book.advance(None, 10, {account(): 5_000_000_000})
        assert book.advance(10, 20, {account(): 7, account(use_case="other"): 1})
        assert book.cursor() == 20
        cursor, entries = book.since(TODAY, TODAY)
        assert cursor == 20
        assert sorted((entry.use_case, entry.cost_micro) for entry in entries) == [
            ("claims", 5_000_000_007),
            ("other", 1),
        ]

    def test_whoever_read_an_older_cursor_adds_nothing(self, book: SqlSpendBook) -> None:
        assert book.advance(None, 10, {account(): 1})
        assert not book.advance(None, 10, {account(): 100})
        assert not book.advance(5, 11, {account(): 100})
        assert book.since(TODAY, TODAY)[1][0].cost_micro == 1

    def test_earlier_days_come_as_one_sum(self, book: SqlSpendBook) -> None:
        book.advance(None, 3, {account(TODAY - 3): 1, account(TODAY - 2): 2, account(TODAY - 1): 4, account(): 8})
        _, entries = book.since(TODAY - 2, TODAY)
        assert entries == [
            SpendEntry("acme", "key:1", "claims", "small", (TODAY - 2) * DAY_MS, 6),
            SpendEntry("acme", "key:1", "claims", "small", TODAY * DAY_MS, 8),
        ]

    def test_of_many_who_count_the_same_events_one_does(self, book: SqlSpendBook) -> None:
        book.advance(None, 0, {})
        with ThreadPoolExecutor(4) as pool:
            moved = list(pool.map(lambda _: book.advance(0, 10, {account(): 1}), range(8)))
        assert moved.count(True) == 1
        assert book.since(TODAY, TODAY)[1][0].cost_micro == 1
