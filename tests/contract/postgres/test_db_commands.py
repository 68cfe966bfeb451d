"""``greffier db`` and the start's checks, on a real server and on SQLite."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from tests.contract.postgres.conftest import STORAGE, Depot
from typer.testing import CliRunner

from greffier.app.privacy_desk import open_office
from greffier.app.sealing import make_sealer
from greffier.app.stores import (
    administration_of,
    data_entries,
    open_content,
    open_incidents,
    open_journal,
    open_keys,
    open_progress,
    open_reader,
    open_reviews,
)
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.audit.progress import Progress, ProgressFile, Rejection
from greffier.audit.settings import AuditSettings
from greffier.cli.main import app
from greffier.config.kept import InForceLine, is_kept
from greffier.governance.privacy.handling import unclaimed
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.incidents import SqliteIncidents
from greffier.storage.postgres.schema import REVISIONS
from greffier.storage.reviews import SqliteReviewStore
from greffier.testing.contracts.incidents import an_incident, later
from greffier.testing.contracts.key_store import a_key
from greffier.testing.contracts.review_store import REVIEW
from greffier.testing.postgres_server import PostgresServer

SETTINGS = """
schema: 1
name: depot
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
"""


def a_depot(folder: Path, *, database: bool) -> Depot:
    """A workspace without use cases: its stores are what these tests are about."""
    folder.mkdir()
    (folder / "greffier.yaml").write_text(SETTINGS + (STORAGE if database else ""))
    return Depot(folder)


def test_an_empty_database_says_what_to_run_and_then_works(
    server: PostgresServer, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(server.database())
    depot = a_depot(tmp_path / "w", database=True)
    with pytest.raises(JournalUnavailable, match="greffier db upgrade"):
        open_journal(depot.paths, AuditSettings())
    with pytest.raises(KeyStoreUnavailable, match="greffier db upgrade"):
        open_keys(depot.paths)
    assert depot.run("db", "status", code=1)["revision"] == ""
    nothing = {"incidents": 0, "reviews": 0, "sinks": 0}
    assert depot.run("db", "upgrade") == {"from": "", "to": REVISIONS[-1], "taken_over": nothing}
    assert depot.run("db", "upgrade") == {"from": REVISIONS[-1], "to": REVISIONS[-1], "taken_over": nothing}
    found = depot.run("db", "status")
    assert (found["user"], found["may_change_journal"], found["revision"]) == ("gateway", False, REVISIONS[-1])
    assert found["tables"]["event"] > 0, "days of the journal count as its size"
    assert {"incident", "legal_hold", "api_keys"} < set(found["tables"])
    assert depot.size() == 1, "the upgrade itself is on record"


def test_many_upgrades_at_once_are_one(server: PostgresServer, point: Callable[[str], None], tmp_path: Path) -> None:
    point(server.database())
    depot = a_depot(tmp_path / "w", database=True)
    database = administration_of(depot.paths)
    assert database is not None
    with ThreadPoolExecutor(3) as pool:
        results = [future.result() for future in [pool.submit(database.upgrade) for _ in range(3)]]
    assert sorted(results) == [("", REVISIONS[-1]), *[(REVISIONS[-1], REVISIONS[-1])] * 2]


def test_older_and_newer_schemas_are_refused_with_the_way_out(
    server: PostgresServer, name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    depot = a_depot(tmp_path / "w", database=True)
    for revision, remedy in ((REVISIONS[0], "run 'greffier db upgrade'"), ("9999", "newer Greffier")):
        with psycopg.connect(server.url(name), autocommit=True) as owner:
            owner.execute("UPDATE alembic_version SET version_num = %s", (revision,))
        with pytest.raises(JournalUnavailable, match=remedy):
            open_reader(depot.paths)
    assert "newer" in depot.run("db", "upgrade", code=1)["error"]["message"]


def test_what_earlier_versions_kept_in_files_moves_into_the_database(
    name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    depot = a_depot(tmp_path / "w", database=True)
    register = SqliteIncidents(depot.paths.incidents_db)
    first = an_incident()
    register.save(first, by="os:olga", at_ms=1)
    register.save(later(first, "as it turned out"), by="os:anton", at_ms=2)
    history = register.history(first.id)
    register.close()
    filed = SqliteReviewStore(depot.paths.state_db)
    filed.open(REVIEW)
    filed.open(msgspec.structs.replace(REVIEW, id="rev_2"))
    decided = filed.decide("rev_2", "approved", by="os:rita", reason="fine", now_ms=1500)
    filed.close()
    refusal = Rejection(3, "evt_3", "GW-2001", "no such field")
    cursor = ProgressFile(depot.paths.sinks, "siem")
    depot.append(10)
    assert cursor.hold()
    cursor.save(Progress(cursor=7, rejected=1))
    foreign = ProgressFile(depot.paths.sinks, "archive")
    foreign.save(Progress(cursor=7_000))  # of the journal in a file, before there was a database
    cursor.keep_rejected([refusal])
    cursor.close()

    assert depot.run("db", "upgrade")["taken_over"] == {"incidents": 2, "reviews": 2, "sinks": 1}
    incidents, reviews, state = (
        open_incidents(depot.paths),
        open_reviews(depot.paths),
        open_progress(depot.paths, "siem"),
    )
    assert incidents.history(first.id) == history
    assert reviews.list() == (REVIEW, decided)
    assert state.load() == Progress(cursor=7, rejected=1)
    assert state.rejected(10) == [refusal]
    other = open_progress(depot.paths, "archive")
    assert other.load() is None
    other.close()
    for opened in (incidents, reviews, state):
        opened.close()
    assert depot.run("db", "upgrade")["taken_over"] == {"incidents": 0, "reviews": 0, "sinks": 0}
    assert not depot.paths.incidents_db.exists()
    assert (depot.paths.taken_over / "sinks" / "siem.json").exists()
    with open_office(depot.paths) as office:
        assert unclaimed(office.stores(), data_entries(depot.paths)) == []


def test_the_gateway_as_owner_is_warned_about(
    server: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    monkeypatch.setenv("GATEWAY_URL", server.url(name))
    depot = a_depot(tmp_path / "w", database=True)
    done = CliRunner().invoke(app, ["db", "status", "--workspace", str(depot.paths.root)])
    assert done.exit_code == 0
    assert "may change records" in done.stderr


def test_a_missing_secret_or_server_is_told_without_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    depot = a_depot(tmp_path / "w", database=True)
    monkeypatch.delenv("GATEWAY_URL", raising=False)
    assert "GATEWAY_URL" in depot.run("db", "status", code=3)["error"]["message"]
    monkeypatch.setenv("GATEWAY_URL", "postgresql://gateway:s3cret@127.0.0.1:1/none")
    monkeypatch.setenv("OWNER_URL", "postgresql://owner:s3cret@127.0.0.1:1/none")
    message = depot.run("db", "status", code=4)["error"]["message"]
    assert "refused" in message
    assert "s3cret" not in message
    monkeypatch.setenv("GATEWAY_URL", "postgresql://gateway:s3cret@host:port:port/%zz")
    assert "s3cret" not in depot.run("db", "status", code=4)["error"]["message"]


def test_known_revisions_are_those_of_the_migrations() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", "greffier:storage/migrations")
    scripts = ScriptDirectory.from_config(configuration)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_every_table_of_the_database_is_claimed_by_a_connector(
    name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    depot = a_depot(tmp_path / "w", database=True)
    entries = list(data_entries(depot.paths))
    assert {"postgresql:event", "postgresql:incident", "postgresql:part"} < set(entries)
    assert not [entry for entry in entries if entry.startswith("postgresql:event_")], "days belong to their table"
    with open_office(depot.paths) as office:
        assert unclaimed(office.stores(), entries) == []


def test_a_copy_of_the_database_restores_into_an_empty_one(
    server: PostgresServer, name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    depot = a_depot(tmp_path / "w", database=True)
    depot.append(300)
    open_keys(depot.paths).close()
    depot.seal()
    content = open_content(depot.paths)
    part = asyncio.run(content.put("acme", "req_1", {"prompt": b"planted"}))["prompt"][0]
    content.close()
    register = open_incidents(depot.paths)
    register.save(an_incident(), by="os:olga", at_ms=1)
    register.close()
    reviews = open_reviews(depot.paths)
    reviews.open(REVIEW)
    reviews.close()
    depot.run("db", "backup", str(tmp_path / "copy"), "--content-keys", str(tmp_path / "keys.dump"))
    assert "empty" in depot.run("db", "restore", str(tmp_path / "copy"), code=4)["error"]["message"]

    point(server.database())
    other = a_depot(tmp_path / "other", database=True)
    shutil.copytree(depot.paths.secrets, other.paths.secrets, dirs_exist_ok=True)
    other.run("db", "restore", str(tmp_path / "copy"))
    content = open_content(other.paths)
    with pytest.raises(ContentUnavailable, match="destroyed"):  # a copy of the data alone shows nobody's words
        content.get("acme", part)
    administration = administration_of(other.paths)
    assert administration is not None
    administration.load_keys(tmp_path / "keys.dump")
    assert content.get("acme", part)[0] == b"planted"
    content.close()
    assert other.size() == 302, "what was there, the record of the copy, and that of its restoring"
    other.append(5)
    other.seal()
    assert other.run("audit", "verify")["ok"] is True
    assert other.run("db", "status")["may_change_journal"] is False
    register = open_incidents(other.paths)
    assert register.all() == [an_incident()]
    register.close()
    reviews = open_reviews(other.paths)
    assert reviews.decide(REVIEW.id, "approved", by="os:rita", reason="", now_ms=1500).decision == "approved"
    reviews.close()


def test_sqlite_is_copied_under_load_and_put_back(tmp_path: Path) -> None:
    depot = a_depot(tmp_path / "w", database=False)
    record = a_key()
    keys = open_keys(depot.paths)
    keys.create(record)
    keys.close()
    depot.append(300)
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            depot.append(20)
            depot.seal()

    writer = threading.Thread(target=load)
    writer.start()
    try:
        depot.run("db", "backup", str(tmp_path / "copy"))
    finally:
        stop.set()
        writer.join()
    depot.append(100)
    before = depot.size()
    depot.run("db", "restore", str(tmp_path / "copy"))
    assert 300 < depot.size() < before
    keys = open_keys(depot.paths)
    assert keys.get(record.id) == record
    keys.close()
    depot.seal()
    assert depot.run("audit", "verify")["ok"] is True
    assert list((depot.paths.state / "replaced").iterdir())


def test_nothing_is_restored_under_a_running_gateway(tmp_path: Path) -> None:
    depot = a_depot(tmp_path / "w", database=False)
    depot.append(1)
    depot.run("db", "backup", str(tmp_path / "copy"))
    (depot.paths.run / "pid").write_text(str(os.getpid()))
    assert "running" in depot.run("db", "restore", str(tmp_path / "copy"), code=1)["error"]["message"]
    assert depot.run("db", "backup", str(tmp_path / "copy"), code=2)["error"]["message"].endswith("exists")


def age(server: PostgresServer, name: str, day: str) -> None:
    """Let everything that was appended so far have been appended on another day."""
    today = f"event_{datetime.now(UTC):%Y%m%d}"
    then = f"event_{day.replace('-', '')}"
    with psycopg.connect(server.url(name)) as owner:
        for statement in (
            f"ALTER TABLE event DETACH PARTITION {today}",
            f"UPDATE {today} SET day = '{day}'",  # noqa: S608 - a test's own names
            f"ALTER TABLE {today} RENAME TO {then}",
            f"ALTER TABLE event ATTACH PARTITION {then} FOR VALUES FROM ('{day}') TO (date '{day}' + 1)",
            f"UPDATE journal_day SET day = '{day}' WHERE day = (SELECT max(day) FROM journal_day)",  # noqa: S608 - likewise
        ):
            owner.execute(statement.encode())


def test_old_days_go_and_the_log_still_verifies(
    server: PostgresServer, name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    depot = a_depot(tmp_path / "w", database=True)
    for day in ("2026-01-01", "2026-01-02"):
        depot.append(300)
        age(server, name, day)
    revisions = [f"{number:064d}" for number in range(8)]
    depot.paths.configurations.mkdir()
    for number, revision in enumerate(revisions):
        (depot.paths.configurations / f"{revision}.json.gz").write_bytes(b"kept")
        with (depot.paths.configurations / "in-force.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(InForceLine(revision, 1_700_000_000_000 + number)) + b"\n")
    depot.append(10)
    assert "not sealed" in depot.run("db", "prune", "--before", "2026-01-02", code=1)["error"]["message"]
    depot.seal()
    assert "six months" in depot.run("db", "prune", "--before", "2026-11-01", code=2)["error"]["message"]
    assert depot.run("db", "prune", "--before", "2026-01-02") == {"days": 1, "first_seq": 301}
    reader = open_reader(depot.paths)
    assert (reader.first(), reader.size(), reader.read(1, 1)[0].seq) == (301, 614, 301)
    acts = [json.loads(row.data) for row in reader.read(612, 3)]
    assert [(act["action"], act["target"]) for act in acts] == [("config.forget", name) for name in revisions[:3]]
    assert [is_kept(depot.paths, name) for name in revisions] == [False] * 3 + [True] * 5
    reader.close()
    depot.append(5)
    sealer = make_sealer(depot.paths, AuditSettings())
    for _ in range(6):  # long enough to look at every older tile once more
        sealer.seal_once()
    sealer.close()
    assert depot.run("audit", "verify")["ok"] is True
    with psycopg.connect(server.url(name)) as owner:
        owner.execute("DROP TABLE event_20260102")
        owner.execute("DELETE FROM journal_day WHERE day = '2026-01-02'")
    report = depot.run("audit", "verify", code=1)
    assert "no record says that earlier ones were pruned" in json.dumps(report)
