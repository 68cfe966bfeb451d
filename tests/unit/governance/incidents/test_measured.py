"""Facts for DORA's thresholds, counted from the records."""

import pytest

from greffier.audit.ports import Sequenced
from greffier.core.events import Admission, AnyEvent, Outcome, RequestFacts, canonical
from greffier.governance.incidents.measured import measure

DAY, MINUTE = 86_400_000, 60_000
FROM = 1_800_000_000_000
TO = FROM + 90 * MINUTE


class Rows:
    """`JournalReader` over events in order of time."""

    def __init__(self, events: list[AnyEvent]) -> None:
        ordered = sorted(events, key=lambda event: event.ts)
        self.rows = [Sequenced(number, canonical(event)) for number, event in enumerate(ordered, 1)]

    def size(self) -> int:
        return len(self.rows)

    def first(self) -> int:
        return 1

    def read(self, start: int, limit: int) -> list[Sequenced]:
        return self.rows[start - 1 : start - 1 + limit]

    def find(self, request_id: str) -> list[Sequenced]:
        raise NotImplementedError

    def scan(self, start: int = 1):  # type: ignore[no-untyped-def] # noqa: ANN201 - an iterator of rows
        return iter(self.rows[start - 1 :])


def request(number: int, ts: int, outcome: str, who: str, case: str = "assistant") -> list[AnyEvent]:
    facts = RequestFacts(actor="key:k", use_case=case, end_user_ref=who)
    name = f"req_{number}"
    return [
        Admission(id=f"a{number}", ts=ts, tenant="acme", request_id=name, facts=facts),
        Outcome(id=f"o{number}", ts=ts, tenant="acme", request_id=name, outcome=outcome),  # type: ignore[arg-type]
    ]


def history() -> list[AnyEvent]:
    """Ten requests a day for 30 days by five people; then 90 minutes in which the first 60 fail for two of them."""
    events = [
        event
        for number in range(300)
        for event in request(number, FROM - 30 * DAY + 1000 + number * DAY // 10, "answered", f"end_user:{number % 5}")
    ]
    for number in range(9):
        outcome = "failed" if number < 6 else "answered"
        events += request(1000 + number, FROM + number * 10 * MINUTE, outcome, f"end_user:{number % 2}")
    return events


def test_who_was_affected_how_much_and_for_how_long() -> None:
    found = measure(Rows(history()), frozenset(), FROM, TO)
    assert (found.requests, found.failed, found.clients, found.base_requests, found.base_clients) == (9, 6, 2, 300, 5)
    assert found.facts == {
        "duration_min": 90, "downtime_min": 6, "clients": 2, "clients_pct": 40, "transactions_pct": 60,
    }  # fmt: skip


def test_other_use_cases_refusals_and_other_times_do_not_count() -> None:
    events = history()
    events += request(2000, FROM + MINUTE, "failed", "end_user:9", "newsletter")
    events += request(2001, FROM + MINUTE, "denied", "end_user:8")
    events += request(2002, TO + DAY, "failed", "end_user:7")
    events += request(2003, FROM - 40 * DAY, "failed", "end_user:6")
    found = measure(Rows(events), frozenset({"assistant"}), FROM, TO)
    assert (found.failed, found.base_clients) == (6, 5)


def test_what_the_records_cannot_tell_is_left_out() -> None:
    found = measure(Rows([]), frozenset(), FROM, TO)
    assert found.facts == {"duration_min": 90, "downtime_min": 0, "clients": 0}
    with pytest.raises(ValueError, match="not after"):
        measure(Rows([]), frozenset(), TO, FROM)
