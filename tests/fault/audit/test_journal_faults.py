# ruff: noqa: ASYNC240 - breaking files under the journal's feet takes microseconds
import asyncio
import fcntl
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event as listener

from greffier.audit.ports import JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.events import parse
from greffier.storage import group_commit
from greffier.storage.journal import SqliteJournal, SqliteJournalReader
from greffier.testing.contracts.journal import make_admission


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    opened = SqliteJournal(path, AuditSettings(append_timeout_ms=1500))
    await opened.append(make_admission())
    yield opened
    await opened.close()


async def test_a_disk_that_takes_no_more_refuses_and_recovers(journal: SqliteJournal, path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("journal.db-wal").stat().st_size, hard))
    try:
        with pytest.raises(JournalUnavailable):
            await journal.append(make_admission())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await journal.append(make_admission())
    assert SqliteJournalReader(path).size() == 2


@pytest.mark.parametrize(
    ("pragma", "reason"), [("PRAGMA max_page_count=1", "disk is full"), ("PRAGMA query_only=ON", "read-only")]
)
async def test_the_refusal_names_the_reason_and_ends_with_it(
    journal: SqliteJournal, path: Path, pragma: str, reason: str
) -> None:
    faulty = True

    def spoil(connection: sqlite3.Connection, _record: object) -> None:
        if faulty:
            connection.execute(pragma)

    listener.listen(journal._engine, "connect", spoil)
    journal._identity = (0, 0)  # reconnect with the next commit
    failed = [asyncio.create_task(journal.append(make_admission())) for _ in range(200)]
    for outcome in await asyncio.gather(*failed, return_exceptions=True):
        assert isinstance(outcome, JournalUnavailable)
        assert reason in str(outcome)
    faulty = False
    await journal.append(make_admission())
    assert SqliteJournalReader(path).size() == 2


async def test_a_foreign_lock_refuses_in_time_and_nothing_turns_up_later(journal: SqliteJournal, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable):
        await journal.append(make_admission())
    other.execute("ROLLBACK")
    other.close()
    last = make_admission()
    await journal.append(last)
    kept = [parse(entry.data).id for entry in SqliteJournalReader(path).scan()]
    assert len(kept) == 2
    assert kept[-1] == last.id


async def test_a_short_foreign_lock_is_waited_for(path: Path) -> None:
    journal = SqliteJournal(path, AuditSettings(append_timeout_ms=10_000))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(journal.append(make_admission()))
    await asyncio.sleep(0.4)  # longer than one attempt of the writer
    other.execute("ROLLBACK")
    other.close()
    await waiting
    await journal.close()


async def test_a_worker_frozen_inside_its_commit_does_not_hold_callers_for_ever(
    journal: SqliteJournal, path: Path
) -> None:
    with path.with_suffix(".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = await asyncio.gather(*(journal.append(make_admission()) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(outcome, JournalUnavailable) for outcome in refused)
    await journal.append(make_admission())
    assert SqliteJournalReader(path).size() == 2


async def test_the_queue_is_bounded(journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 5)
    with path.with_suffix(".lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcomes = await asyncio.gather(*(journal.append(make_admission()) for _ in range(20)), return_exceptions=True)
    assert sum("waiting for the disk already" in str(outcome) for outcome in outcomes) >= 14


async def test_a_journal_file_that_vanishes_is_noticed_and_not_recreated(journal: SqliteJournal, path: Path) -> None:
    away = path.with_name("away.db")
    path.rename(away)
    with pytest.raises(JournalUnavailable, match="cannot be reached"):
        await journal.append(make_admission())
    assert not path.exists()
    away.rename(path)
    await journal.append(make_admission())
    assert SqliteJournalReader(path).size() == 2


async def test_a_damaged_file_refuses_until_it_is_mended(journal: SqliteJournal, path: Path) -> None:
    names = ("journal.db", "journal.db-wal", "journal.db-shm")
    for name in names:
        path.with_name(name).rename(path.with_name(f"good-{name}"))
    path.write_bytes(b"\x00garbage" * 4096)
    with pytest.raises(JournalUnavailable, match="damaged"):
        await journal.append(make_admission())
    for name in names:
        path.with_name(f"good-{name}").rename(path.with_name(name))
    await journal.append(make_admission())
    assert SqliteJournalReader(path).size() == 2


async def test_one_disk_error_wakes_every_waiter_with_its_own_exception(journal: SqliteJournal, path: Path) -> None:
    path.rename(path.with_name("away.db"))
    outcomes = await asyncio.gather(*(journal.append(make_admission()) for _ in range(3)), return_exceptions=True)
    assert len({id(outcome) for outcome in outcomes}) == 3
    path.with_name("away.db").rename(path)


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalUnavailable):
        SqliteJournal(tmp_path / "journal.db", AuditSettings())
    with pytest.raises(JournalUnavailable, match="no journal"):
        SqliteJournalReader(tmp_path / "missing.db")


async def test_the_write_ahead_log_does_not_grow_without_end(path: Path) -> None:
    patient = SqliteJournal(path, AuditSettings(append_timeout_ms=60_000))  # a slow disk is not what is tested here
    try:
        for _ in range(4):
            await asyncio.gather(*(patient.append(make_admission()) for _ in range(3000)))
        assert SqliteJournalReader(path).size() == 12_000
        assert path.with_name("journal.db-wal").stat().st_size < 16 << 20
    finally:
        await patient.close()
