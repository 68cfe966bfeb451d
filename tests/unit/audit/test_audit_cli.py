import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from greffier.audit.settings import AuditSettings
from greffier.cli.audit import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act, AnyEvent, parse
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.contracts.journal import make_admission, make_outcome

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
DAY_MS = 86_400_000
START_MS = 1_700_006_400_000  # 2023-11-15


def append(paths: WorkspacePaths, *events: AnyEvent) -> None:
    async def run() -> None:
        journal = open_journal(paths, AuditSettings())
        for event in events:
            await journal.append(event)
        await journal.close()

    asyncio.run(run())


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    write_demo(tmp_path)
    made = WorkspacePaths(tmp_path)
    made.ensure()
    for number in range(10):
        admission = make_admission(f"req_{number}", ts=START_MS + number * DAY_MS)
        append(made, admission, make_outcome(admission.request_id, ts=admission.ts + 5))
    return made


def run(paths: WorkspacePaths, *arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(paths.root)])
    assert done.exit_code == status, done.output
    return done


def run_json(paths: WorkspacePaths, *arguments: str, status: int = 0) -> Any:
    return json.loads(run(paths, *arguments, "--json", status=status).stdout)


def acts(paths: WorkspacePaths) -> list[tuple[str, str]]:
    events = [parse(row.data) for row in open_reader(paths).scan()]
    return [(event.action, event.target) for event in events if isinstance(event, Act)]


