"""Compiled automata on disk: compiling the default patterns takes seconds of CPU, reading them back milliseconds.

Whoever composes the process names the folder; without one nothing is kept. A file counts only if it is whole, and only
for the patterns, flags and library that its name was derived from. The folder must be as well guarded as the
configuration: whoever can write there decides what the patterns match.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_folder: list[Path] = []


def keep_in(folder: Path) -> None:
    """Keep automata in this folder from now on; it is created, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _folder[:] = [folder]


def recall(name: str) -> bytes | None:
    """What was kept under a name; None if nothing whole was."""
    for folder in _folder:
        with contextlib.suppress(OSError):
            data = (folder / name).read_bytes()
            if hashlib.sha256(data[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES]:
                return data[_DIGEST_BYTES:]
    return None


def remember(name: str, data: bytes) -> None:
    """Keep something under a name. That it cannot be kept costs time at the next start, and nothing else."""
    for folder in _folder:
        draft = folder / f".{name}.{os.getpid()}"
        try:
            draft.write_bytes(hashlib.sha256(data).digest() + data)
            draft.replace(folder / name)
        except OSError as error:
            log.warning("a compiled pattern set cannot be kept: %s", error.strerror)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
