"""What the evidence costs: appending, sealing, verifying, and bytes on disk. Prints one JSON object.

Usage: taskset -c 1 python bench/audit/journal.py [--events 200000] [--folder DIR]

Appends run with 64 callers at once, as fast as they can, each waiting for stable storage. Events are those of the
request path: an admission and an outcome each. Figures for a million events are measured on fewer and extrapolated
linearly; the share of constant work (opening files, one signature) is below a hundredth at 200,000.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from latency import FACTS, RULINGS

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.sealing import make_sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.config.paths import WorkspacePaths
from greffier.core.events import Admission, Outcome
from greffier.core.ids import new_id
from greffier.storage.journal import open_journal, open_reader

CALLERS = 64
MILLION = 1_000_000
VERIFIER = Path(__file__).parents[2] / "tools" / "verify_log.py"


async def fill(paths: WorkspacePaths, count: int) -> None:
    journal = open_journal(paths, AuditSettings())

    async def caller() -> None:
        for _ in range(count // CALLERS // 2):
            request_id = new_id("req")
            now = time.time_ns() // 1_000_000
            await journal.append(
                Admission(id=new_id("evt"), ts=now, tenant="acme", request_id=request_id, facts=FACTS, rulings=RULINGS)
            )
            await journal.append(
                Outcome(
                    id=new_id("evt"), ts=now, tenant="acme", request_id=request_id, outcome="answered",
                    rulings=RULINGS, deployment="local", output_tokens=55, latency_us=812_400,
                )
            )  # fmt: skip

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await journal.close()


def timed(act: object, *arguments: object) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    act(*arguments)  # type: ignore[operator]
    return time.perf_counter() - wall, time.process_time() - cpu


def size_of(*paths: Path) -> int:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def standalone(paths: WorkspacePaths) -> None:
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
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = WorkspacePaths(Path(folder))
        paths.ensure()
        appended = timed(lambda: uvloop.run(fill(paths, options.events)))
        sealer = make_sealer(paths, AuditSettings())
        sealed = timed(sealer.seal_once)
        sealer.close()
        reader = open_reader(paths)
        events = reader.size()
        verification = Verification(reader, TileStore(paths.log), known_verifiers(paths), None)
        verified = timed(verification.run)
        alone = timed(standalone, paths)
        find = timed(reader.find, "req_unknown")
        per = MILLION / events
        result = {
            "events": events,
            "append": {"per_s": round(events / appended[0]), "cpu_us_per_event": round(appended[1] / events * 1e6, 1)},
            "seal": {"per_s": round(events / sealed[0]), "cpu_us_per_event": round(sealed[1] / events * 1e6, 1)},
            "append_and_seal_per_cpu_second": round(events / (appended[1] + sealed[1])),
            "verify_s_per_million": round(verified[0] * per, 1),
            "standalone_verify_s_per_million": round(alone[0] * per, 1),
            "find_ms": round(find[0] * 1e3, 2),
            "bytes_per_event": {
                "journal": round(size_of(paths.journal_db) / events),
                "log": round(size_of(paths.log) / events),
            },
        }
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
