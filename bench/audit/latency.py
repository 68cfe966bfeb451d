"""Append latency and CPU per event of the journal, from an asyncio loop at a steady rate.

Usage: python bench/audit/latency.py [--rate 350] [--seconds 10] [--busy-us 300]

``--busy-us`` burns that much CPU on the loop per request, as the rest of the request path would: the writer thread
must win the GIL back against it. Each request appends an admission and an outcome.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from greffier.audit.settings import AuditSettings
from greffier.core.events import Admission, Outcome, RequestFacts, RulingLine
from greffier.core.ids import new_id
from greffier.storage.journal import SqliteJournal

FACTS = RequestFacts(
    actor="key:k_01", actor_type="service", authn="api_key", surface="chat_completions", action="chat",
    use_case="claims", use_case_digest="a" * 64, risk_class="limited", purpose="claims-handling",
    lawful_basis="6(1)(b)", bundle="b" * 64, policy_rules=("allow-claims",), prompt="claims",
    prompt_digest="c" * 64, model="gpt", deployment="local", provider="openai", region="eu",
    why="only permitted deployment", trace_id="d" * 32, data_classes=("personal",),
)  # fmt: skip
RULINGS = tuple(RulingLine(point=point, verdict="allow", rule="default", us=40) for point in "abcdef")


def spin(us: int) -> None:
    end = time.perf_counter_ns() + us * 1000
    while time.perf_counter_ns() < end:
        pass


async def request(journal: SqliteJournal, busy_us: int, waits: list[float]) -> None:
    request_id = new_id("req")
    spin(busy_us // 2)
    start = time.perf_counter()
    now = time.time_ns() // 1_000_000
    await journal.append(
        Admission(id=new_id("ev"), ts=now, tenant="acme", request_id=request_id, facts=FACTS, rulings=RULINGS)
    )
    waits.append(time.perf_counter() - start)
    spin(busy_us - busy_us // 2)
    start = time.perf_counter()
    await journal.append(
        Outcome(id=new_id("ev"), ts=now, tenant="acme", request_id=request_id, outcome="answered", rulings=RULINGS)
    )
    waits.append(time.perf_counter() - start)


async def run(rate: float, seconds: float, busy_us: int) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        journal = SqliteJournal(Path(folder) / "journal.db", AuditSettings())
        waits: list[float] = []
        before = resource.getrusage(resource.RUSAGE_SELF)
        tasks: set[asyncio.Task[None]] = set()
        start = time.perf_counter()
        for index in range(int(rate * seconds)):
            delay = start + index / rate - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.create_task(request(journal, busy_us, waits))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - busy_us * rate * seconds / 1e6
        waits.sort()
        shown = {f"p{p}": round(waits[min(len(waits) - 1, int(len(waits) * p / 100))] * 1e3, 2) for p in (50, 90, 99)}
        print(f"rate {rate:g}/s busy {busy_us} us: append ms {shown} max {waits[-1] * 1e3:.1f},", end=" ")
        print(f"CPU {cpu / len(waits) * 1e6:.0f} us/event, {len(waits) / wall:.0f} events/s")
        await journal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=350)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--busy-us", type=int, default=300)
    parser.add_argument("--switch-us", type=int, default=5000)
    options = parser.parse_args()
    sys.setswitchinterval(options.switch_us / 1e6)
    uvloop.run(run(options.rate, options.seconds, options.busy_us))
