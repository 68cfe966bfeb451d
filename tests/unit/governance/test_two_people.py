"""What two people must agree on is kept apart by the database, whoever writes to it and by whatever way."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.app import operators
from greffier.app.privacy_desk import Office, open_office
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import NotAllowed, NotFound
from greffier.governance.privacy.records import LedgerLine, Reveal

ANN, BEA = "os:ann:1", "os:bea:2"


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path)
    made.ensure()
    made.settings.write_text("schema: 1\nname: t\nunsafe_development_mode: true\ntenants: {acme: {title: Acme}}\n")
    return made


@pytest.fixture
def office(paths: WorkspacePaths) -> Iterator[Office]:
    with open_office(paths) as opened:
        reveal = Reveal(
            id="rev_1", request_id="req_1", reason="suit", requested_by=ANN, requested_ms=1_000, expires_ms=2_000
        )
        opened.reveals.ask(reveal)
        line = LedgerLine(
            tenant="acme", subject="ref", purpose="", kind="objection", active=True, at_ms=1_000, actor=ANN
        )
        opened.ledger.enter(line)
        yield opened


def test_a_reveal_is_approved_once_in_time_by_another_person(office: Office) -> None:
    with pytest.raises(NotAllowed, match="second person"):
        office.reveals.approve("rev_1", ANN, 1_500)
    with pytest.raises(NotAllowed, match="expired"):
        office.reveals.approve("rev_1", BEA, 2_000)
    assert office.reveals.approve("rev_1", BEA, 1_500).approved_by == BEA
    with pytest.raises(NotAllowed, match="already"):
        office.reveals.approve("rev_1", "os:cid:3", 1_600)
    with pytest.raises(NotFound):
        office.reveals.approve("rev_2", BEA, 1_500)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE reveal_request SET approved_by = requested_by, approved_ms = 1500",
        "UPDATE reveal_request SET approved_by = 'os:bea:2', approved_ms = 2500",
        "UPDATE reveal_request SET requested_by = 'os:bea:2'",
        "UPDATE reveal_request SET request_id = 'req_2'",
        "UPDATE reveal_request SET reason = 'curiosity'",
        "UPDATE reveal_request SET expires_ms = 9000",
        "UPDATE privacy_ledger SET active = 0",
        "UPDATE privacy_ledger SET subject = 'somebody else'",
        "DELETE FROM privacy_ledger",
        (
            "INSERT INTO privacy_ledger SELECT 9, tenant, subject, purpose, 'wish', active, at_ms, actor, channel, "
            "text_version, proof, reason, origin FROM privacy_ledger"
        ),
        (
            "INSERT INTO legal_hold VALUES ('h', 'acme', '', '', '', 'r', 'os:ann:1', 1, 2, 9, 'os:ann:1', 2, "
            "NULL, NULL, NULL)"
        ),
        (
            "INSERT INTO legal_hold VALUES ('h', 'acme', '', '', '', 'r', 'os:ann:1', 1, 2, 9, NULL, NULL, "
            "'os:bea:2', 'os:bea:2', 3)"
        ),
        (
            "INSERT INTO legal_hold VALUES ('h', 'acme', '', '', '', 'r', 'os:ann:1', 9, 2, 9, NULL, NULL, "
            "NULL, NULL, NULL)"
        ),
    ],
)
def test_the_database_refuses_by_itself(paths: WorkspacePaths, office: Office, attack: str) -> None:
    assert office.reveals.get("rev_1").approved_by is None
    with sqlite3.connect(paths.privacy_db) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(attack)
    assert office.reveals.get("rev_1").approved_by is None
    assert [line.active for line in office.ledger.lines("acme", "ref")] == [True]


def test_the_person_behind_a_service_account_is_who_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("SUDO_UID", "4711")
    told = tmp_path / "loginuid"
    told.write_text("61001")
    monkeypatch.setattr(operators, "LOGIN_UID", told)
    assert operators.KernelIdentity().who() == "os:unnamed:61001"
    told.write_text(str(2**32 - 1))  # nobody logged in: a container, a service
    assert operators.KernelIdentity().who().endswith(f":{os.getuid()}")
    assert "somebody-else" not in operators.KernelIdentity().who()
