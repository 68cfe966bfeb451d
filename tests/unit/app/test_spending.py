import threading
from pathlib import Path

import pytest

from greffier.app.spending import Bookkeeper, Ledger, spent_this_month, start_of
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.events import Act, Admission, AnyEvent, Outcome, RequestFacts
from greffier.limits.service import SpendEntry
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.clock import ManualClock

NOON = 1_795_521_600_000  # 2026-11-24T12:00:00Z
DAY = 86_400_000
MIDNIGHT = NOON // DAY * DAY


def admission(name: str, *, ts: int = NOON, credential: str = "k1", model: str = "m") -> Admission:
    facts = RequestFacts(credential=credential, use_case="u", model=model)
    return Admission(id=f"a-{name}", ts=ts, tenant="acme", request_id=name, facts=facts)


def outcome(name: str, cost: int, *, ts: int = NOON, charged: int | None = None) -> Outcome:
    return Outcome(
        id=f"o-{name}",
        ts=ts,
        tenant="acme",
        request_id=name,
        outcome="answered",
        cost_micro=cost,
        charged_micro=charged,
    )


class Books:
    def __init__(self, root: Path) -> None:
        self.paths = WorkspacePaths(root)
        self.paths.ensure()
        self.clock = ManualClock(wall_ms=NOON)

    async def write(self, *events: AnyEvent) -> None:
        journal = open_journal(self.paths, AuditSettings())
        for event in events:
            await journal.append(event)
        await journal.close()

    def count(self) -> None:
        keeper = Bookkeeper(self.paths, self.clock)
        keeper.catch_up()
        stop = threading.Event()
        stop.set()
        keeper.run(stop)

    def spent(self) -> dict[tuple[str, str, int], int]:
        total: dict[tuple[str, str, int], int] = {}
        for entry in spent_this_month(self.paths, self.clock):
            assert (entry.tenant, entry.use_case) == ("acme", "u")
            key = (entry.credential_id, entry.model, entry.ts_ms)
            total[key] = total.get(key, 0) + entry.cost_micro
        return total


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


async def test_each_event_counts_once_whether_summed_up_or_not(books: Books) -> None:
    await books.write(admission("1"), outcome("1", 5), admission("2", credential="k2"), outcome("2", 7))
    both = {("k1", "m", MIDNIGHT): 5, ("k2", "m", MIDNIGHT): 7}
    assert books.spent() == both  # nothing summed up yet
    books.count()
    assert books.spent() == both
    books.count()
    assert books.spent() == both
    await books.write(admission("3"), outcome("3", 10))
    assert books.spent() == both | {("k1", "m", MIDNIGHT): 15}


async def test_an_outcome_finds_its_admission_before_the_cursor(books: Books) -> None:
    await books.write(admission("1", model="other"))
    books.count()
    await books.write(outcome("1", 5))
    assert books.spent() == {("k1", "other", MIDNIGHT): 5}
    books.count()
    assert books.spent() == {("k1", "other", MIDNIGHT): 5}


async def test_what_was_charged_counts_where_it_is_not_the_cost(books: Books) -> None:
    await books.write(admission("1"), outcome("1", 0, charged=60), admission("2"), outcome("2", 9, charged=0))
    books.count()
    assert books.spent() == {("k1", "m", MIDNIGHT): 60}


async def test_days_are_kept_apart_and_last_month_is_forgotten(books: Books) -> None:
    first = MIDNIGHT - 23 * DAY  # the first of the month
    await books.write(admission("0", ts=first - 1), outcome("0", 1, ts=first + 1))  # admitted last month
    await books.write(admission("1", ts=first), outcome("1", 2), admission("2", ts=MIDNIGHT - DAY), outcome("2", 3))
    await books.write(admission("3"), outcome("3", 4))
    books.count()
    # Earlier days come as one sum: a budget of a day does not count them, one of a month counts them all.
    assert books.spent() == {("k1", "m", first): 5, ("k1", "m", MIDNIGHT): 4}


async def test_acts_and_refused_requests_cost_nothing(books: Books) -> None:
    await books.write(Act(id="x", ts=NOON, action="key.create", actor="os:me:0"), outcome("9", 0), outcome("8", 3))
    books.count()
    assert books.spent() == {}


async def test_without_sums_counting_starts_with_the_month(books: Books) -> None:
    first = MIDNIGHT - 23 * DAY
    last_month = first - DAY
    for n in range(4):
        await books.write(admission(f"o{n}", ts=last_month), outcome(f"o{n}", 9, ts=last_month))
    await books.write(admission("1"), outcome("1", 5))
    reader = open_reader(books.paths)
    assert start_of(None, reader, books.clock) == 8
    assert start_of(500, reader, books.clock) == 10  # the journal was replaced by an older one
    reader.close()
    assert books.spent() == {("k1", "m", MIDNIGHT): 5}


async def test_two_bookkeepers_count_nothing_twice(books: Books) -> None:
    await books.write(*[e for n in range(50) for e in (admission(f"{n}"), outcome(f"{n}", 2))])
    keepers = [Bookkeeper(books.paths, books.clock) for _ in range(3)]
    threads = [threading.Thread(target=keeper.catch_up) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books.spent() == {("k1", "m", MIDNIGHT): 100}


async def test_a_damaged_record_tells_nothing_about_money(books: Books) -> None:
    await books.write(admission("1"), outcome("1", 5))
    reader = open_reader(books.paths)
    events = reader.read(1, 10)
    damaged = type(events[0])(seq=3, data=b"{not json")
    sums = Ledger(reader).add_up([events[0], damaged, events[1]])
    reader.close()
    assert list(sums.values()) == [5]


def test_entries_are_what_limits_replay() -> None:
    assert SpendEntry.__struct_fields__ == ("tenant", "credential_id", "use_case", "model", "ts_ms", "cost_micro")
