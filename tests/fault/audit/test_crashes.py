"""Eight workers and a sealer, killed in the middle of their work: the log holds, and both verifiers say so."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.sealing import make_sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.config.paths import WorkspacePaths
from greffier.core.events import parse
from greffier.storage.journal import open_journal, open_reader

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
CRASHING = Path(__file__).with_name("crashing.py")


async def create(paths: WorkspacePaths) -> None:
    await open_journal(paths, AuditSettings()).close()


def crash_once(paths: WorkspacePaths, folder: Path, workers: int, sealers: int, after_s: float) -> set[str]:
    """Run everything until each worker was acknowledged, kill it all; return what was acknowledged."""
    folder.mkdir()
    said = [folder / f"said-{worker}" for worker in range(workers)]
    command = [sys.executable, str(CRASHING), str(paths.root), str(folder), str(workers), str(sealers)]
    running = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and running.poll() is None:
            if all(file.exists() and file.stat().st_size > 500 for file in said):
                break
            time.sleep(0.01)
        time.sleep(after_s)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)
    lines = [line for file in said for line in file.read_text().splitlines(keepends=True)]
    assert all(file.stat().st_size for file in said), "a worker never wrote"
    return {line.strip() for line in lines if line.endswith("\n")}


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.23])
def test_kill_9_of_four_workers_under_load_loses_no_acknowledged_event(tmp_path: Path, after_s: float) -> None:
    paths = WorkspacePaths(tmp_path / "workspace")
    paths.ensure()
    asyncio.run(create(paths))
    acknowledged: set[str] = set()
    for round_ in range(2):
        acknowledged |= crash_once(paths, tmp_path / str(round_), 4, 0, after_s)
    kept = list(open_reader(paths).scan())
    assert [entry.seq for entry in kept] == list(range(1, len(kept) + 1))
    identifiers = [parse(entry.data).id for entry in kept]
    assert len(set(identifiers)) == len(identifiers)
    assert acknowledged <= set(identifiers)


def test_both_verifiers_agree_on_a_log_written_through_crashes(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path / "workspace")
    paths.ensure()
    asyncio.run(create(paths))
    acknowledged: set[str] = set()
    for round_ in range(2):
        acknowledged |= crash_once(paths, tmp_path / str(round_), 8, 1, 0.3)
    sealer = make_sealer(paths, AuditSettings())
    deadline = time.monotonic() + 30
    while sealer.seal_once() is None and time.monotonic() < deadline:  # the killed sealer's lock goes with its process
        time.sleep(0.02)
    sealer.close()
    reader = open_reader(paths)
    report = Verification(reader, TileStore(paths.log), known_verifiers(paths), AuditSettings().origin).run()
    assert report.findings == ()
    assert report.unsealed == 0
    assert report.checkpoint is not None
    assert len(acknowledged) > 200
    assert acknowledged <= {parse(row.data).id for row in reader.scan()}
    keys = paths.secrets / "log-signing.pem.public"
    command = [
        sys.executable,
        "-I",
        str(VERIFIER),
        "log",
        str(paths.log),
        str(keys),
        "--journal",
        str(paths.journal_db),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"size {report.checkpoint.size} " in done.stdout
