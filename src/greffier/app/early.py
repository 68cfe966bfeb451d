"""Workers forked before anything else runs: they share what the parent has imported, and get ready meanwhile.

Importing takes a worker longer than everything else it does before it serves. A process can be forked safely only while
it has one thread and no event loop, so this is for the first workers; one that dies later is followed by a new program.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping

import msgspec

from greffier.app.processes import die_with_parent

Go = Callable[[Mapping[str, str], int], None]
"""What a forked process does when it is told to go: takes its environment, and where to say that it serves."""


class Early:
    """A forked process as the supervisor sees it; the same members as ``asyncio.subprocess.Process``."""

    def __init__(self, pid: int, go: int, ready: int) -> None:
        self.pid = pid
        self.ready = ready
        self.returncode: int | None = None
        self._go = go
        self._told = False
        self._watch = os.pidfd_open(pid)
        self._ended: asyncio.Future[int] | None = None

    def go(self, environment: Mapping[str, str]) -> None:
        """Let it begin with these variables in its environment."""
        with contextlib.suppress(BrokenPipeError):  # it has died: `wait` tells
            os.write(self._go, msgspec.json.encode(environment) + b"\n")
        os.close(self._go)
        self._told = True

    def give_up(self) -> None:
        """End it, unless it was told to go, and wait until it is gone: what it inherited, the port, is free again."""
        if self._told or self.returncode is not None:
            return
        self.kill()
        os.close(self._go)
        os.close(self.ready)
        os.close(self._watch)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)

    async def wait(self) -> int:
        """Wait until it has ended and return its exit code, negative for a signal."""
        if self.returncode is not None:
            return self.returncode
        if self._ended is None:  # several may wait
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            loop.add_reader(self._watch, self._reap, loop, self._ended)
        return await asyncio.shield(self._ended)

    def _reap(self, loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[int]") -> None:
        loop.remove_reader(self._watch)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        os.close(self._watch)
        ended.set_result(self.returncode)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._watch, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork_early(count: int, prepare: Callable[[], None], go: Go) -> tuple[Early, ...]:
    """Fork this many processes. Where the system cannot watch a process by descriptor (not Linux), none.

    Args:
        count: How many.
        prepare: What each does at once; what it raises is left for ``go`` to meet again.
        go: What each does when told to. It is not told, and ends, if this process ends before.
    """
    return tuple(_fork(prepare, go) for _ in range(count)) if hasattr(os, "pidfd_open") else ()


def _fork(prepare: Callable[[], None], go: Go) -> Early:
    told, tell = os.pipe()
    ready, say = os.pipe()
    gc.freeze()  # what has been loaded stays shared: a collection would write to every page of it
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(told)
        os.close(say)
        return Early(pid, tell, ready)
    os.close(tell)
    os.close(ready)
    os._exit(_live(parent, prepare, go, told, say))


def _live(parent: int, prepare: Callable[[], None], go: Go, told: int, say: int) -> int:
    """The life of a forked process, without a way back into the program it was forked from."""
    code = 1
    try:
        die_with_parent(parent)
        with contextlib.suppress(Exception):
            prepare()
        with os.fdopen(told, "rb") as orders:
            line = orders.readline()
        if line:  # else the parent has given up
            go(msgspec.json.decode(line, type=dict[str, str]), say)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - the last line of a process
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    return code
