"""The command line of incidents: cases are versions, acts are on record, holds take two people."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from greffier.app import operators
from greffier.app.stores import open_incidents
from greffier.cli.incident import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.core.events import Act, parse
from greffier.governance.incidents.ports import IncidentChanged
from greffier.storage.journal import open_reader
from greffier.storage.privacy import SqlHolds
from greffier.storage.privacy_db import open_privacy


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    write_demo(tmp_path)
    return WorkspacePaths(tmp_path)


def run(paths: WorkspacePaths, *arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(paths.root)])
    assert done.exit_code == status, done.output
    return done


def run_json(paths: WorkspacePaths, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(paths, *arguments, "--json", status=status).stdout)


def log_in_as(monkeypatch: pytest.MonkeyPatch, folder: Path, uid: int) -> None:
    """Let the kernel say that someone else is at the keyboard."""
    (folder / f"login-{uid}").write_text(str(uid))
    monkeypatch.setattr(operators, "LOGIN_UID", folder / f"login-{uid}")


def use_case(paths: WorkspacePaths) -> str:
    return min(path.stem for path in (paths.root / "use_cases").glob("*.yaml"))


def test_a_breach_from_opening_to_closing(paths: WorkspacePaths, tmp_path: Path) -> None:
    opened = run_json(
        paths, "open", "--title", "Mail to the wrong recipient", "--aware-at", "2026-11-01T08:00", "--category",
        "gdpr_breach", "--use-case", use_case(paths),
    )  # fmt: skip
    name = opened["id"]
    assert opened["clocks"][0]["due_ms"] - opened["aware_ms"] == 72 * 3_600_000
    run(paths, "clocks", name, "--strict", status=1)
    facts = ["--subjects", "12", "--records", "30", "--data-category", "contact", "--consequences", "unwanted mail"]
    run(paths, "classify", name, *facts, "--measure", "recalled the mail", "--root-cause", "a typing error")
    (tmp_path / "notice.txt").write_text("Dear authority")
    arguments = ["sent", name, "gdpr-authority", "--receipt", "A-1", "--document", str(tmp_path / "notice.txt")]
    assert "late" in run(paths, *arguments, "--at", "2026-11-20T08:00", status=1).stderr
    run(paths, *arguments, "--at", "2026-11-03T08:00")
    run(paths, "clocks", "--strict")
    run(paths, "close", name, "--review", "two eyes on every mail")
    line = run_json(paths, "list", "--breaches")[0]
    assert line["state"] == "closed"
    assert (line["subjects"], line["effects"], line["remedial_action"]) == (12, "unwanted mail", ["recalled the mail"])
    assert line["notified"] == ["gdpr-authority"]
    shown = run_json(paths, "show", name)
    assert [one["version"] for one in shown["versions"]] == [1, 2, 3, 4]
    reader = open_reader(paths)
    events = [parse(row.data) for row in reader.scan()]
    reader.close()
    acts = [event for event in events if isinstance(event, Act)]
    assert [act.action for act in acts] == [
        "incident.open", "incident.classify", "incident.sent", "incident.close", "incident.list", "incident.read",
    ]  # fmt: skip
    assert all("wrong recipient" not in str(act) for act in acts)  # the log holds digests, not the text


def test_an_incident_that_is_no_breach_is_not_among_the_breaches(paths: WorkspacePaths) -> None:
    run(paths, "open", "--title", "Outage", "--suspect", "dora_major")
    assert run_json(paths, "list", "--breaches") == []
    assert len(run_json(paths, "list")) == 1
    assert "dora-initial" in run(paths, "clocks").stdout


def test_a_hold_takes_two_people_and_ends(
    paths: WorkspacePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = run_json(paths, "open", "--title", "t", "--category", "aia_serious", "--use-case", use_case(paths))
    name = opened["id"]
    placed = run_json(paths, "hold", name, "--days", "30")[0]
    assert placed["expires_ms"] - placed["placed_ms"] == 30 * 86_400_000
    assert "second person" in run(paths, "hold", name, "--approve", status=1).stderr
    log_in_as(monkeypatch, tmp_path, 4711)
    assert run_json(paths, "hold", name, "--approve")[0]["approved_by"].endswith(":4711")
    assert run_json(paths, "hold", name, "--release")[0]["released_ms"] is None
    run(paths, "hold", name, "--release", status=1)  # the same person again
    log_in_as(monkeypatch, tmp_path, 4712)
    assert run_json(paths, "hold", name, "--release")[0]["released_ms"] is not None
    database = open_privacy(paths)
    assert not any(hold.active(placed["placed_ms"] + 1000) for hold in SqlHolds(database).all())
    database.close()


def test_a_hold_needs_a_use_case(paths: WorkspacePaths) -> None:
    name = run_json(paths, "open", "--title", "t")["id"]
    assert "no use case" in run(paths, "hold", name, status=1).stderr
    assert "no hold" in run(paths, "hold", name, "--approve", status=1).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["open", "--title", "t", "--aware-at", "2099-01-01"],
        ["open", "--title", "t", "--aware-at", "yesterday"],
        ["open", "--title", "t", "--category", "bad"],
        ["open", "--title", "t", "--category", "dora_major", "--suspect", "dora_major"],
        ["open", "--title", "t", "--use-case", "nobody"],
        ["show", "inc_none"],
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(paths: WorkspacePaths, arguments: list[str]) -> None:
    done = run(paths, *arguments, status=1)
    assert "remedy" in done.stderr
    assert run_json(paths, "list") == []


def test_a_workspace_is_needed(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["list", "--workspace", str(tmp_path)]).exit_code == 1
    assert not (tmp_path / ".greffier").exists()


def test_versions_are_only_added(paths: WorkspacePaths) -> None:
    name = run_json(paths, "open", "--title", "t")["id"]
    register = open_incidents(paths)
    incident = register.get(name)
    with pytest.raises(IncidentChanged):  # two people saved version 1
        register.save(incident, by="os:b:2", at_ms=1)
    register.close()
    database = sqlite3.connect(paths.incidents_db)
    for statement in ("UPDATE incident SET data = '{}'", "DELETE FROM incident"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            database.execute(statement)
    database.close()


def test_a_narrow_terminal_shows_names_and_moments_whole(
    paths: WorkspacePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ("--category", "cra_exploited_vulnerability", "--aware-at", "2026-11-20T08:00")
    incident = run_json(paths, "open", "--title", "t", *arguments)["id"]
    for shown in (run(paths, "clocks").stdout, run(paths, "show", incident).stdout):
        assert incident in shown
        assert "cra-vulnerability-notification" in shown
        assert "2026-11-21T08:00:00Z" in shown
    run(paths, "classify", incident, "--category", "gdpr_breach", "--subjects", "12", "--consequences", "unwanted mail")
    register = run(paths, "list", "--breaches").stdout
    for said in (incident, "2026-11-20T08:00:00Z", "gdpr_breach (established)", "12, records unknown", "unwanted mail"):
        assert said in register
    assert "gdpr-authority" in register.partition("to tell")[2]


def test_the_days_of_a_case_are_those_of_the_controller(paths: WorkspacePaths) -> None:
    settings = paths.root / "greffier.yaml"
    settings.write_text(settings.read_text() + "controller: {name: A, contact: b@c.example, timezone: Europe/Berlin}\n")
    opened = run_json(paths, "open", "--title", "t", "--category", "aia_serious", "--aware-at", "2026-03-20T22:45")
    (clock,) = opened["clocks"]
    assert (
        clock["due_ms"] == 1_775_339_100_000
    )  # 4 April 2026, 21:45 UTC: before midnight in Berlin, where clocks went forward


def test_the_law_is_shown_with_its_sources(paths: WorkspacePaths) -> None:
    assert "2025/301" in CliRunner().invoke(app, ["law"]).stdout
    shown = json.loads(CliRunner().invoke(app, ["law", "--json"]).stdout)
    assert shown["regimes"]["ai_act"]["dates"]["high_risk_now"] == "2027-12-02"


def test_dora_is_classified_from_facts_and_on_record(paths: WorkspacePaths) -> None:
    name = run_json(paths, "open", "--title", "Answers are late", "--suspect", "dora_major")["id"]
    assert run_json(paths, "dora", name)["result"] == "open"
    refused = run(paths, "dora", name, "--apply", status=1)
    assert "critical_functions" in refused.output
    assert "Facts:" in run(paths, "dora", name, "--fact", "weather=1", status=1).output
    assert "neither a number" in run(paths, "dora", name, "--fact", "media=maybe", status=1).output
    facts = [word for fact in ("critical_functions=yes", "media=yes", "cost_eur=150000") for word in ("--fact", fact)]
    verdict = run_json(paths, "dora", name, *facts, "--apply")
    assert verdict["result"] == "major"
    shown = run_json(paths, "show", name)
    assert shown["facts"] == {"critical_functions": 1, "media": 1, "cost_eur": 150_000}
    assert shown["categories"]["dora_major"]["standing"] == "established"
    assert "Art. 8(1)(b): 2 thresholds met" in shown["categories"]["dora_major"]["reason"]
    assert {clock["clock"] for clock in shown["clocks"]} >= {"dora-initial", "dora-intermediate", "dora-final"}
    (act,) = [
        event
        for row in open_reader(paths).scan()
        if isinstance(event := parse(row.data), Act) and event.details.get("dora") == "major"
    ]
    assert act.details["dora_major"] == "established"


def test_an_incident_that_is_not_major_is_excluded_with_the_reason(paths: WorkspacePaths) -> None:
    name = run_json(paths, "open", "--title", "A typo", "--suspect", "dora_major")["id"]
    facts = [f"--fact={fact}=no" for fact in ("critical_functions", "authorised_services", "malicious_access")]
    assert "not_major" in run(paths, "dora", name, *facts, "--apply").output
    category = run_json(paths, "show", name)["categories"]["dora_major"]
    assert category["standing"] == "excluded"
    assert "no critical service" in category["reason"]
    assert "0 root causes" in run(paths, "dora").output
