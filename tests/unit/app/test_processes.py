"""Asking for large pages changes where objects lie and nothing else."""

import subprocess
import sys

_SCRIPT = """
import random
from greffier.app.processes import use_huge_pages
kept = [str(random.Random(n).random()) for n in range(400_000)]  # tens of megabytes of small objects
before = hash(tuple(kept))
held = use_huge_pages()
assert hash(tuple(kept)) == before
print(held, sum(int(l.split()[1]) for l in open("/proc/self/smaps_rollup") if l.startswith("AnonHugePages")))
"""


def test_objects_stay_what_they_are_in_large_pages() -> None:
    """In a process of its own; what it says it holds is what the kernel says it holds."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    held, kilobytes = map(int, done.stdout.split())
    assert kilobytes >= held * 2048 * 0.5, "the kernel holds less than it said"
