"""Append, partition, seal and verify many events: ten million, or as many as there is time for.

Usage: taskset -c 1 python bench/audit/scale.py [--events 10000000] [--store sqlite postgresql] [--days 10]
           [--work FOLDER] [--output FOLDER]

Everything runs on the processors the process may use, the database server included; pin it to one to read figures "per
core". Events are those of the request path, an admission and an outcome per request, appended by 256 callers at once,
each waiting for stable storage. With PostgreSQL a real server is started (fsync on) and its day is moved forward, so
that the journal makes and attaches its partitions itself. Verification is the whole one: every event and tile.

Results are merged into ``results.json`` by store and number of events, and drawn as ``RESULTS.md`` beside it. About 20
minutes and 3 GB of disk for a million events on both stores and one slow core; ten times that for ten million.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from latency import FACTS, RULINGS

from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.ports import Journal
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Admission, Outcome
from greffier.core.ids import new_id
from greffier.storage.journal import open_journal, open_reader
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.storage.postgres.schema import upgrade
from greffier.storage.stores import Reader
from greffier.testing.postgres_server import running_postgres

HERE = Path(__file__).parent
VERIFIER = HERE.parents[1] / "tools" / "verify_log.py"
SETTINGS = AuditSettings(append_timeout_ms=600_000)
CALLERS = 256
MILLION = 1_000_000
LOOK_UPS = 200


class Store:
    """A journal to fill, a folder for its log, and what only one of the two stores can do."""

    def __init__(self, name: str, paths: WorkspacePaths) -> None:
        self.name = name
        self.paths = paths
        self.open: Callable[[], Journal] = lambda: open_journal(paths, SETTINGS)
        self.read: Callable[[], Reader] = lambda: open_reader(paths)
        self.next_day: Callable[[], None] = lambda: None
        self.drop_first_day: Callable[[], None] | None = None
        self.bytes: Callable[[], int] = lambda: size_of(paths.journal_db)
        self.server: int | None = None


async def fill(store: Store, count: int, days: int, kept: list[str]) -> None:
    per_day = count // days
    for day in range(days):
        if day:
            store.next_day()
        journal = store.open()
        requests = (per_day if day < days - 1 else count - per_day * (days - 1)) // 2
        each, more = divmod(requests, CALLERS)
        await asyncio.gather(*(caller(journal, each + (number < more), kept) for number in range(CALLERS)))
        await journal.close()


async def caller(journal: Journal, requests: int, kept: list[str]) -> None:
    for number in range(requests):
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
        if number % 97 == 0 and len(kept) < LOOK_UPS:
            kept.append(request_id)


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Store]:
    paths = WorkspacePaths(folder)
    paths.ensure()
    yield Store("SQLite", paths)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[Store]:
    paths = WorkspacePaths(folder)
    paths.ensure()
    running = running_postgres()
    server = next(running)
    try:
        name = server.database()
        owner_url, gateway = server.url(name), Database(server.url(name, "gateway"))
        upgrade(Database(owner_url), "gateway")

        def sql(statement: str) -> Any:
            with psycopg.connect(owner_url, autocommit=True) as owner:
                done = owner.execute(statement.encode())
                return done.fetchone() if done.description else None

        def drop() -> None:
            day = sql("SELECT min(day) FROM journal_day")[0]
            sql(f"DROP TABLE event_{day:%Y%m%d}")

        store = Store("PostgreSQL", paths)
        store.open = lambda: PostgresJournal(gateway, SETTINGS, None)
        store.read = lambda: PostgresJournalReader(gateway)
        # The journal takes the later of this day and today's: the next append begins a new day, as midnight would.
        store.next_day = lambda: sql("UPDATE journal_head SET day = greatest(day, current_date) + 1")
        store.drop_first_day = drop
        store.bytes = lambda: sql("SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('event')")[
            0
        ]
        store.server = server._pid()  # noqa: SLF001 - its processor time is part of the figure
        yield store
    finally:
        with contextlib.suppress(StopIteration):
            next(running)


def family_cpu_s(pid: int) -> float:
    """Processor seconds of a process, its children that have ended, and its living descendants (Linux)."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(entry.name)] = int(fields[1])
                counted = fields[11:15] if int(entry.name) == pid else fields[11:13]
                seconds[int(entry.name)] = sum(map(int, counted)) / tick
    wanted = {pid}
    while more := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return sum(seconds.get(one, 0.0) for one in wanted)


