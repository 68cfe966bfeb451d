"""Turn measurements into a page that a reader can trust: what was on, on which machine, medians, ratios, caveats."""

import statistics
import textwrap
from collections.abc import Iterable
from typing import Any

Result = dict[str, Any]
OURS = "Greffier"
OTHER_PYTHON = "Greffier, other Python"
ON_POSTGRESQL = "Greffier on PostgreSQL"
_DIRECT = "direct"
_QUIET = 0.05


def write(results: Result) -> str:
    """The page."""
    plan = results["plan"]
    rounds: dict[str, list[Result]] = results["rounds"]
    parts = [_head(results), _bar(results), _throughput(rounds), _latency(rounds, plan), _streams(rounds, plan)]
    for name, part in (("stages_us", _stages), ("soak", _soak), ("scaling", _scaling)):
        if name in results:
            parts.append(part(results))
    parts.append(_caveats(results))
    return "\n".join(_wrapped(part) for part in parts)


def _wrapped(text: str) -> str:
    """Fill paragraphs and list items; leave headings and tables alone."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        if block.startswith("- "):
            items = block.removeprefix("- ").split("\n- ")
            blocks.append("\n".join(_fill(item, "- ", "  ") for item in items))
        else:
            blocks.append(block if block.startswith(("#", "|")) else _fill(block))
    return "\n\n".join(blocks) + "\n"


def _fill(text: str, first: str = "", rest: str = "") -> str:
    words = " ".join(text.split())
    return textwrap.fill(
        words, 120, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _head(results: Result) -> str:
    machine = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    command = " ".join(["python bench/run.py", *results["arguments"]])
    busy = (
        "\n**Provisional: the machine was shared with other work while this ran.** Ratios and CPU per request hold "
        "roughly; single percentiles do not.\n"
        if results["busy"]
        else ""
    )
    missing = "".join(f"- {name} is left out: {why}\n" for name, why in results["missing"].items()).rstrip("\n")
    return f"""# The governed path, measured

Written by `make bench` ({command}) on {results["date"]}.
{busy}
{machine}
- load average before the first round: {", ".join(f"{value:.1f}" for value in results["load_average"])}
{missing}

The gateway under test, all of its processes, is pinned to one core; the load generator and the scripted upstream (both
in C, answering at once with about 1 KB) share the other, with PostgreSQL where that is used. Targets take turns within
each of {results["plan"]["rounds"]} rounds; while one is measured the others are frozen, and what they left in memory
for the disk has been written. Every figure is the median of the rounds.

