"""What the journal does while its database is away, by risk class, and that nothing acknowledged is lost by it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from greffier.audit.ports import JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.context import RiskClass
from greffier.core.events import Act, Admission, Outcome, canonical, parse
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.testing.contracts.journal import make_admission, make_outcome
from greffier.testing.postgres_server import PostgresServer

SETTINGS = AuditSettings(append_timeout_ms=800, spool_limited_s=1, spool_minimal_s=3)


@pytest.fixture
def running(server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, which runs again afterwards whatever the test did to it."""
    yield server
    server.thaw()
    server.stop()
    server.start()


@pytest.fixture
async def journal(gateway: Database, tmp_path: Path) -> AsyncIterator[PostgresJournal]:
    opened = PostgresJournal(gateway, SETTINGS, tmp_path / "spool")
    yield opened
    await opened.close()


@pytest.fixture
def reader(gateway: Database) -> Iterator[PostgresJournalReader]:
    opened = PostgresJournalReader(gateway)
    yield opened
    opened.close()


async def recovered(journal: PostgresJournal, patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while journal.state().out_of_reach:
        assert time.monotonic() < deadline, "the journal never caught up"
        await asyncio.sleep(0.02)


async def refused(journal: PostgresJournal, event: Admission | Outcome, risk: RiskClass) -> bool:
    try:
        await journal.append(event, risk=risk)
    except JournalUnavailable:
        return True
    return False


async def test_the_matrix_by_risk_class(
    running: PostgresServer, journal: PostgresJournal, reader: PostgresJournalReader, tmp_path: Path
) -> None:
    long_call = make_admission()
    await journal.append(long_call, risk="limited")
    running.stop("immediate")
    high, limited, minimal = make_admission(), make_admission(), make_admission()
    assert await refused(journal, high, "high")
    began = time.monotonic()
    assert await refused(journal, high, "high"), "once it is known to be away, at once"
    assert time.monotonic() - began < 20  # not "never"; a loaded machine is slow
    assert not await refused(journal, limited, "limited")
    assert not await refused(journal, minimal, "minimal")
    await asyncio.sleep(1.1)
    assert await refused(journal, make_admission(), "limited"), "its time is over"
    late = make_outcome(long_call.request_id)
    assert not await refused(journal, late, "limited"), "the prompt has left: its ending is recorded"
    assert await refused(journal, make_outcome(high.request_id), "high")
    assert not await refused(journal, make_admission(), "minimal")
    await asyncio.sleep(2.0)
    assert await refused(journal, make_admission(), "minimal"), "its time is over too"
    running.start()
    await recovered(journal)
    kept = [parse(row.data) for row in reader.scan()]
    assert [event.id for event in kept[:4]] == [long_call.id, limited.id, minimal.id, late.id]
    report = kept[-1]
    assert isinstance(report, Act)
    assert (report.action, report.details["spooled"], report.details["refused"]) == ("journal.outage", 4, 5)
    assert isinstance(report.details["lasted_ms"], int)
    assert report.details["lasted_ms"] > 3000
    assert not await refused(journal, make_admission(), "high")
    assert [row.seq for row in reader.scan()] == list(range(1, 8))


async def test_a_connection_that_is_cut_costs_nobody_anything(
    server: PostgresServer, name: str, journal: PostgresJournal, reader: PostgresJournalReader
) -> None:
    await journal.append(make_admission())
    with psycopg.connect(server.url(name), autocommit=True) as owner:
        for _ in range(5):
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'")
            await journal.append(make_admission(), risk="high")
    assert reader.size() == 6
    assert not journal.state().out_of_reach


async def test_a_frozen_server_neither_hangs_callers_nor_doubles_records(
    running: PostgresServer, journal: PostgresJournal, reader: PostgresJournalReader
) -> None:
    await journal.append(make_admission())
    running.freeze()
    events = [make_admission() for _ in range(20)]
    began = time.monotonic()
    outcomes = await asyncio.gather(*(refused(journal, event, "limited") for event in events))
    assert time.monotonic() - began < 20
    assert outcomes == [False] * 20
    running.thaw()
    await recovered(journal)
    identifiers = Counter(parse(row.data).id for row in reader.scan())
    assert set(identifiers.values()) == {1}
    assert {event.id for event in events} <= identifiers.keys()


async def test_a_restart_under_load_loses_nothing_and_keeps_each_request_in_order(
    running: PostgresServer, journal: PostgresJournal, reader: PostgresJournalReader
) -> None:
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def caller(risk: RiskClass) -> None:
        while not stop.is_set():
            admission = make_admission()
            try:
                await journal.append(admission, risk=risk)
                acknowledged.append(admission.id)
                outcome = make_outcome(admission.request_id)
                await journal.append(outcome, risk=risk)
                acknowledged.append(outcome.id)
            except JournalUnavailable:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller(risk)) for risk in ("high", "limited", "minimal") for _ in range(3)]
    for mode in ("fast", "immediate"):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(running.stop, mode)
        await asyncio.sleep(0.4)
        await asyncio.to_thread(running.start)
        await asyncio.sleep(0.3)
    stop.set()
    await asyncio.gather(*callers)
    await recovered(journal)
    rows = list(reader.scan())
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    events = [parse(row.data) for row in rows]
    counted = Counter(event.id for event in events)
    assert set(counted.values()) == {1}
    assert set(acknowledged) <= counted.keys()
    place = {event.id: seq for seq, event in enumerate(events)}
    admitted = {event.request_id: place[event.id] for event in events if isinstance(event, Admission)}
    for event in events:
        if isinstance(event, Outcome):
            assert admitted[event.request_id] < place[event.id]
    assert reader.misfiled(1, len(rows)) == []


