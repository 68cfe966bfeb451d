"""The load: one chat request of about 600 bytes, sent in a closed loop, at a steady rate, or as streams."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import machine

if TYPE_CHECKING:
    from gateway.targets import Target

_SYSTEM = (
    "You are a support assistant for Acme. Answer briefly, cite the policy section and never reveal internal ticket "
    "numbers."
)
_USER = (
    "Hello, my order ########## arrived yesterday and the housing of the replacement part is cracked on the left side. "
    "The box was intact, so it may have been damaged before packing. Can I exchange it without paying for the courier "
    "again, and how long would that take? I would also like to know whether the warranty starts over with the new part."
)
_HERE = Path(__file__).parent
_OVERLOAD_S = 8.0


def chat_body(model: str, *, stream: bool = False, **orders: float) -> bytes:
    """The request; orders become ``[[name=value]]`` in the prompt, which the scripted upstream obeys."""
    told = "".join(f" [[{name}={value:g}]]" for name, value in orders.items())
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER + told}],
        "temperature": 0.2,
        "max_tokens": 256,
        "user": "u-1842",
    }
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


def compile_tools(build: Path) -> None:
    """Build the load generator and the scripted upstream."""
    build.mkdir(parents=True, exist_ok=True)
    for name in ("load", "mock"):
        source, program = _HERE / f"{name}.c", build / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lm"], check=True)


class Generator:
    """Runs the load generator against one target at a time and accounts for CPU time meanwhile."""

    def __init__(self, build: Path, work: Path, cpu: str, upstream: subprocess.Popen[bytes]) -> None:
        self._program = build / "load"
        self._body = work / "body.json"
        self._cpu = cpu
        self._upstream = upstream

    def run(self, target: "Target", body: bytes, *, seconds: float, rate: float, connections: int) -> dict[str, Any]:
        """Load one target; rate 0 is a closed loop.

        Returns what the generator saw, plus ``cpu_us`` (the target's CPU per request sent), ``cores`` (that it used)
        and ``foreign`` (cores other processes used meanwhile).
        """
        self._body.write_bytes(body)
        command = ["taskset", "-c", self._cpu, str(self._program), str(target.port), target.path, str(self._body)]
        command += [f"{seconds:g}", f"{rate:g}", str(connections), *target.headers]
        environment = {name: value for name, value in os.environ.items() if name != "LOAD_KEYS"}
        if target.keys is not None:
            environment["LOAD_KEYS"] = str(target.keys)
        before = self._clocks(target)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=seconds + 60
        )
        after = self._clocks(target)
        wall, busy, own, ours = (new - old for new, old in zip(after, before, strict=True))
        result: dict[str, Any] = json.loads(done.stdout)
        result["cpu_us"] = own / max(1, result["issued"]) * 1e6
        result["cores"] = own / wall
        result["foreign"] = max(0.0, busy - own - ours) / wall
        settle(target)
        return result

    def _clocks(self, target: "Target") -> tuple[float, float, float, float]:
        times = os.times()
        mine = times.user + times.system + times.children_user + times.children_system
        own = machine.cpu_s(target.pid) if target.pid else 0.0
        return time.monotonic(), machine.busy_s(), own, mine + machine.cpu_s(self._upstream.pid)


def settle(target: "Target") -> None:
    """Wait until a target has worked off what an overload left behind, so that it does not disturb what follows."""
    end = time.monotonic() + _OVERLOAD_S
    while target.pid and time.monotonic() < end:
        before = machine.cpu_s(target.pid)
        time.sleep(0.3)
        if machine.cpu_s(target.pid) - before < 0.05:
            return
