"""Eight workers and two sealers on PostgreSQL, killed in the middle of their work, and the server with them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.sealing import make_sealer
from greffier.app.stores import open_reader
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.config.paths import WorkspacePaths
from greffier.core.events import parse
from greffier.testing.postgres_server import PostgresServer

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
CRASHING = Path(__file__).parents[1] / "audit" / "crashing.py"
SETTINGS = """
schema: 1
name: crashes
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
storage: {url: "env:GATEWAY_URL"}
"""


@pytest.fixture
def paths(server: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkspacePaths:
    monkeypatch.setenv("GATEWAY_URL", server.url(name, "gateway"))
    made = WorkspacePaths(tmp_path / "workspace")
    made.root.mkdir()
    made.settings.write_text(SETTINGS)
    made.ensure()
    return made


def test_both_verifiers_agree_on_a_log_written_through_crashes(
    server: PostgresServer, paths: WorkspacePaths, tmp_path: Path
) -> None:
    acknowledged: set[str] = set()
    for round_ in range(2):
        acknowledged |= crash_once(server, paths, tmp_path / str(round_), crash_server=round_ == 1)
    seal_the_rest(paths)
    reader = open_reader(paths)
    rows = list(reader.scan())
    report = Verification(reader, TileStore(paths.log), known_verifiers(paths), AuditSettings().origin).run()
    reader.close()
    assert report.findings == ()
    assert report.unsealed == 0
    assert report.checkpoint is not None
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    identifiers = [parse(row.data).id for row in rows]
    assert len(set(identifiers)) == len(identifiers)
    assert len(acknowledged) > 200
    assert acknowledged <= set(identifiers)

    exported = tmp_path / "export.jsonl"
    exported.write_bytes(b"".join(b'{"event":%b,"seq":%d}\n' % (row.data, row.seq) for row in rows))
    keys = paths.secrets / "log-signing.pem.public"
    command = [sys.executable, "-I", str(VERIFIER), "log", str(paths.log), str(keys), "--export", str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"size {report.checkpoint.size} " in done.stdout
    assert json.loads(exported.read_bytes().splitlines()[0])["seq"] == 1


def crash_once(server: PostgresServer, paths: WorkspacePaths, folder: Path, *, crash_server: bool) -> set[str]:
    """Run until each worker was acknowledged, kill it all; return what was acknowledged."""
    folder.mkdir()
    said = [folder / f"said-{worker}" for worker in range(8)]
    command = [sys.executable, str(CRASHING), str(paths.root), str(folder), "8", "2"]
    running = subprocess.Popen(command, start_new_session=True)
    try:
        for _ in range(6000):
            if all(file.exists() and file.stat().st_size > 500 for file in said) or running.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(0.3)
        if crash_server:
            server.stop("immediate")
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)
    if crash_server:
        server.start()
    assert all(file.stat().st_size for file in said), "a worker never wrote"
    lines = [line for file in said for line in file.read_text().splitlines(keepends=True)]
    return {line.strip() for line in lines if line.endswith("\n")}


def seal_the_rest(paths: WorkspacePaths) -> None:
    """The killed sealer's lock goes when the server has noticed its death."""
    sealer = make_sealer(paths, AuditSettings())
    for _ in range(1000):
        sealer.seal_once()
        if sealer.last is not None:
            break
        time.sleep(0.02)
    sealer.close()
