import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from greffier.app.early import Early, fork_early
from greffier.testing.platform import eventually


def nothing() -> None:
    """Nothing to prepare."""


def fail() -> None:
    raise RuntimeError("later, when it matters")


def tell(environment: Mapping[str, str], ready: int) -> None:
    os.write(ready, environment["word"].encode())


def leave(environment: Mapping[str, str], _ready: int) -> None:
    sys.exit(int(environment["code"]))


def stay(_environment: Mapping[str, str], ready: int) -> None:
    os.write(ready, b"1")
    time.sleep(60)


def raises(_environment: Mapping[str, str], _ready: int) -> None:
    raise ValueError("broken")


async def ended(early: Early) -> int:
    async with asyncio.timeout(20):
        return await early.wait()


async def test_each_takes_its_own_environment_and_says_when_it_is_ready() -> None:
    first, second = fork_early(2, fail, tell)
    first.go({"word": "one"})
    second.go({"word": "two"})
    assert [os.read(early.ready, 9) for early in (first, second)] == [b"one", b"two"]
    assert [await ended(first), await ended(second)] == [0, 0]


async def test_the_exit_code_is_told_to_everybody_who_waits() -> None:
    (early,) = fork_early(1, nothing, leave)
    waiting = [asyncio.create_task(ended(early)) for _ in range(3)]
    early.go({"code": "3"})
    assert await asyncio.gather(*waiting) == [3, 3, 3]
    assert early.returncode == 3
    assert await ended(early) == 3


async def test_a_fault_ends_the_process_and_not_the_program_it_was_forked_from() -> None:
    (early,) = fork_early(1, nothing, raises)
    early.go({})
    assert await ended(early) == 1
    assert os.read(early.ready, 1) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_signals_arrive_and_count_as_the_reason(number: signal.Signals) -> None:
    (early,) = fork_early(1, nothing, stay)
    early.go({})
    os.read(early.ready, 1)
    early.send_signal(number)
    assert await ended(early) == -number
    early.send_signal(number)  # there is nobody left, and no other process may get it


def linger() -> None:
    time.sleep(60)


def test_one_that_is_given_up_is_gone_at_once_and_the_port_is_free_again() -> None:
    """A start that fails must not hold the port until its workers have loaded what they will not need."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (early,) = fork_early(1, linger, tell)
    early.give_up()
    assert early.returncode == -signal.SIGKILL
    socket.create_server(("127.0.0.1", port)).close()


def test_one_whose_parent_is_killed_does_not_outlive_it() -> None:
    script = """
import os, signal, time
from greffier.app.early import fork_early
(early,) = fork_early(1, lambda: time.sleep(60), lambda told, ready: None)
print(early.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    child = int(done.stdout)
    eventually(lambda: not Path(f"/proc/{child}").exists() or "(zombie)" in Path(f"/proc/{child}/status").read_text())


async def test_one_that_dies_before_it_is_told_is_noticed() -> None:
    (early,) = fork_early(1, nothing, stay)
    early.kill()
    assert await ended(early) == -signal.SIGKILL
    early.go({"word": "too late"})


def test_they_end_when_the_parent_ends_without_a_word() -> None:
    come, told = os.pipe()
    middle = os.fork()
    if not middle:
        for early in fork_early(3, nothing, stay):
            os.write(told, f"{early.pid}\n".encode())
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(told)
    with os.fdopen(come) as lines:  # ends when the last of them has closed its copy
        pids = [int(line) for line in lines]
    assert len(pids) == 3
