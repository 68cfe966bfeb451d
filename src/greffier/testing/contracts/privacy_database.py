# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every database of data protection must do. Subclass and give a ``database`` fixture: an empty one."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from greffier.governance.privacy.ports import NotAllowed, NotFound, PrivacyUnavailable
from greffier.governance.privacy.records import Hold, LedgerLine, Notice, Reveal, SubjectRequest
from greffier.storage.privacy import SqlConsentLedger, SqlHolds, SqlReveals, SqlSubjectRequests
from greffier.storage.privacy_db import PrivacyDatabase

NOW = 1_800_000_000_000
DAY = 86_400_000


def a_line(subject: str = "ref:ada", *, active: bool = True) -> LedgerLine:
    """A consent."""
    return LedgerLine(
        tenant="acme", subject=subject, purpose="advice", kind="consent", active=active, at_ms=NOW, actor="os:olga"
    )


def a_hold() -> Hold:
    """A hold that waits for its second person."""
    return Hold(
        id="hold_1",
        tenant="acme",
        reason="claim 7",
        placed_by="os:olga",
        placed_ms=NOW,
        approve_by_ms=NOW + DAY,
        expires_ms=NOW + 30 * DAY,
    )


class PrivacyDatabaseContract:
    """Run with ``class TestMine(PrivacyDatabaseContract)`` and a fixture ``database``."""

    def test_the_ledger_counts_and_is_followed(self, database: PrivacyDatabase) -> None:
        consents = SqlConsentLedger(database)
        start = consents.state()
        with ThreadPoolExecutor(4) as pool:
            numbers = list(pool.map(lambda n: consents.enter(a_line(f"ref:{n}")), range(12)))
        state = consents.state()
        assert state.store == start.store
        assert state.number == max(numbers)
        assert [entry.number for entry in consents.entries(start.number)] == sorted(numbers)
        assert consents.entries(max(numbers)) == []
        withdrawn = consents.enter(a_line("ref:1", active=False))
        assert [line.active for line in consents.lines("acme", "ref:1")] == [True, False]
        assert consents.lines("globex", "ref:1") == []
        assert withdrawn > max(numbers)

    def test_what_is_written_stays(self, database: PrivacyDatabase) -> None:
        SqlConsentLedger(database).enter(a_line())
        SqlHolds(database).place(a_hold())
        SqlReveals(database).ask(a_reveal())
        for change in (
            "UPDATE privacy_ledger SET subject = 'ref:bob'",
            "UPDATE legal_hold SET placed_by = 'os:anton'",
            "UPDATE legal_hold SET expires_ms = expires_ms + 1",
            "UPDATE reveal_request SET requested_by = 'os:anton'",
        ):
            # Refused by a trigger, or before that because the gateway's role has no such right.
            with pytest.raises((NotAllowed, PrivacyUnavailable)), database.writing() as connection:
                connection.exec_driver_sql(change)

    def test_two_people_are_kept_apart_by_the_database_itself(self, database: PrivacyDatabase) -> None:
        SqlHolds(database).place(a_hold())
        SqlReveals(database).ask(a_reveal())
        for table in ("legal_hold", "reveal_request"):
            with pytest.raises(NotAllowed), database.writing() as connection:
                connection.exec_driver_sql(f"UPDATE {table} SET approved_by = 'os:olga'")  # noqa: S608 - two known names
        assert SqlHolds(database).approve("hold_1", "os:anton", NOW + 1).approved_by == "os:anton"
        assert SqlReveals(database).approve("rev_1", "os:anton", NOW + 1).approved_by == "os:anton"

    def test_a_request_is_not_saved_over_someone_elses_work(self, database: PrivacyDatabase) -> None:
        store = SqlSubjectRequests(database)
        first = a_request()
        store.add(first)
        assert store.get("dsr_1") == first
        second = msgspec.structs.replace(first, purpose="größe")
        store.save(second, first)
        with pytest.raises(NotAllowed):
            store.save(first, first)
        assert store.all() == [second]
        with pytest.raises(NotFound):
            store.get("dsr_2")

    def test_requests_with_something_to_tell_are_found(self, database: PrivacyDatabase) -> None:
        requests = SqlSubjectRequests(database)
        quiet = msgspec.structs.replace(a_request(), id="dsr_quiet")
        notice = Notice(id="ntc_1", name="Acme Claims GmbH", how="webhook", queued_ms=NOW)
        telling = msgspec.structs.replace(a_request(), id="dsr_telling", notices=(notice,))
        for request in (quiet, telling):
            requests.add(request)
        assert [request.id for request in requests.telling()] == ["dsr_telling"]
        done = msgspec.structs.replace(telling, notices=(msgspec.structs.replace(notice, state="told", done_ms=NOW),))
        requests.save(done, telling)
        assert requests.telling() == []


def a_request() -> SubjectRequest:
    """A request that has just arrived."""
    return SubjectRequest(
        id="dsr_1",
        type="access",
        tenant="acme",
        state="open",
        received_ms=NOW,
        due_ms=NOW + 30 * DAY,
        law="2026-11",
        opened_by="os:olga",
        refs=("ref:ada",),
    )


def a_reveal() -> Reveal:
    """A wish to read, not approved yet."""
    return Reveal(
        id="rev_1", request_id="req_1", reason="claim 7", requested_by="os:olga", requested_ms=NOW, expires_ms=NOW + DAY
    )
