"""A whole worker in this process, on either store; its clock, keys, detector and journal can be broken."""

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from greffier.app import front_door
from greffier.app.front_door import FrontDoor
from greffier.app.plant import Plant
from greffier.app.stores import administration_of, open_keys, open_reader
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.context import RISK_CLASSES, RiskClass
from greffier.identity.keys import issue_key
from greffier.storage.bridging import Bridge
from greffier.testing.asgi import Reply, ask
from greffier.testing.clock import ManualClock
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.postgres_server import PostgresServer, running_postgres
from greffier.testing.workspaces import File, small_workspace, use_case, write_workspace

Store = Literal["sqlite", "postgresql"]
STORES: tuple[Store, ...] = ("sqlite", "postgresql")
VALID_DAYS = 5

SETTINGS = """
schema: 1
name: matrix
tenants:
  acme: {title: Acme}
audit: {append_timeout_ms: 2000}
identity: {key_poll_s: 0.2}
"""
GUARDRAILS = """
detectors:
  outside: {kind: http, types: [odd], url: "env:DETECTOR_URL", timeout_ms: 5000}
screens:
  watched:
    detectors: [outside]
    input: [{id: odd, types: [odd], then: flag}]
    output: [{id: odd-answer, types: [odd], then: flag}]
"""


class Detector:
    """An operator's detector, which can be told to fail on what comes from users, or from models."""

    def __init__(self) -> None:
        detector = self
        self.fails_on = ""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["content-length"]))
                passages = json.loads(asked)["passages"]
                failing = detector.fails_on in {passage["provenance"] for passage in passages}
                body = b"out of order" if failing else json.dumps({"results": [{}] * len(passages)}).encode()
                self.send_response(500 if failing else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Gateway:
    """One worker, without a process and without anything that follows the workspace by itself."""

    def __init__(self, paths: WorkspacePaths, keys: dict[RiskClass, str], peers: Peers) -> None:
        self.paths = paths
        self.peers = peers
        self.clock = ManualClock(time.time_ns() // 1_000_000)
        self._keys = keys
        snapshot = load_snapshot(paths, self.clock)
        self.plant = Plant(paths, snapshot, self.clock, worker=0, workers=1)
        self.door = FrontDoor(self.plant, snapshot)

    async def look(self) -> None:
        """What a worker does once a second."""
        await self.door._look()
        await self.door._look_at_clock()

    async def ask(self, risk: RiskClass, text: str = "hello") -> Reply:
        """Ask as the use case of a risk class. Keys and consents are read again first, if the clock was moved."""
        body = {"model": "assistant", "messages": [{"role": "user", "content": text}]}
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {self._keys[risk]}")]
        for _ in range(600):
            reply = await ask(self.door.app, "POST", "/v1/chat/completions", body, headers)
            if code_of(reply) not in {"identity_unavailable", "privacy_unavailable"}:
                return reply
            await asyncio.sleep(0.05)
        raise AssertionError("keys and consents are never read again")

    async def told(self, risk: RiskClass, text: str = "hello") -> str:
        """The code of the refusal; empty for an answer. Whoever is refused before the model has not reached it."""
        self.peers.clear()
        reply = await self.ask(risk, text)
        code = code_of(reply)
        assert reply.status == (503 if code else 200), reply.body
        return code

    @property
    def bridge(self) -> Bridge:
        journal: Any = self.plant.journal
        bridge: Bridge = journal._journal._bridge
        return bridge

    async def let_outage_last(self, seconds: float) -> None:
        """As if the journal had been out of reach for so much longer."""
        outage = self.bridge.outage
        assert outage is not None
        outage.since -= seconds

    async def recovered(self) -> None:
        for _ in range(1200):
            if not self.plant.journal.state().out_of_reach:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the journal never caught up")

    def records(self, request_id: str) -> list[dict[str, Any]]:
        reader = open_reader(self.paths)
        try:
            return [json.loads(event.data) for event in reader.find(request_id)]
        finally:
            reader.close()

    def acts(self, action: str) -> list[dict[str, Any]]:
        reader = open_reader(self.paths)
        try:
            events = [json.loads(event.data) for event in reader.scan()]
        finally:
            reader.close()
        return [event for event in events if event.get("action") == action]


def code_of(reply: Reply) -> str:
    return "" if reply.status == 200 else str(reply.json()["error"]["code"])


class Faults:
    """Breaks and mends what the gateway leans on, per store."""

    def __init__(self, store: Store, paths: WorkspacePaths, server: PostgresServer, database: str) -> None:
        self._store = store
        self._paths = paths
        self._server = server
        self._database = database
        self._mend: list[Any] = []

    def break_journal(self) -> None:
        if self._store == "sqlite":
            self._hide(self._paths.journal_db)
        else:
            self._server.stop("immediate")
            self._mend.append(self._server.start)

    def break_keys(self) -> None:
        """The keys cannot be read any more."""
        self._execute("ALTER TABLE data_key RENAME TO data_key_gone")
        self._mend.append(lambda: self._execute("ALTER TABLE data_key_gone RENAME TO data_key"))

    def mend(self) -> None:
        for mend in self._mend:
            mend()
        self._mend.clear()

    def _execute(self, statement: str) -> None:
        if self._store == "sqlite":
            with contextlib.closing(sqlite3.connect(self._paths.content_keys_db)) as file:
                file.execute(statement)
            return
        with psycopg.connect(self._server.url(self._database), autocommit=True) as connection:
            connection.execute(statement)

    def _hide(self, file: Path) -> None:
        away = file.with_name(f"away-{file.name}")
        file.rename(away)
        self._mend.append(lambda: away.rename(file))


class Site:
    """A workspace with a signed release on one store; tests put it back as they found it."""

    def __init__(self, store: Store, root: Path, server: PostgresServer, peers: Peers) -> None:
        self.store: Store = store
        self.paths = WorkspacePaths(root)
        self.database = server.database()
        last = (datetime.now(UTC) + timedelta(days=VALID_DAYS)).date()
        settings = SETTINGS + f'valid_until: "{last}"\n'
        if store == "postgresql":
            settings += 'storage: {url: "file:gateway.url", admin_url: "file:owner.url"}\n'
        cases = [
            use_case(f"{risk}-case", risk_class=risk, screen="watched", capture_content=True) for risk in RISK_CLASSES
        ]
        own: dict[str, File] = {
            "greffier.yaml": settings,  # as text: the command line adds the trusted key to it
            "guardrails/screens.yaml": GUARDRAILS,
            "gateway.url": server.url(self.database, "gateway"),
            "owner.url": server.url(self.database),
        }
        write_workspace(root, small_workspace(None, *cases) | own)
        platform = Platform(root, peers.environment | {"DETECTOR_URL": "http://127.0.0.1:9/"})
        if store == "postgresql":
            database = administration_of(self.paths)
            assert database is not None
            database.upgrade()
        self._run(platform, "config", "sign-key", "--trust")
        self._run(platform, "config", "build", "--sign")
        self.keys = self._issue()

    @staticmethod
    def _run(platform: Platform, *line: str) -> None:
        done = platform.command(*line)
        assert done.returncode == 0, done.stdout + done.stderr

    def _issue(self) -> dict[RiskClass, str]:
        now = time.time_ns() // 1_000_000
        store = open_keys(self.paths)
        issued = {
            risk: issue_key(tenant="acme", use_case=f"{risk}-case", created_ms=now, expires_ms=now + 10**11)
            for risk in RISK_CLASSES
        }
        for key in issued.values():
            store.create(key.record)
        store.close()
        return {risk: key.key for risk, key in issued.items()}

    def put_in_force(self, revision: str) -> None:
        draft = self.paths.releases / "draft"
        draft.write_text(revision + "\n")
        draft.replace(self.paths.releases / "current")

    def tampered(self) -> str:
        """A release with one word changed after it was signed."""
        good = self.paths.releases / self.revision
        bad = self.paths.releases / ("0" * 64)
        bad.mkdir(exist_ok=True)
        (bad / "bundle.json").write_bytes((good / "bundle.json").read_bytes().replace(b"approved", b"apprOved", 1))
        (bad / "bundle.sig").write_bytes((good / "bundle.sig").read_bytes())
        return bad.name

    @property
    def revision(self) -> str:
        return (self.paths.releases / "current").read_text().strip()


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    yield from running_postgres()


@pytest.fixture(scope="session", params=STORES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: PostgresServer, peers: Peers
) -> Site:
    return Site(request.param, tmp_path_factory.mktemp(f"matrix-{request.param}"), server, peers)


@pytest.fixture
def detector() -> Iterator[Detector]:
    made = Detector()
    yield made
    made.stop()


@pytest.fixture
async def gateway(
    site: Site, peers: Peers, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    for name, value in (peers.environment | {"DETECTOR_URL": detector.url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(front_door, "time_source", lambda: "synchronised")  # whatever this machine's kernel says
    made = Gateway(site.paths, site.keys, peers)
    await made.plant.start()
    await made.door.open()
    yield made
    await made.door.close()
    await made.plant.close()


@pytest.fixture
def faults(site: Site, server: PostgresServer) -> Iterator[Faults]:
    made = Faults(site.store, site.paths, server, site.database)
    revision = site.revision
    yield made
    made.mend()
    site.put_in_force(revision)
