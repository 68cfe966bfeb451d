"""Measure the governed path beside direct calls, nginx, LiteLLM and Portkey; write RESULTS.md and results.json.

Usage: python bench/run.py [--quick] [--soak-minutes 10] [--rounds 5] [--seconds 8] [--only greffier,nginx]

Everything runs on loopback and is bounded. See README.md beside this file.
"""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from gateway import machine, measure, report
from gateway.report import ON_POSTGRESQL, OTHER_PYTHON, OURS
from gateway.targets import Greffier, GreffierPostgres, LiteLLM, Nginx, Portkey, Target, Unavailable
from gateway.traffic import Generator, compile_tools
from gateway.workspace import SMALL, USUAL, Size

from greffier.testing.ports import free_port

_HERE = Path(__file__).resolve().parent
_PEERS = _HERE.parent / ".venvs"
_QUICK = measure.Plan(
    seconds=1.5,
    rounds=1,
    rates=(50,),
    open_streams=10,
    soak_s=2.0,
    soak_rate=50,
    scaling_rounds=1,
    sizes=(SMALL, Size(use_cases=20, keys=100, rules=50)),
)


class Bench:
    """What runs during a benchmark: the scripted upstream and the targets. All of it is stopped on the way out."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._build = _HERE / "build"
        compile_tools(self._build)
        self._gateway_cpu, self._load_cpu = machine.pair_of_cpus()
        self._upstream_port = free_port()
        mock = [str(self._build / "mock"), str(self._upstream_port)]
        self._upstream = machine.start(mock, self._load_cpu, work / "mock.log")
        self.generator = Generator(self._build, work, self._load_cpu, self._upstream)
        self.targets: list[Target] = []
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all_but(None)
        machine.stop(self._upstream)

    def start(self, target: Target) -> Target:
        """Start a target and keep track of it.

        Raises:
            Unavailable: It does not answer.
        """
        self.targets.append(target)
        target.start(self._gateway_cpu, self._work / f"{target.name}.log")
        measure.say(f"{target.name} answers after {target.started_s:.1f} s")
        return target

    def start_or_miss(self, name: str) -> None:
        """Start a target by the name it has on the command line, or note why it is missing."""
        try:
            self.start(self._made(name))
        except Unavailable as reason:
            self.targets = [target for target in self.targets if target.process is not None or target.name == "direct"]
            self.missing[name] = str(reason).split("\n", 1)[0]
            measure.say(f"{name} is left out: {reason}")

    def _made(self, name: str) -> Target:
        if name == "direct":
            return Target("direct", self._upstream_port)
        if name == "greffier":
            return self.greffier(OURS, USUAL)
        if name == "postgresql":
            return GreffierPostgres(
                ON_POSTGRESQL,
                free_port(),
                self._work / "workspace-postgresql",
                USUAL,
                self._upstream_port,
                self._load_cpu,
            )
        if name == "nginx":
            return Nginx(free_port(), self._work / "nginx", self._upstream_port)
        if name == "litellm":
            return LiteLLM(free_port(), self._work / "litellm", _PEERS / "litellm", self._upstream_port)
        if name == "portkey":
            return Portkey(free_port(), _PEERS / "portkey", self._upstream_port)
        raise SystemExit(f"there is no gateway called {name}; use greffier, postgresql, nginx, litellm or portkey")

    def greffier(self, name: str, size: Size, python: str = sys.executable) -> Greffier:
        """The platform over a workspace of a size, not yet started."""
        return Greffier(name, free_port(), self._work / f"workspace-{name}", size, self._upstream_port, python)

    def start_sized(self, size: Size) -> Greffier:
        """Start the platform over a workspace of a size."""
        target = self.greffier(f"{size.use_cases}-{size.topics}", size)
        self.start(target)
        return target

    def stop_all_but(self, kept: Target | None) -> None:
        """Stop what runs; nothing else may stay on the core while one target is looked at."""
        for target in self.targets:
            if target is not kept:
                target.stop()


def main() -> None:
    """Measure, and write the page."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    plan = _plan(options)
    work: Path = options.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with Bench(work) as bench:
        for name in ("direct", *options.only):
            bench.start_or_miss(name)
        if options.also_python:
            bench.start(bench.greffier(OTHER_PYTHON, USUAL, options.also_python))
        results: dict[str, Any] = {
            "date": measure.now(),
            "machine": machine.describe(work) | _interpreters(options.also_python),
            "busy": options.busy,
            "load_average": os.getloadavg(),
            "arguments": sys.argv[1:],
            "plan": {name: getattr(plan, name) for name in plan.__struct_fields__ if name != "sizes"},
            "workspace": str(USUAL),
            "missing": bench.missing,
        }
        results["rounds"] = measure.rounds(plan, bench.generator, bench.targets)
        _write(options.output, results)
        for _ in _closer_looks(bench, plan, results, scaling=not options.no_scaling):
            _write(options.output, results)
    shutil.rmtree(work, ignore_errors=True)
    print((options.output / "RESULTS.md").read_text())


def _write(folder: Path, results: dict[str, Any]) -> None:
    """Write the page with what is known so far: whoever stops a long run keeps what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(report.write(results))


def _interpreters(other: str) -> dict[str, str]:
    found = {OURS: f"runs on Python {machine.interpreter(sys.executable)}"}
    if other:
        found[OTHER_PYTHON] = f"the same code on Python {machine.interpreter(other)}"
    return found


def _closer_looks(bench: Bench, plan: measure.Plan, results: dict[str, Any], *, scaling: bool) -> Iterator[None]:
    """What is measured for Greffier alone, step by step."""
    ours = next((target for target in bench.targets if isinstance(target, Greffier) and target.name == OURS), None)
    if ours is None:
        return
    bench.stop_all_but(ours)
    results["soak"] = measure.soak(plan, bench.generator, ours)
    results["stages_us"] = measure.stages(ours.workspace)
    ours.stop()
    results["verified"] = measure.verified(ours.workspace)
    yield
    if scaling:
        results["scaling"] = measure.scaling(plan, bench.generator, bench.start_sized)
        yield


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute, to see that it runs; the figures mean nothing"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each phase")
    parser.add_argument("--rounds", type=int, default=5, help="how often each target is measured")
    parser.add_argument("--soak-minutes", type=float, default=10.0, help="how long memory is watched")
    parser.add_argument(
        "--only",
        type=lambda value: value.split(","),
        default=["greffier", "postgresql", "nginx", "litellm", "portkey"],
        help="which gateways, of greffier,postgresql,nginx,litellm,portkey; direct is always measured",
    )
    parser.add_argument(
        "--also-python",
        default="",
        metavar="PATH",
        help="measure Greffier on a second interpreter too; one in whose environment it is installed",
    )
    parser.add_argument("--no-scaling", action="store_true", help="leave out the comparison of workspace sizes")
    parser.add_argument(
        "--busy", action="store_true", help="say in the report that the machine was shared with other work"
    )
    parser.add_argument("--output", type=Path, default=_HERE, help="where RESULTS.md and results.json go")
    parser.add_argument(
        "--work", type=Path, default=_HERE / "build" / "work", help="scratch folder; its disk holds the journal"
    )
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> measure.Plan:
    if options.quick:
        return _QUICK
    return measure.Plan(seconds=options.seconds, rounds=options.rounds, soak_s=options.soak_minutes * 60)


if __name__ == "__main__":
    main()
