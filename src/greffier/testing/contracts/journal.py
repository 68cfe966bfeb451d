# ruff: noqa: D102, PLR2004, S101 - a test is named after what it proves, and pytest asserts
"""What every journal must do, whatever it is stored in.

Subclass `JournalContract` beside the implementation's tests and provide the ``place`` fixture::

    class TestMyJournal(JournalContract):
        @pytest.fixture
        def place(self, tmp_path): return MyPlace(tmp_path)
"""

import asyncio
from typing import Protocol

import pytest

from greffier.audit.ports import Journal, JournalReader, JournalUnavailable
from greffier.core.events import Act, Admission, AnyEvent, Outcome, RequestFacts, canonical
from greffier.core.ids import new_id


class JournalPlace(Protocol):
    """Where journals of one test live: every call opens the same one anew, as another worker would."""

    def journal(self, *, append_timeout_ms: int = 2000) -> Journal:
        """Open it for writing."""
        ...

    def reader(self) -> JournalReader:
        """Open it for reading."""
        ...


def make_admission(request_id: str = "", tenant: str = "acme", ts: int = 1_700_000_000_000) -> Admission:
    """An admission like those of the request path."""
    facts = RequestFacts(actor="key:k1", use_case="claims", purpose="claims-handling", model="m", why="größte Nähe")
    return Admission(id=new_id("ev"), ts=ts, tenant=tenant, request_id=request_id or new_id("req"), facts=facts)


def make_outcome(request_id: str, tenant: str = "acme", ts: int = 1_700_000_000_001) -> Outcome:
    """The outcome that follows `make_admission`."""
    return Outcome(id=new_id("ev"), ts=ts, tenant=tenant, request_id=request_id, outcome="answered", output_tokens=7)


class JournalContract:
    """The tests. They use the ports only."""

    @pytest.fixture
    def place(self) -> JournalPlace:
        """Overridden by the subclass."""
        raise NotImplementedError

    async def test_an_appended_event_is_read_back_byte_for_byte(self, place: JournalPlace) -> None:
        journal = place.journal()
        event = make_admission()
        await journal.append(event)
        (kept,) = place.reader().read(1, 10)
        assert (kept.seq, kept.data) == (1, canonical(event))
        await journal.close()

    async def test_events_of_one_caller_keep_their_order(self, place: JournalPlace) -> None:
        journal = place.journal()
        events: list[AnyEvent] = [make_admission() for _ in range(20)]
        for event in events:
            await journal.append(event)
        assert [kept.data for kept in place.reader().scan()] == [canonical(event) for event in events]
        await journal.close()

    async def test_sequence_has_no_gaps_when_several_workers_append_at_once(self, place: JournalPlace) -> None:
        journals = [place.journal() for _ in range(4)]
        await asyncio.gather(*(journal.append(make_admission()) for journal in journals for _ in range(60)))
        assert [kept.seq for kept in place.reader().scan()] == list(range(1, 241))
        assert place.reader().size() == 240
        await asyncio.gather(*(journal.close() for journal in journals))

    async def test_many_events_at_once_are_all_kept(self, place: JournalPlace) -> None:
        journal = place.journal()
        events = [make_admission() for _ in range(700)]
        await asyncio.gather(*(journal.append(event) for event in events))
        assert sorted(kept.data for kept in place.reader().scan()) == sorted(canonical(event) for event in events)
        await journal.close()

    async def test_all_events_of_a_request_are_found_at_once(self, place: JournalPlace) -> None:
        journal = place.journal()
        admission = make_admission()
        outcome = make_outcome(admission.request_id)
        await journal.append(admission)
        await journal.append(make_admission())
        await journal.append(outcome)
        found = place.reader().find(admission.request_id)
        assert [(kept.seq, kept.data) for kept in found] == [(1, canonical(admission)), (3, canonical(outcome))]
        assert place.reader().find("req_unknown") == []
        await journal.close()

    async def test_reading_in_pieces_covers_everything(self, place: JournalPlace) -> None:
        journal = place.journal()
        for _ in range(7):
            await journal.append(make_admission())
        reader = place.reader()
        assert [kept.seq for kept in reader.read(3, 2)] == [3, 4]
        assert [kept.seq for kept in reader.scan(5)] == [5, 6, 7]
        assert reader.read(8, 5) == []
        await journal.close()

    async def test_a_caller_who_hangs_up_is_recorded_all_the_same(self, place: JournalPlace) -> None:
        journal = place.journal()
        waiting = asyncio.create_task(journal.append(make_admission()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await journal.append(make_admission())
        assert place.reader().size() == 2
        await journal.close()

    async def test_an_event_is_on_its_way_before_the_first_wait(self, place: JournalPlace) -> None:
        journal = place.journal()

        async def told_to_stop_already() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await journal.append(make_outcome("req_1"))

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(told_to_stop_already())
        await journal.append(make_admission())
        assert place.reader().size() == 2
        await journal.close()

    async def test_acts_without_a_request_are_kept(self, place: JournalPlace) -> None:
        journal = place.journal()
        await journal.append(Act(id=new_id("ev"), ts=1, action="key.created", actor="local:root", details={"n": 1}))
        assert place.reader().size() == 1
        await journal.close()

    async def test_closing_commits_what_waits_and_refuses_what_comes(self, place: JournalPlace) -> None:
        journal = place.journal()
        waiting = [asyncio.create_task(journal.append(make_admission())) for _ in range(50)]
        await asyncio.sleep(0)
        await journal.close()
        await asyncio.gather(*waiting)
        assert place.reader().size() == 50
        with pytest.raises(JournalUnavailable):
            await journal.append(make_admission())
        await journal.close()

    async def test_an_event_larger_than_the_log_can_hold_is_refused(self, place: JournalPlace) -> None:
        journal = place.journal()
        with pytest.raises(JournalUnavailable, match="65535"):
            await journal.append(Act(id=new_id("ev"), ts=1, action="x.y", actor="a", reason="r" * 70_000))
        await journal.append(make_admission())
        assert place.reader().size() == 1
        await journal.close()

    async def test_a_reopened_journal_goes_on_counting(self, place: JournalPlace) -> None:
        for _ in range(3):
            journal = place.journal()
            await journal.append(make_admission())
            await journal.close()
        assert [kept.seq for kept in place.reader().scan()] == [1, 2, 3]