class Watch:
    """Wall and processor seconds of each step, the server's included where there is one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.steps: dict[str, dict[str, float]] = {}

    def __call__(self, name: str, act: Callable[[], Any]) -> Any:
        """Do it, and note what it took."""
        pid = self._store.server
        before = family_cpu_s(pid) if pid else 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        result = act()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        server = max(0.0, family_cpu_s(pid) - before) if pid else 0.0
        self.steps[name] = {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "server_cpu_s": round(server, 3)}
        print(f"{self._store.name}: {name} {wall:.1f} s", file=sys.stderr, flush=True)
        return result


def measure(store: Store, count: int, days: int) -> dict[str, Any]:
    watch = Watch(store)
    kept: list[str] = []
    watch("append", lambda: uvloop.run(fill(store, count, days, kept)))
    reader = store.read()
    events = reader.size()
    FileCheckpointSigner(log_key_path(store.paths), SETTINGS.key_name)
    signer = FileCheckpointSigner(log_key_path(store.paths), SETTINGS.key_name)
    log = TileStore(store.paths.log)
    sealer = Sealer(reader, log, signer, known_verifiers(store.paths), SETTINGS, SystemClock())
    watch("seal", sealer.seal_once)
    sealer.close()
    report = watch("verify", lambda: Verification(reader, log, known_verifiers(store.paths), None).run())
    if not report.ok or report.events != events:
        raise SystemExit(f"the log does not verify: {report}")
    watch("find", lambda: [reader.find(request) for request in kept])
    bytes_ = {"journal": round(store.bytes() / events), "log": round(size_of(store.paths.log) / events)}
    watch("standalone", lambda: standalone(store, folder=store.paths.root))
    if store.drop_first_day is not None:
        watch("drop", store.drop_first_day)
    reader.close()
    return {
        "store": store.name,
        "events": events,
        "days": days,
        "steps": watch.steps,
        "look_ups": len(kept),
        "bytes_per_event": bytes_,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cores": len(os.sched_getaffinity(0)),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def standalone(store: Store, folder: Path) -> None:
    """The verifier that is not ours: over the journal's file, or over the log's own records where there is none."""
    keys = store.paths.secrets / "log-signing.pem.public"
    command = [sys.executable, "-I", str(VERIFIER), "log", str(store.paths.log), str(keys)]
    if store.server is None:
        command += ["--journal", str(store.paths.journal_db)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def size_of(*paths: Path) -> int:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


HEADING = """# The evidence at scale

Written by `bench/audit/scale.py`, which says what is measured and how to repeat it. Everything on the stated number of
cores, the database server included; each append waits for stable storage. Stop other work first: on a shared machine
wall-clock figures are upper bounds, and processor time per event is the one to trust.
"""
NOTES = """
- *append*: through the journal, 256 callers at once; processor time is ours + the server's, per event.
- *seal*: Merkle leaves, tiles, entry bundles and one signed checkpoint, from nothing; a running platform does it every
  second for what is new.
- *verify*: `greffier audit verify`, one process, every event. *verifier apart*: `tools/verify_log.py`; with SQLite it
  reads the journal too, with PostgreSQL the log alone.
- *look-up*: all events of one request by its id. *drop a day*: retention of a whole partition.
"""


def page(results: dict[str, dict[str, Any]]) -> str:
    runs = sorted(results.values(), key=lambda run: (run["store"], run["events"]))
    rows = [shown(run) for run in runs]
    lines = [HEADING, f"| {' | '.join(rows[0])} |", f"|{'---|' * len(rows[0])}"]
    lines += [f"| {' | '.join(row.values())} |" for row in rows]
    notes = [f"- {run['store']}, {run['events']:,}: {run['note']}" for run in runs if run["note"]]
    return "\n".join([*lines, NOTES.rstrip("\n"), *notes]) + "\n"


def shown(run: dict[str, Any]) -> dict[str, str]:
    steps, events, bytes_ = run["steps"], run["events"], run["bytes_per_event"]

    def cpu(name: str) -> str:
        step = steps[name]
        server = f" + {step['server_cpu_s'] / events * 1e6:.0f}" if step["server_cpu_s"] else ""
        return f"{step['cpu_s'] / events * 1e6:.0f}{server} µs"

    return {
        "store": run["store"],
        "events": f"{events:,}",
        "days": str(run["days"]),
        "append/s": f"{events / steps['append']['wall_s']:,.0f}",
        "append CPU": cpu("append"),
        "seal/s": f"{events / steps['seal']['wall_s']:,.0f}",
        "seal CPU": cpu("seal"),
        "verify": f"{steps['verify']['wall_s']:,.0f} s",
        "verify CPU": cpu("verify"),
        "verifier apart": f"{steps['standalone']['wall_s']:,.0f} s",
        "look-up": f"{steps['find']['wall_s'] / max(1, run['look_ups']) * 1e3:.2f} ms",
        "drop a day": f"{steps['drop']['wall_s']:.2f} s" if "drop" in steps else "-",
        "bytes per event": f"{bytes_['journal']} + {bytes_['log']} in the log",
        "memory": f"{run['peak_rss_mb']} MB",
        "cores": str(run["cores"]),
        "on": run["measured_on"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10 * MILLION)
    parser.add_argument("--store", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--days", type=int, default=10, help="partitions of the journal on PostgreSQL")
    parser.add_argument("--note", default="", help="what a reader should know about this run")
    parser.add_argument("--work", type=Path, default=None, help="where the journal and the log are made")
    parser.add_argument("--output", type=Path, default=HERE, help="where results.json and RESULTS.md are")
    options = parser.parse_args()
    kept = options.output / "results.json"
    results: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.store:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            made = postgresql(Path(folder)) if name == "postgresql" else sqlite(Path(folder))
            with made as store:
                run = measure(store, options.events, options.days if name == "postgresql" else 1)
        results[f"{name}-{options.events}"] = run | {"note": options.note}
        options.output.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        (options.output / "RESULTS.md").write_text(page(results))


if __name__ == "__main__":
    main()
