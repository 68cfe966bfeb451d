"""Small facts about processes: die with the parent, open many files, collect rarely."""

import ctypes
import gc
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_YOUNG_OBJECTS = 20_000  # a few hundred requests' worth; Python's default of 700 is less than one request makes


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM when the parent is gone (prctl(2), Linux); leave at once if it is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit(0)


def raise_file_limit() -> None:
    """Take as many file descriptors as the hard limit allows: each caller and each upstream connection needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_rarely() -> None:
    """Leave what has been loaded out of garbage collection, and look at new objects less often. Call once started.

    Nearly everything a request makes is freed by counting references. Walking the modules, automata and the snapshot
    for the rest took 7 % of the processor and stopped requests for tens of milliseconds. Frozen objects are still
    freed when nothing refers to them; only cycles among those loaded before this call would stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