Switched on in Greffier, for every request: API key authentication ({results["workspace"]}; callers take turns with 200
keys of 200 use cases), policy with rules by use case, role, group, attribute, modality and hour, limits on requests,
tokens, concurrency and spend per key, use case, tenant and model (never reached), the default screen with all its
detectors, trained ones included, and the topics on input and output, the use case's prompt with its canary, routing
between two priced deployments, both durable records (an fsync before the prompt leaves and one before the answer does,
grouped), sealing into the signed Merkle log, and metrics. Switched on elsewhere: LiteLLM checks its master key; nginx
and Portkey check nothing. None of the three screens, bounds, or records anything.
"""


def _bar(results: Result) -> str:
    rounds = results["rounds"]
    if OURS not in rounds:
        return ""
    ours, direct = rounds[OURS], rounds[_DIRECT]
    rows = [
        ("governed requests per second on one core", _number(_median(ours, "max", "rps"), 0), "1,000", "3,500"),
        ("CPU per request, sealing included", f"{_number(_median(ours, 'max', 'cpu_us'), 0)} µs", "1,000 µs", ""),
    ]
    for rate in results["plan"]["rates"]:
        bar = {350: ("5 ms", ""), 1000: ("", "3 ms")}.get(rate, ("", ""))
        rows.append((f"added p99 at {rate:,}/s", f"{_added(ours, direct, f'rate{rate}', 'lat_ms', 'p99')} ms", *bar))
    rows.append(
        ("first byte of a stream, added p99", f"{_added(ours, direct, 'stream', 'ttfb_ms', 'p99')} ms", "5 ms", "")
    )
    if ON_POSTGRESQL in rounds:
        kept = (_median(rounds[ON_POSTGRESQL], "max", "rps") or 0) / (_median(ours, "max", "rps") or 1)
        rows.append(("throughput on PostgreSQL, of that on files", f"{100 * kept:.0f} %", "90 %", ""))
    if "soak" in results:
        memory = results["soak"]["memory_mb"]
        grown = f"{memory[0]:.0f} to {memory[-1]:.0f} MB in {results['soak']['seconds'] / 60:.3g} min"
        rows.append(("memory", grown, "flat", ""))
    return "## Against the bar\n\n" + _table(("", "measured", "bar", "star"), rows)


def _throughput(rounds: dict[str, list[Result]]) -> str:
    ours = _median(rounds.get(OURS, []), "max", "rps")
    rows = []
    for name, found in rounds.items():
        rps = _median(found, "max", "rps")
        ratio = f"{ours / rps:.2f}" if ours and rps else "-"
        cpu = "-" if name == _DIRECT else _number(_median(found, "max", "cpu_us"), 0)
        memory = _number(_median(found, "memory_mb"), 0)
        rows.append((name, _number(rps, 0), ratio, cpu, memory, _number(_failed(found, "max"), 0)))
    head = ("gateway", "requests/s", "Greffier is ... times that", "CPU µs per request", "memory MB", "failed")
    return "## As fast as it goes: closed loop, 32 connections, one core\n\n" + _table(head, rows)


def _latency(rounds: dict[str, list[Result]], plan: Result) -> str:
    rows = []
    for name, found in rounds.items():
        row = [name]
        for rate in plan["rates"]:
            phase = f"rate{rate}"
            answered = _median(found, phase, "rps")
            direct = _median(rounds[_DIRECT], phase, "rps")
            share = f"{100 * answered / direct:.0f} %" if answered is not None and direct else "-"
            row += [_percentiles(rounds, name, (phase, "lat_ms"), ("p50", "p95", "p99")), share]
        rows.append(tuple(row))
    head = ["gateway"]
    for rate in plan["rates"]:
        head += [f"+p50 / +p95 / +p99 ms at {rate:,}/s", "answered"]
    return (
        "## Added latency: open loop, Poisson arrivals, counted from when a request was due\n\n"
        + _table(tuple(head), rows)
        + f"\nThe line `{_DIRECT}` is absolute; the others are differences to it.\n"
    )


def _streams(rounds: dict[str, list[Result]], plan: Result) -> str:
    rows = []
    for name, found in rounds.items():
        first = _percentiles(rounds, name, ("stream", "ttfb_ms"), ("p50", "p99"))
        text = _percentiles(rounds, name, ("stream", "ttft_ms"), ("p50", "p99"))
        events = _median(found, "streams", "upstream_events_per_s")
        cpu = _median(found, "streams", "cpu_us")
        per_event = "-" if name == _DIRECT or cpu is None else f"{cpu / 51:.0f}"
        rows.append((name, first, text, _number(events, 0), per_event, _number(_failed(found, "streams"), 0)))
    head = (
        "gateway",
        "+first byte p50 / p99 ms",
        "+first text p50 / p99 ms",
        "upstream events/s",
        "CPU µs per event",
        "failed",
    )
    return (
        f"## Streams: {plan['streams_per_s']} a second with 40 events 10 ms apart; then {plan['open_streams']} at once "
        "each offering 50 events a second\n\n"
        + _table(head, rows)
        + "\nThe first text comes later than the first byte by design: no text leaves before the output screen saw a "
        "window of it (by default 384 characters or 500 ms, whichever is sooner; this upstream writes 500 characters a "
        "second). Deferring text is what screening a stream means; the others screen nothing.\n"
    )


def _stages(results: Result) -> str:
    names = {
        "identity:authenticate": "authenticate",
        "gateway:decode": "decode the body",
        "policy:authorize": "policy",
        "limits:reserve": "limits",
        "guardrails:screen_input": "screen the input (system and user text)",
        "policy:permit_data": "policy on the classes of data found",
        "guardrails:ground": "place the prompt",
        "router:choose": "choose a deployment",
        "llm:call": "call (waits for the upstream)",
        "guardrails:screen_output": "screen the output",
    }
    times = results["stages_us"]
    rows = [(names.get(point, point), _number(times[point], 0)) for point in (*names, *sorted(times)) if point in times]
    rows = list(dict.fromkeys(rows))
    return (
        f"## By stage, at {results['soak']['rate']}/s: median µs on the clock, from the records of the run\n\n"
        + _table(("stage", "µs"), rows)
        + "\nThe whole request includes both waits for the disk; what the stages leave of the CPU is HTTP in and out, "
        "JSON, the two records, sealing and metrics.\n"
    )


def _soak(results: Result) -> str:
    soak = results["soak"]
    memory = soak["memory_mb"]
    points = [memory[round(index * (len(memory) - 1) / 5)] for index in range(6)]
    return f"""## Memory under a steady {soak["rate"]}/s for {soak["seconds"] / 60:.3g} minutes

