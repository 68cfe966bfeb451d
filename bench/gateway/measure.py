"""What is measured: rounds over all targets, stages from the records, memory over time, cost over size."""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from gateway import machine
from gateway.targets import Greffier, Target
from gateway.traffic import Generator, chat_body
from gateway.workspace import LARGE, MANY_PATTERNS, SMALL, Size

Result = dict[str, Any]
_STREAM_CHUNKS = 40
_STREAM_GAP_MS = 10
_RECORDS = 6000
_SETTLE_S = 0.5


class Plan(msgspec.Struct, frozen=True):
    """How long and how often. Times in seconds."""

    seconds: float = 8.0
    rounds: int = 5
    rates: tuple[int, ...] = (350, 1000)
    connections: int = 32
    streams_per_s: int = 20
    open_streams: int = 200
    soak_s: float = 600.0
    soak_rate: int = 350
    scaling_rounds: int = 5
    sizes: tuple[Size, ...] = (SMALL, LARGE, MANY_PATTERNS)


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def alone(target: Target, targets: Sequence[Target]) -> Iterator[None]:
    """Freeze all others, and write out what they left in memory for the disk: nobody pays for anybody else."""
    others = [other.pid for other in targets if other is not target and other.pid is not None]
    for pid in others:
        machine.freeze(pid)
    os.sync()
    time.sleep(_SETTLE_S)
    try:
        yield
    finally:
        for pid in others:
            machine.thaw(pid)


def one_round(plan: Plan, generator: Generator, target: Target) -> Result:
    """Every phase once."""
    model = target.model
    plain = chat_body(model)
    result: Result = {}

    def phase(name: str, body: bytes, rate: float, connections: int) -> None:
        result[name] = generator.run(target, body, seconds=plan.seconds, rate=rate, connections=min(connections, 4096))

    phase("max", plain, 0, plan.connections)
    for rate in plan.rates:
        phase(f"rate{rate}", plain, rate, max(256, rate))
    spaced = chat_body(model, stream=True, chunks=_STREAM_CHUNKS, gap=_STREAM_GAP_MS)
    phase("stream", spaced, plan.streams_per_s, 1024)
    phase("streams", chat_body(model, stream=True, chunks=50, gap=20), 0, plan.open_streams)
    result["streams"]["upstream_events_per_s"] = result["streams"]["rps"] * 51
    if target.pid:
        result["memory_mb"] = machine.memory_mb(target.pid)
    return result


def rounds(plan: Plan, generator: Generator, targets: list[Target]) -> dict[str, list[Result]]:
    """Interleave the targets, so that whatever else the machine does meets all of them."""
    found: dict[str, list[Result]] = {target.name: [] for target in targets}
    for number in range(plan.rounds):
        for target in targets:
            with alone(target, targets):
                result = one_round(plan, generator, target)
            found[target.name].append(result)
            phases = {name: value for name, value in result.items() if isinstance(value, dict)}
            line = "  ".join(f"{name} {value['rps']:.0f}/s" for name, value in phases.items())
            say(f"round {number + 1}/{plan.rounds} {target.name:9s} {line}")
            for name, value in phases.items():
                if value["bad"] or value["errors"]:
                    say(f"  {name}: {value['bad']} bad, {value['errors']} errors; {value['first_bad']}")
    return found


def stages(workspace: Path) -> dict[str, float]:
    """Median time of each stage in microseconds, from the rulings of the latest records."""
    times: dict[str, list[int]] = {}
    journal = sqlite3.connect(f"file:{workspace / '.greffier' / 'journal.db'}?mode=ro", uri=True)
    try:
        rows = journal.execute("SELECT data FROM event ORDER BY seq DESC LIMIT ?", (_RECORDS,)).fetchall()
    finally:
        journal.close()
    for (data,) in rows:
        record = json.loads(data)
        for ruling in record.get("rulings", ()):
            times.setdefault(ruling["point"], []).append(ruling.get("us", 0))
        if record["kind"] == "outcome":
            times.setdefault("whole request, upstream left out", []).append(record.get("overhead_us", 0))
    return {point: statistics.median(values) for point, values in times.items()}


def records(workspace: Path) -> int:
    """Events in the journal."""
    journal = sqlite3.connect(f"file:{workspace / '.greffier' / 'journal.db'}?mode=ro", uri=True)
    try:
        return int(journal.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
    finally:
        journal.close()


def verified(workspace: Path) -> str:
    """What ``greffier audit verify`` says about everything the benchmark caused."""
    command = [sys.executable, "-m", "greffier.cli.main", "audit", "verify", "--workspace", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    return " ".join((done.stdout + done.stderr).split())


def soak(plan: Plan, generator: Generator, target: Greffier) -> Result:
    """A steady load; memory is read every few seconds."""
    if target.pid is None:
        raise RuntimeError("the platform does not run")
    body = chat_body(target.model)
    slices = max(1, round(plan.soak_s / 30))
    seconds = plan.soak_s / slices
    memory = [machine.memory_mb(target.pid)]
    latencies, bad, answered = [], 0, 0
    for number in range(slices):
        result = generator.run(target, body, seconds=seconds, rate=plan.soak_rate, connections=512)
        memory.append(machine.memory_mb(target.pid))
        latencies.append(result["lat_ms"]["p99"])
        bad += result["bad"] + result["errors"] + result["unfinished"]
        answered += result["ok"]
        say(f"soak {(number + 1) * seconds:.0f} s: {memory[-1]:.0f} MB")
    return {
        "seconds": plan.soak_s,
        "rate": plan.soak_rate,
        "answered": answered,
        "failed": bad,
        "memory_mb": memory,
        "p99_ms": latencies,
        "events": records(target.workspace),
    }


def scaling(plan: Plan, generator: Generator, start: Callable[[Size], Greffier]) -> list[Result]:
    """CPU per request at several sizes of workspace, interleaved; the first is what the others are compared to."""
    targets = [start(size) for size in plan.sizes]
    costs: list[list[float]] = [[] for _ in targets]
    for _ in range(plan.scaling_rounds):
        for target, found in zip(targets, costs, strict=True):
            body = chat_body(target.model)
            with alone(target, targets):
                result = generator.run(target, body, seconds=plan.seconds / 2, rate=0, connections=plan.connections)
            found.append(result["cpu_us"])
            say(f"scaling {target.size}: {result['cpu_us']:.0f} us per request, {result['bad']} bad")
    return [
        {"size": str(target.size), "started_s": target.started_s, "cpu_us": found}
        for target, found in zip(targets, costs, strict=True)
    ]


def now() -> str:
    """Date and time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
