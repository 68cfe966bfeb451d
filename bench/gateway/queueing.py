"""Why the slowest of a hundred requests waits, by simulation: ``python bench/gateway/queueing.py``; a few seconds.

One core, one event loop, Poisson arrivals. A request has four steps of CPU (up to its admission, sending it to the
model, screening the answer, answering) with waits between them (disk, model, disk). What becomes ready waits for the
step that runs. ``arrival``: in the order in which it became ready, as an event loop does by itself. ``under way``:
requests under way before new ones, which `greffier.gateway.turns` comes close to. Each step varies by a fifth; nothing
else runs and the disk never stalls, so that real waits are longer. See ADR 0144.
"""

import heapq
import random
import statistics
from itertools import count

RATE = 350.0  # requests a second
REQUESTS = 60_000
SHARES = (0.53, 0.09, 0.30, 0.08)  # of a request's CPU, step by step; from the records of a run at this rate
DISK_MS, MODEL_MS = 0.3, 0.1


def latencies(cpu_ms: float, *, under_way_first: bool) -> list[float]:
    """Milliseconds from arrival to answer, sorted."""
    chance = random.Random(1)  # seeded: every run says the same
    order = count()
    now = due = 0.0
    arrivals = [due := due + chance.expovariate(RATE / 1000) for _ in range(REQUESTS)]
    to_come = [(at, number, 0) for number, at in enumerate(arrivals)]
    heapq.heapify(to_come)
    ready: list[tuple[float, int, int, int]] = []
    waits = (DISK_MS, MODEL_MS, DISK_MS)
    found = []
    while to_come or ready:
        if not ready:
            now = max(now, to_come[0][0])
        while to_come and to_come[0][0] <= now:
            at, number, step = heapq.heappop(to_come)
            heapq.heappush(ready, (float("inf") if under_way_first and not step else at, next(order), number, step))
        _, _, number, step = heapq.heappop(ready)
        now += SHARES[step] * cpu_ms * chance.uniform(0.8, 1.2)
        if step < len(waits):
            heapq.heappush(to_come, (now + waits[step], number, step + 1))
        else:
            found.append(now - arrivals[number])
    return sorted(found)


def main() -> None:
    """Print a table."""
    print("| CPU per request, ms | order | p50 ms | p99 ms |\n|---|---|---|---|")
    for cpu_ms in (1.4, 1.3, 1.2, 1.1, 1.0, 0.9):
        for under_way_first in (False, True):
            times = latencies(cpu_ms, under_way_first=under_way_first)
            p99 = times[int(0.99 * len(times))]
            name = "under way" if under_way_first else "arrival"
            print(f"| {cpu_ms} | {name} | {statistics.median(times):.1f} | {p99:.1f} |")


if __name__ == "__main__":
    main()
