"""The ledger of erasures in the database: it never goes back in time, whatever is done to the database."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from greffier.app.privacy_desk import follow_erasures, open_office, replay_erasures
from greffier.app.stores import open_content, open_erasures
from greffier.audit.ports import ContentUnavailable, PartLabel
from greffier.cli.main import app
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.storage.content import SqlContentStore
from greffier.storage.erasures import CopiedErasureLedger, SqliteErasureLedger
from greffier.storage.postgres.database import Database
from greffier.testing.contracts.erasure_ledger import NOW, ErasureLedgerContract
from greffier.testing.postgres_server import PostgresServer

SETTINGS = """
schema: 1
name: depot
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
storage: {url: 'env:GATEWAY_URL', admin_url: 'env:OWNER_URL'}
"""


class TestPostgresErasureLedger(ErasureLedgerContract):
    @pytest.fixture
    def ledger(self, gateway: Database, tmp_path: Path) -> Iterator[CopiedErasureLedger]:
        opened = CopiedErasureLedger(gateway.engine(), tmp_path / "erasures.db")
        yield opened
        opened.close()


@pytest.fixture
def point(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def to(name: str) -> None:
        monkeypatch.setenv("GATEWAY_URL", server.url(name, "gateway"))

    return to


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], WorkspacePaths]:
    def of(name: str) -> WorkspacePaths:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "greffier.yaml").write_text(SETTINGS)
        paths = WorkspacePaths(tmp_path / name)
        paths.ensure()
        return paths

    return of


def put(content: SqlContentStore, subject: str) -> str:
    label = PartLabel(subject=subject, use_case="claims", purpose="claims-handling")
    return asyncio.run(content.put("acme", f"req_{subject}", {"prompt": subject.encode()}, label))["prompt"][0]


def erase(paths: WorkspacePaths, request: str, subject: str) -> None:
    """What ``greffier dsr run`` does to ledger and content."""
    with open_office(paths) as office:
        number = office.erasures.bury(request, "acme", (subject,), (), NOW)
        office.content.keys.destroy("acme", subject)
        office.content.delete_subject("acme", subject)
        office.content.mark_applied(number)


def test_a_restored_database_is_cleaned_by_the_lines_that_a_machine_kept(
    server: PostgresServer, name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    here = machine("a")
    content = open_content(here)
    ada, bob, cyd = (put(content, subject) for subject in ("ref:ada", "ref:bob", "ref:cyd"))
    content.close()
    erase(here, "dsr_1", "ref:ada")
    with psycopg.connect(server.url("postgres"), autocommit=True) as owner:  # templates have no connections
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    restored = server.database(template=name)  # as it stood now: whatever tool a database is copied with
    erase(here, "dsr_2", "ref:bob")

    point(restored)
    content = open_content(here)
    assert content.get("acme", bob)[0] == b"ref:bob", "the copy brought them back"
    assert content.applied() == 1
    assert replay_erasures(here) == 1
    for gone in (ada, bob):
        with pytest.raises(ContentUnavailable):
            content.get("acme", gone)
    assert content.get("acme", cyd)[0] == b"ref:cyd"
    assert content.applied() == 2
    content.close()
    elsewhere = machine("b")
    ledger = open_erasures(elsewhere)
    assert [line.request for line in ledger.lines(0)] == ["dsr_1", "dsr_2"], "the lines are back for everyone"
    ledger.close()
    assert replay_erasures(here) == 0


def test_a_copy_that_greffier_made_is_cleaned_once_it_is_restored(
    server: PostgresServer,
    name: str,
    point: Callable[[str], None],
    machine: Callable[[str], WorkspacePaths],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def run(*command: str) -> None:
        monkeypatch.setenv("OWNER_URL", server.url(os.environ["GATEWAY_URL"].rpartition("/")[2]))
        done = CliRunner().invoke(app, ["db", *command, "--workspace", str(here.root)])
        assert done.exit_code == 0, done.output

    point(name)
    here = machine("a")
    content = open_content(here)
    ada, bob = (put(content, subject) for subject in ("ref:ada", "ref:bob"))
    content.close()
    keys = ("--content-keys", str(tmp_path / "keys.dump"))
    run("backup", str(tmp_path / "copy"), *keys)
    erase(here, "dsr_1", "ref:ada")
    point(server.database())
    run("restore", str(tmp_path / "copy"), *keys)
    content = open_content(here)
    assert content.get("acme", ada)[0] == b"ref:ada", "the copy brought her back"
    assert replay_erasures(here) == 1
    with pytest.raises(ContentUnavailable):
        content.get("acme", ada)
    assert content.get("acme", bob)[0] == b"ref:bob"
    content.close()


def test_running_gateways_notice_too(
    server: PostgresServer, name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    before = server.database(template=name)
    here = machine("a")
    erase(here, "dsr_1", "ref:ada")
    point(before)  # a failover to a standby that had not got the last commits
    content = open_content(here)
    put(content, "ref:ada")
    assert follow_erasures(here) == 1
    assert content.owners() == []
    content.close()
    assert follow_erasures(here) == 0


async def test_whoever_opens_the_ledger_first_erases_again(
    server: PostgresServer, name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    before = server.database(template=name)
    here = machine("a")
    erase(here, "dsr_1", "ref:ada")
    point(before)
    content = open_content(here)
    await asyncio.to_thread(put, content, "ref:ada")
    with open_office(here):  # as retention does, inside the supervisor's event loop
        assert content.owners() == []
    content.close()


def test_lines_that_two_machines_added_apart_are_all_kept_and_all_replayed(
    server: PostgresServer, name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    before = server.database(template=name)
    a, b = machine("a"), machine("b")
    erase(a, "dsr_1", "ref:ada")
    point(before)
    erase(b, "dsr_2", "ref:bob")  # takes the number that the lost line had
    content = open_content(a)
    put(content, "ref:ada")
    assert replay_erasures(a) == 1
    assert content.owners() == []
    content.close()
    for paths in (a, b):
        with open_office(paths) as office:
            assert [(line.number, line.request) for line in office.erasures.lines(0)] == [(1, "dsr_2"), (2, "dsr_1")]
            assert office.content.applied() == 2


def test_the_file_of_an_earlier_version_becomes_the_ledger(
    name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    a, b = machine("a"), machine("b")
    filed = SqliteErasureLedger(a.erasures_db)
    filed.bury("dsr_1", "acme", ("ref:ada",), (), NOW)
    mark = filed.mark("subject", "acme", "ref:ada")
    filed.close()
    open_erasures(b).close()  # a machine that had none is first
    open_erasures(a).close()
    for paths in (b, a):
        ledger = open_erasures(paths)
        assert [line.mark for line in ledger.lines(0)] == [mark] == [ledger.mark("subject", "acme", "ref:ada")]
        ledger.close()


def test_a_ledger_of_another_installation_is_refused(
    server: PostgresServer,
    migrated: str,
    name: str,
    point: Callable[[str], None],
    machine: Callable[[str], WorkspacePaths],
) -> None:
    here = machine("a")
    filed = SqliteErasureLedger(here.erasures_db)
    filed.bury("dsr_1", "acme", ("ref:ada",), (), NOW)
    filed.close()
    point(name)
    erase(machine("b"), "dsr_2", "ref:bob")
    with pytest.raises(PrivacyUnavailable, match="another installation"):
        open_erasures(here)


def test_content_that_knows_more_than_ledger_and_copy_is_not_served(
    name: str, point: Callable[[str], None], machine: Callable[[str], WorkspacePaths]
) -> None:
    point(name)
    here = machine("a")
    content = open_content(here)
    content.mark_applied(3)
    content.close()
    with pytest.raises(NotAllowed, match="ends at 0"):
        replay_erasures(here)