async def test_another_worker_sends_what_a_dead_one_spooled(
    running: PostgresServer, gateway: Database, reader: PostgresJournalReader, tmp_path: Path
) -> None:
    spools = tmp_path / "spool"
    dead = PostgresJournal(gateway, SETTINGS, spools)
    await dead.append(make_admission())
    running.stop("immediate")
    events = [make_admission() for _ in range(30)]
    await asyncio.gather(*(dead.append(event, risk="limited") for event in events))
    await dead.close()  # the spool stays, as after a kill
    (left,) = spools.glob("*.spool")
    copy = left.read_bytes()
    with pytest.raises(JournalUnavailable, match="cannot be reached"):
        PostgresJournal(gateway, SETTINGS, spools)
    running.start()
    for _ in range(2):  # the second time as if the first one had died before it could empty the file
        heir = PostgresJournal(gateway, SETTINGS, spools)
        await heir.append(make_admission())
        for _ in range(250):
            if not left.exists():
                break
            await asyncio.sleep(0.02)
        assert not left.exists()
        await heir.close()
        left.write_bytes(copy)
    counted = Counter(parse(row.data).id for row in reader.scan())
    assert set(counted.values()) == {1}
    assert {event.id for event in events} <= counted.keys()


async def test_a_full_spool_refuses(running: PostgresServer, gateway: Database, tmp_path: Path) -> None:
    event = make_admission()
    journal = PostgresJournal(gateway, SETTINGS, tmp_path / "spool", spool_bytes=3 * (len(canonical(event)) + 100))
    running.stop("immediate")
    answers = [await refused(journal, make_admission(), "minimal") for _ in range(6)]
    assert answers[0] is False
    assert answers[-1] is True
    await journal.close()


async def test_without_a_spool_every_class_is_refused(running: PostgresServer, gateway: Database) -> None:
    journal = PostgresJournal(gateway, SETTINGS)
    await journal.append(make_admission())
    running.stop("immediate")
    for risk in ("high", "limited", "minimal"):
        assert await refused(journal, make_admission(), risk)
    await journal.close()


async def test_a_lock_on_the_journal_refuses_in_time_and_nothing_turns_up_twice(
    server: PostgresServer, name: str, journal: PostgresJournal, reader: PostgresJournalReader
) -> None:
    first, high, limited = make_admission(), make_admission(), make_admission()
    await journal.append(first)
    with psycopg.connect(server.url(name)) as owner:
        owner.execute("SELECT * FROM journal_head FOR UPDATE")
        began = time.monotonic()
        assert await refused(journal, high, "high")
        assert time.monotonic() - began < 20
        assert not await refused(journal, limited, "limited")
    await recovered(journal)
    found = [json.loads(row.data) for row in reader.scan()]
    # What was refused may turn up all the same, if the server got the lock before it gave up the statement.
    ids = [event["id"] for event in found if event["id"] != high.id]
    assert ids[:2] == [first.id, limited.id]
    assert [event["kind"] for event in found][-1] == "act"
    assert len({event["id"] for event in found}) == len(found)
    assert len(ids) == 3
