# ruff: noqa: D102, PLR2004, S101 - a test is named after what it proves, and pytest asserts
"""What every ledger of erasures must do. Subclass and give a ``ledger`` fixture: an empty one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.storage.erasures import SqlErasureLedger

NOW = 1_800_000_000_000


class ErasureLedgerContract:
    """Run with ``class TestMyLedger(ErasureLedgerContract)`` and a fixture ``ledger``."""

    def test_a_new_ledger_is_empty(self, ledger: SqlErasureLedger) -> None:
        assert (ledger.newest(), ledger.lines(0)) == (0, [])

    def test_lines_are_counted_and_found_by_mark(self, ledger: SqlErasureLedger) -> None:
        # Not a name of the letters a to f: marks are hexadecimal, and in one run of twenty some mark held "ada".
        assert ledger.bury("dsr_1", "acme", ("ref:grete",), ("part_1", "part_2"), NOW) == 3
        assert ledger.bury("dsr_2", "globex", ("ref:grete",), (), NOW + 1) == 4
        assert ledger.newest() == 4
        lines = ledger.lines(0)
        assert [(line.number, line.kind, line.tenant, line.request, line.at_ms) for line in lines] == [
            (1, "subject", "acme", "dsr_1", NOW),
            (2, "part", "acme", "dsr_1", NOW),
            (3, "part", "acme", "dsr_1", NOW),
            (4, "subject", "globex", "dsr_2", NOW + 1),
        ]
        assert lines[0].mark == ledger.mark("subject", "acme", "ref:grete")
        assert lines[1].mark == ledger.mark("part", "acme", "part_1")
        assert len({line.mark for line in lines}) == 4, "a mark says nothing about the same person elsewhere"
        assert "grete" not in repr(lines)
        assert ledger.lines(3) == lines[3:]

    def test_an_erasure_is_noted_once_however_often_it_is_tried(self, ledger: SqlErasureLedger) -> None:
        assert ledger.bury("dsr_1", "acme", ("ref:ada",), (), NOW) == 1
        assert ledger.bury("dsr_2", "acme", ("ref:bob",), (), NOW) == 2
        assert ledger.bury("dsr_1", "acme", ("ref:ada",), (), NOW + 9) == 1
        assert ledger.newest() == 2

    def test_many_who_write_at_once_get_numbers_of_their_own(self, ledger: SqlErasureLedger) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: ledger.bury(f"dsr_{n}", "acme", (f"ref:{n}",), (f"part_{n}",), NOW), range(8)))
        assert [line.number for line in ledger.lines(0)] == list(range(1, 17))
        assert {line.mark for line in ledger.lines(0)} >= {ledger.mark("subject", "acme", f"ref:{n}") for n in range(8)}

    def test_lines_of_another_ledger_keep_their_numbers_where_they_can(self, ledger: SqlErasureLedger) -> None:
        ledger.bury("dsr_1", "acme", ("ref:ada", "ref:bob"), (), NOW)
        first, second = ledger.lines(0)
        ahead, behind = (
            type(first)(9, NOW, "subject", "acme", "m9", "dsr_9"),
            type(first)(1, NOW, "part", "acme", "m1", "dsr_0"),
        )
        assert ledger.take([second, ahead, behind, ahead]) == 2
        assert [(line.number, line.mark) for line in ledger.lines(2)] == [(9, "m9"), (10, "m1")]

    def test_its_key_is_changed_only_while_it_is_empty(self, ledger: SqlErasureLedger) -> None:
        ledger.take_key(b"k" * 32)
        before = ledger.mark("subject", "acme", "ref:ada")
        ledger.bury("dsr_1", "acme", ("ref:ada",), (), NOW)
        assert ledger.lines(0)[0].mark == before
        with pytest.raises(NotAllowed):
            ledger.take_key(b"l" * 32)
        assert ledger.mark("subject", "acme", "ref:ada") == before

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE tombstone SET mark = 'x'",
            "DELETE FROM tombstone",
            "UPDATE tombstone_key SET key = (SELECT key FROM tombstone_key)",
        ],
    )
    def test_what_is_written_stays(self, ledger: SqlErasureLedger, change: str) -> None:
        ledger.bury("dsr_1", "acme", ("ref:ada",), (), NOW)
        lines = ledger.lines(0)
        # Refused by a trigger, or before that because the gateway's role has no such right.
        with pytest.raises((NotAllowed, PrivacyUnavailable)), ledger.writing() as connection:
            connection.exec_driver_sql(change)
        assert ledger.lines(0) == lines
