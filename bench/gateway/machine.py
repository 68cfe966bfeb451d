"""Processes, their CPU time and memory, and the machine they run on. Linux; reads /proc."""

import contextlib
import os
import platform
import signal
import statistics
import subprocess
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat after the command's name


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process and its descendants."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = _stat(one)
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks / _TICK


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and its descendants: pages they share count once."""
    kilobytes = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def freeze(pid: int) -> None:
    """Stop a process and its descendants where they are: what they do when idle is no cost of what is measured."""
    for one in family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let them go on."""
    for one in family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGCONT)


def busy_s() -> float:
    """CPU seconds the whole machine has been busy since it started."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK


def start(
    command: list[str], cpu: str, log: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process group of its own, pinned to a CPU."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            ["taskset", "-c", cpu, *command],
            stdout=sink,
            stderr=sink,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], patience_s: float = 15.0) -> None:
    """Stop a process in order; kill its group when that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def pair_of_cpus() -> tuple[str, str]:
    """One CPU for the gateway, another for load and upstream.

    Raises:
        SystemExit: There is only one.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("the benchmark needs two CPUs: one for the gateway, one for load and upstream")
    return str(cpus[0]), str(cpus[1])


def fsync_ms(folder: Path) -> float:
    """Median time to make 4 KB durable in a folder: evidence cannot be faster than the disk."""
    probe = folder / "fsync.probe"
    times = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    probe.unlink()
    return statistics.median(times)


def describe(folder: Path) -> dict[str, str]:
    """What a reader needs to know to compare."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    model = {key.strip(): value.strip() for key, value in fields.items()}.get("model name", "unknown")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    system = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line).get(
        "PRETTY_NAME", "Linux"
    )
    return {
        "CPU": f"{model}, {os.cpu_count()} logical CPUs",
        "memory": f"{int(memory.split()[1]) / 1_048_576:.0f} GiB",
        "system": f"{system.strip(chr(34))}, kernel {platform.release()}",
        "disk": f"{_filesystem(folder)}, fsync of 4 KB {fsync_ms(folder):.2f} ms (median of 50)",
    }


_ASK = """
import platform, time

def loop():
    table, total = {}, 0
    for step in range(200_000):
        table[step & 255] = step
        total ^= len(str(step)) + (step, total)[0]
    return total

best = 1e9
for _ in range(9):
    began = time.thread_time()
    loop()
    best = min(best, time.thread_time() - began)
print(f"{platform.python_version()} ({platform.python_compiler()}), {best * 1000:.0f} ms for a fixed loop of Python")
"""


def interpreter(python: str) -> str:
    """Version of a Python, and how fast it is: builds of one version differ by a third."""
    return subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True).stdout.strip()


def _filesystem(folder: Path) -> str:
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, found, *_ = line.split()
        if str(folder.resolve()).startswith(where) and len(where) > len(best):
            best, kind = where, found
    return kind
