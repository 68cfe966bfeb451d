"""Small facts about processes: die with the parent, open many files, collect rarely, lie in large pages."""

import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_HUGE_PAGE = 2 << 20
_YOUNG_OBJECTS = 20_000  # a few hundred requests' worth; Python's default of 700 is less than one request makes


def http_url(host: str, port: int) -> str:
    """The URL of a listening address; an IPv6 address stands in brackets (RFC 3986 section 3.2.2)."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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


def use_huge_pages() -> int:
    """Ask the kernel to hold this process's objects in pages of 2 MiB; say how many it did (madvise(2)).

    A request touches thousands of small objects all over the heap, and on a virtual machine the processor walks two
    page tables for each page it must look up. Takes a fifth of a second of kernel time, in which other threads run.
    Nothing depends on it: a kernel before 6.1, or one without transparent huge pages, does nothing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    held = 0
    for start, end in _heap():
        libc.madvise(start, end - start, _MADV_HUGEPAGE)  # for what comes to lie there later
        for page in range(-(-start // _HUGE_PAGE) * _HUGE_PAGE, end - _HUGE_PAGE + 1, _HUGE_PAGE):
            held += libc.madvise(page, _HUGE_PAGE, _MADV_COLLAPSE) == 0
    return held


def _heap() -> Iterator[tuple[int, int]]:
    """Start and end of each private, writable mapping that is no file and no stack (proc_pid_maps(5))."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    for line in maps.read_text(encoding="utf-8").splitlines():
        span, access, _, _, inode, *name = line.split(maxsplit=5)
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            start, end = span.split("-")
            yield int(start, 16), int(end, 16)