def standalone(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(VERIFIER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_show_finds_a_request_at_once_and_says_when_it_is_proven(paths: WorkspacePaths) -> None:
    shown = run_json(paths, "show", "req_3")
    assert shown["outcome"] == "answered"
    assert {line["seal"] for line in shown["evidence"]} == {"unsealed"}
    run(paths, "seal")
    shown = run_json(paths, "show", "req_3")
    assert {line["seal"] for line in shown["evidence"]} == {"proven"}
    assert "in the signed log" in run(paths, "show", "req_3").stdout


def test_show_exits_1_when_the_record_is_not_what_was_sealed(paths: WorkspacePaths) -> None:
    run(paths, "seal")
    with sqlite3.connect(paths.journal_db) as database:
        database.execute("UPDATE event SET data = CAST(replace(data, 'claims', 'cleims') AS BLOB) WHERE seq = 7")
    assert {line["seal"] for line in run_json(paths, "show", "req_3", status=1)["evidence"]} == {
        "proven",
        "contradicted",
    }


def test_every_reading_is_recorded(paths: WorkspacePaths, tmp_path: Path) -> None:
    run(paths, "seal")
    run(paths, "show", "req_1")
    run(paths, "show", "req_unknown", status=1)
    run(paths, "list")
    run(paths, "verify")
    run(paths, "prove", "--seq", "2")
    run(paths, "export", "-o", str(tmp_path / "out.jsonl"))
    assert [action for action, _ in acts(paths)] == [
        "audit.read", "audit.read", "audit.list", "audit.verify", "audit.read", "audit.export",
    ]  # fmt: skip
    assert acts(paths)[0] == ("audit.read", "request:req_1")


def test_nothing_is_shown_when_the_reading_cannot_be_recorded(paths: WorkspacePaths) -> None:
    lock = sqlite3.connect(paths.journal_db, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    done = run(paths, "show", "req_1", status=4)
    assert "key:k1" not in done.output
    lock.execute("ROLLBACK")


def test_verify_reports_size_root_and_tail(paths: WorkspacePaths) -> None:
    assert run_json(paths, "verify")["checkpoint"] is None
    run(paths, "seal")
    append(paths, make_admission(ts=SystemClock().wall_ms()))
    report = run_json(paths, "verify")
    assert report["ok"]
    assert report["findings"] == []
    # 20 events and the record of the first verification are sealed; what came afterwards is not
    assert (report["checkpoint"]["size"], report["events"], report["unsealed"]) == (21, 22, 1)
    assert "OK" in run(paths, "verify").stdout


def test_verify_exits_1_and_names_the_event(paths: WorkspacePaths) -> None:
    run(paths, "seal")
    with sqlite3.connect(paths.journal_db) as database:
        database.execute("DELETE FROM event WHERE seq = 4")
    report = run_json(paths, "verify", status=1)
    assert [(finding["kind"], finding["seq"]) for finding in report["findings"]] == [("missing", 4)]
    assert "event 4 was sealed but is missing" in run(paths, "verify", status=1).stdout


def test_verify_since_starts_later_and_still_ends_at_the_signed_root(paths: WorkspacePaths) -> None:
    for number in range(300):
        append(paths, make_admission(ts=START_MS + 30 * DAY_MS + number))
    run(paths, "seal")
    report = run_json(paths, "verify", "--since", "2023-12-15T00:00:00.200Z")
    assert report["ok"]
    assert report["first_seq"] == 1  # the moment less the clock's tolerance lies in the first tile
    append(paths, make_admission(ts=START_MS + 60 * DAY_MS))
    assert run_json(paths, "verify", "--since", "2024-01-10")["first_seq"] == 257


def test_a_proof_is_checked_by_the_standalone_verifier(paths: WorkspacePaths, tmp_path: Path) -> None:
    run(paths, "prove", "req_5", status=1)
    run(paths, "seal")
    proof, keys = tmp_path / "proof.json", tmp_path / "keys"
    run(paths, "prove", "req_5", "-o", str(proof))
    keys.write_text(run(paths, "public-key").stdout)
    done = standalone("proof", str(proof), str(keys))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "event 12 is in log" in done.stdout
    forged = json.loads(proof.read_text())
    forged["event"] = forged["event"].replace("answered", "cancelled")
    proof.write_text(json.dumps(forged))
    assert standalone("proof", str(proof), str(keys)).returncode == 1


def test_an_export_is_exact_and_compares_with_the_log(paths: WorkspacePaths, tmp_path: Path) -> None:
    run(paths, "seal")
    whole, part, keys = tmp_path / "whole.jsonl", tmp_path / "part.jsonl", tmp_path / "keys"
    keys.write_text(run(paths, "public-key").stdout)
    run(paths, "export", "-o", str(whole))
    assert len(whole.read_text().splitlines()) == 20
    done = run_json(paths, "export", "-o", str(part), "--from", "2023-11-16", "--to", "2023-11-18")
    assert done["events"] == 4
    assert [json.loads(line)["seq"] for line in part.read_text().splitlines()] == [3, 4, 5, 6]
    for file in (whole, part):
        checked = standalone("log", str(paths.log), str(keys), "--export", str(file))
        assert checked.returncode == 0, checked.stdout + checked.stderr
    part.write_text(part.read_text().replace("claims", "cleims", 1))
    assert standalone("log", str(paths.log), str(keys), "--export", str(part)).returncode == 1


def test_consistency_of_two_checkpoints(paths: WorkspacePaths, tmp_path: Path) -> None:
    run(paths, "seal")
    shutil.copy(paths.log / "checkpoint", tmp_path / "old")
    append(paths, make_admission())
    run(paths, "seal")
    new = str(paths.log / "checkpoint")
    assert run_json(paths, "consistency", str(tmp_path / "old"), new)["ok"]
    run(paths, "consistency", new, str(tmp_path / "old"), status=1)
    assert run_json(paths, "verify", "--kept", str(tmp_path / "old"))["ok"]


def test_list_shows_the_newest_events(paths: WorkspacePaths) -> None:
    listed = run_json(paths, "list", "--limit", "3")
    assert [line["seq"] for line in listed] == [18, 19, 20]
    assert "admitted to claims" in run(paths, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["prove"], 2), (["prove", "req_1", "--seq", "1"], 2), (["prove", "--seq", "99999"], 1),
        (["verify", "--since", "yesterday"], 2), (["consistency", "missing", "missing"], 4), (["public-key"], 1),
    ],
)  # fmt: skip
def test_mistakes_get_an_exit_code_and_a_remedy(paths: WorkspacePaths, arguments: list[str], status: int) -> None:
    assert "remedy" in run_json(paths, *arguments, status=status)["error"]


def test_a_folder_without_evidence_is_named(tmp_path: Path) -> None:
    run(WorkspacePaths(tmp_path), "verify", status=3)
    (tmp_path / ".greffier").mkdir()
    run(WorkspacePaths(tmp_path), "verify", status=4)
