import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.checkpoint import verify
from greffier.audit.sealer import HEARTBEAT_MS, Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import Clock, SystemClock
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.journal import make_admission

SETTINGS = AuditSettings(seal_interval_ms=50)


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path)
    made.ensure()
    append(made, 0)
    return made


def append(paths: WorkspacePaths, count: int) -> None:
    async def run() -> None:
        journal = open_journal(paths, SETTINGS)
        await asyncio.gather(*(journal.append(make_admission()) for _ in range(count)))
        await journal.close()

    asyncio.run(run())


def make(paths: WorkspacePaths, clock: Clock | None = None) -> Sealer:
    signer = FileCheckpointSigner(log_key_path(paths), SETTINGS.key_name)
    chosen = clock or ManualClock()
    return Sealer(open_reader(paths), TileStore(paths.log), signer, known_verifiers(paths), SETTINGS, chosen)


def verified(paths: WorkspacePaths) -> int:
    report = Verification(open_reader(paths), TileStore(paths.log), known_verifiers(paths), SETTINGS.origin).run()
    assert report.findings == ()
    assert report.checkpoint is not None
    return report.checkpoint.size


def test_an_empty_journal_gets_a_checkpoint_too(paths: WorkspacePaths) -> None:
    sealed = make(paths).seal_once()
    assert sealed is not None
    assert sealed.size == 0
    assert verified(paths) == 0


def test_nothing_new_is_signed_again_only_as_a_heartbeat(paths: WorkspacePaths) -> None:
    append(paths, 3)
    clock = ManualClock()
    sealer = make(paths, clock)
    assert sealer.seal_once() is not None
    assert sealer.seal_once() is None
    clock.advance(HEARTBEAT_MS / 1000)
    beat = sealer.seal_once()
    assert beat is not None
    assert (beat.size, beat.time_ms) == (3, clock.wall_ms())


def test_a_restarted_sealer_goes_on_where_the_last_one_stopped(paths: WorkspacePaths) -> None:
    clock = ManualClock()
    for count in (1, 254, 1, 1, 300, 1100):
        append(paths, count)
        sealer = make(paths, clock)
        sealed = sealer.seal_once()
        assert sealed is not None
        sealer.close()
        clock.advance(1)
    assert verified(paths) == 1657


def test_only_one_sealer_works_and_another_takes_over(paths: WorkspacePaths) -> None:
    append(paths, 2)
    first, second = make(paths), make(paths)
    assert first.seal_once() is not None
    append(paths, 2)
    assert second.seal_once() is None
    first.close()
    sealed = second.seal_once()
    assert sealed is not None
    assert sealed.size == 4


def test_the_last_checkpoint_of_each_hour_is_kept(paths: WorkspacePaths) -> None:
    clock = ManualClock(1_700_000_000_000)  # 22:13:20
    sealer = make(paths, clock)
    for step in range(5):
        append(paths, 10)
        sealed = sealer.seal_once()
        assert sealed is not None
        assert sealed.size == 10 * (step + 1)
        clock.advance(1800)
    kept = sorted((paths.log / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["2023-11-14T22.note", "2023-11-14T23.note"]
    sizes = [verify(path.read_text(), known_verifiers(paths), SETTINGS.origin).size for path in kept]
    assert sizes == [20, 40]
    assert verified(paths) == 50


def test_the_thread_seals_until_it_is_told_to_stop_and_then_once_more(paths: WorkspacePaths) -> None:
    sealer = make(paths, SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=sealer.run, args=(stop,))
    thread.start()
    append(paths, 300)
    deadline = time.monotonic() + 20
    while (sealer.last is None or sealer.last.size < 300) and time.monotonic() < deadline:
        time.sleep(0.02)
    append(paths, 5)
    stop.set()
    thread.join(20)
    assert verified(paths) == 305


def test_a_problem_is_shown_and_goes_away_with_its_cause(paths: WorkspacePaths) -> None:
    append(paths, 3)
    clock = ManualClock()
    sealer = make(paths, clock)
    sealer._attempt()
    assert sealer.problem == ""
    clock.advance(-3600)
    append(paths, 1)
    sealer._attempt()
    assert "clock" in sealer.problem
    clock.advance(3600)
    sealer._attempt()
    assert sealer.problem == ""
    assert verified(paths) == 4


SEALING = """
import sys, time
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
from test_sealer import make
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock

sealer = make(WorkspacePaths(Path(sys.argv[2])), SystemClock())
print("ready", flush=True)
while True:
    sealer.seal_once()
"""


def test_a_sealer_killed_at_any_moment_leaves_a_log_that_goes_on(paths: WorkspacePaths) -> None:
    for round_ in range(4):
        command = [sys.executable, "-c", SEALING, str(Path(__file__).parent), str(paths.root)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        worker.stdout.readline()
        append(paths, 400)
        time.sleep(0.01 * round_)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
        worker.stdout.close()
    sealer = make(paths, SystemClock())
    sealer.seal_once()
    sealer.close()
    assert verified(paths) == 1600
