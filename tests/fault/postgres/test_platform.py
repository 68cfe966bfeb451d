"""The whole gateway on PostgreSQL, through an outage of the database, by risk class."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greffier.app.stores import administration_of, open_keys, open_reader
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.identity.keys import issue_key
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform, eventually
from greffier.testing.postgres_server import PostgresServer
from greffier.testing.workspaces import settings, small_workspace, use_case, write_workspace

SETTINGS = settings(
    server={"drain_timeout_s": 5},
    audit={"append_timeout_ms": 800, "spool_limited_s": 3},
    storage={"url": "env:GATEWAY_URL", "admin_url": "env:OWNER_URL"},
)
RISKS = ("high", "limited", "minimal")


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture
def platform(
    server: PostgresServer, peers: Peers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Platform]:
    name = server.database()
    monkeypatch.setenv("GATEWAY_URL", server.url(name, "gateway"))
    monkeypatch.setenv("OWNER_URL", server.url(name))
    cases = [use_case(f"{risk}-case", risk_class=risk) for risk in RISKS]
    workspace = write_workspace(tmp_path / "workspace", small_workspace(SETTINGS, *cases))
    made = Platform(workspace, peers.environment, workers=2)
    yield made
    made.stop()
    server.stop()
    server.start()


def prepare(paths: WorkspacePaths) -> dict[str, str]:
    """What ``db upgrade`` and ``keys create`` do, without a process each; a key per risk class."""
    database = administration_of(paths)
    assert database is not None
    database.upgrade()
    now = SystemClock().wall_ms()
    store = open_keys(paths)
    keys = {}
    for risk in RISKS:
        issued = issue_key(tenant="acme", use_case=f"{risk}-case", created_ms=now, expires_ms=now + 3_600_000)
        store.create(issued.record)
        keys[risk] = issued.key
    store.close()
    return keys


def gauges(platform: Platform) -> dict[str, float]:
    """What a scrape says about the journal's outage and spools, of all workers."""
    lines = platform.request("GET", "/metrics").body.decode().splitlines()
    wanted = ("out_of_reach", "spooled_events", "spooled_bytes")
    found = dict(line.split(" ") for line in lines if line.startswith("greffier_journal_"))
    return {name: float(found[f"greffier_journal_{name}"]) for name in wanted}


def out_of_reach(platform: Platform) -> list[str]:
    """Warnings of whichever worker answers."""
    told = platform.request("GET", "/healthz").json
    warnings = [warning for warning in told["warnings"] if warning.startswith("the journal is out of reach for")]
    assert told["journal"]["out_of_reach"] is bool(warnings)
    return warnings


def scrape_while_silent(server: PostgresServer, platform: Platform) -> list[int]:
    """Scrape and probe while the database neither answers nor hangs up; how each was answered."""
    answers: list[int] = []

    def ask(path: str) -> None:
        answers.append(platform.request("GET", path).status)

    server.freeze()
    try:
        callers = [threading.Thread(target=ask, args=(path,)) for path in ("/metrics", "/metrics", "/healthz")]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        return list(answers)
    finally:
        server.thaw()


def test_a_start_without_the_database_says_why(server: PostgresServer, platform: Platform) -> None:
    code, said = platform.refusal()
    assert code != 0
    assert "greffier db upgrade" in said
    server.stop()
    code, said = platform.refusal()
    assert code != 0
    assert "refused" in said
    assert "Traceback" not in said


def test_an_outage_of_the_database_is_bridged_by_risk_class(server: PostgresServer, platform: Platform) -> None:
    keys = prepare(WorkspacePaths(platform.workspace))
    platform.start()
    answered: list[str] = []

    def ask(risk: str) -> int:
        answer = platform.chat(keys[risk], "hello")
        if answer.status == 200:
            answered.append(answer.headers["x-request-id"])
        return answer.status

    for risk in RISKS:
        assert [ask(risk) for _ in range(3)] == [200] * 3
    assert scrape_while_silent(server, platform) == [200] * 3, "a scrape waits for no silent database"
    server.stop("immediate")
    began = time.monotonic()
    assert ask("high") == 503
    assert [ask("limited") for _ in range(6)] == [200] * 6
    assert [ask("minimal") for _ in range(6)] == [200] * 6
    eventually(lambda: ask("limited") == 503)
    assert time.monotonic() - began > 2
    assert ask("minimal") == 200
    shown = gauges(platform)
    assert shown["out_of_reach"] >= 1
    assert shown["spooled_events"] >= 12
    assert shown["spooled_bytes"] > shown["spooled_events"] * 100
    eventually(lambda: bool(out_of_reach(platform)))  # each worker speaks for itself
    server.start()
    eventually(lambda: ask("high") == 200)
    eventually(lambda: ask("limited") == 200)  # the other worker may be a moment behind

    def recorded() -> list[dict[str, Any]]:
        reader = open_reader(WorkspacePaths(platform.workspace))
        events = [json.loads(row.data) for row in reader.scan()]
        reader.close()
        return events

    def all_given_back() -> bool:
        known = {(event.get("request_id"), event["kind"]) for event in recorded()}
        return all((request, kind) in known for request in answered for kind in ("admission", "outcome"))

    eventually(all_given_back, within_s=30)
    eventually(lambda: set(gauges(platform).values()) == {0.0})
    eventually(lambda: not out_of_reach(platform))
    platform.stop()
    events = recorded()
    kinds = Counter((event["request_id"], event["kind"]) for event in events if event.get("request_id"))
    assert set(kinds.values()) == {1}
    assert "journal.outage" in {event.get("action") for event in events}
    assert not list((platform.workspace / ".greffier" / "spool").glob("*.spool"))
    done = platform.command("audit", "verify", "--json")
    assert done.returncode == 0, done.stdout