{soak["answered"]:,} answered, {soak["failed"]:,} failed; MB at the start, at each fifth, and at the end (supervisor and
worker, shared pages counted once): {", ".join(f"{value:.0f}" for value in points)}. Median p99 of the 30-second slices:
{statistics.median(soak["p99_ms"]):.1f} ms. The journal then held {soak["events"]:,} events.
`greffier audit verify` over all of them: {results["verified"]}
"""


def _scaling(results: Result) -> str:
    base = statistics.median(results["scaling"][0]["cpu_us"])
    rows = []
    for found in results["scaling"]:
        cost = statistics.median(found["cpu_us"])
        difference = f"{100 * (cost / base - 1):+.0f} %"
        rows.append((found["size"], _number(cost, 0), difference, f"{found['started_s']:.1f}"))
    head = ("workspace", "CPU µs per request", "difference", "start to first answer, s")
    return "## Cost over the size of the workspace (bar: less than a tenth more)\n\n" + _table(head, rows)


def _caveats(results: Result) -> str:
    foreign = [
        value["foreign"] for found in results["rounds"].values() for r in found for value in r.values() if _phase(value)
    ]
    used = statistics.median(foreign) if foreign else 0.0
    noise = "The machine was quiet." if used < _QUIET else "They disturbed the percentiles."
    return f"""## How far to trust this

- Other processes used {used:.2f} cores (median over all phases) meanwhile. {noise} Trust ratios and CPU per request
  before single percentiles; a virtual machine's neighbours are invisible from inside.
- One request shape was measured: about 120 + 400 characters of English in, 500 out, nothing to redact or refuse. The
  cost of screening grows with the length of the text; a text with findings costs more. The user's text is new in every
  request; the system text repeats, as it does in applications, so its findings come from the screen's memory.
- The upstream answers at once. With a real model the added milliseconds are the same and the rest is the model.
- The disk decides how long a durable record takes; see the fsync time above. Two waits per request are part of every
  added latency shown for Greffier, and of nobody else's.
- nginx and Portkey do less than Greffier, and so does LiteLLM as set up here: this compares what a request costs as
  each comes, not equal work. LiteLLM and Portkey are measured with one process, as Greffier is.
- Sizes of 100 million records were not measured; a request reads none of them.
"""


def _phase(value: object) -> bool:
    return isinstance(value, dict) and "foreign" in value


def _median(found: Iterable[Result], *path: str) -> float | None:
    values = []
    for result in found:
        value: Any = result
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int | float) and value >= 0:
            values.append(float(value))
    return statistics.median(values) if values else None


def _failed(found: list[Result], phase: str) -> float:
    return sum(result[phase]["bad"] + result[phase]["errors"] + result[phase]["unfinished"] for result in found)


def _added(found: list[Result], direct: list[Result], phase: str, kind: str, quantile: str) -> str:
    mine, theirs = _median(found, phase, kind, quantile), _median(direct, phase, kind, quantile)
    return "-" if mine is None or theirs is None else f"{mine - theirs:.2f}"


def _percentiles(rounds: dict[str, list[Result]], name: str, path: tuple[str, str], quantiles: tuple[str, ...]) -> str:
    """Absolute for the direct line, differences to it for the others."""
    found, direct = rounds[name], rounds[_DIRECT]
    if name == _DIRECT:
        return " / ".join(_number(_median(found, *path, quantile), 2) for quantile in quantiles)
    return " / ".join(_added(found, direct, *path, quantile) for quantile in quantiles)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
