"""How threads of one worker share a processor with its event loop."""

import os

BOOKKEEPING = 10
"""Niceness of what may wait: a second's events are sealed and summed up in one go, tens of milliseconds under load."""

COMMITTING = 10
"""Niceness of a journal's writer. A thread that wakes up interrupts whoever runs; the loop holds the interpreter lock,
so the writer would stop it only to wait for it. Being nicer, it runs when the loop has given the lock away. Its share
of a full processor is still a tenth, and a commit takes a tenth of a millisecond."""


def give_way(niceness: int) -> None:
    """Let other threads go first where they share a processor with this one (nice(2); on Linux, for one thread)."""
    os.nice(niceness)
