"""Workers and a sealer as processes of their own, to be killed: crashing.py WORKSPACE FOLDER WORKERS SEALERS.

Each worker appends from four callers and writes the id of each acknowledged event to FOLDER/said-N. They are forked
from one process, so that a test pays for the imports once.
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from greffier.app.sealing import make_sealer
from greffier.app.stores import open_journal
from greffier.audit.ports import Journal
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.testing.contracts.journal import make_admission

CALLERS = 4


async def caller(journal: Journal, said: TextIO) -> None:
    while True:
        event = make_admission(ts=SystemClock().wall_ms())
        await journal.append(event)
        said.write(f"{event.id}\n")
        said.flush()


async def work(paths: WorkspacePaths, file: Path) -> None:
    journal = open_journal(paths, AuditSettings(append_timeout_ms=60_000), spooled=True)
    with file.open("w") as said:
        await asyncio.gather(*(caller(journal, said) for _ in range(CALLERS)))


def seal(paths: WorkspacePaths) -> None:
    make_sealer(paths, AuditSettings(seal_interval_ms=50)).run(threading.Event())


def main(workspace: str, folder: str, workers: str, sealers: str) -> None:
    paths = WorkspacePaths(Path(workspace))
    for number in range(int(workers) + int(sealers)):
        if os.fork() == 0:
            if number < int(workers):
                asyncio.run(work(paths, Path(folder) / f"said-{number}"))
            else:
                seal(paths)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
