"""`kill -9` at any moment: no event is missing from the files, each line is whole, and the cursor never runs ahead."""

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from greffier.audit.progress import ProgressFile
from greffier.audit.settings import AuditSettings
from greffier.core.events import Act
from greffier.core.ids import new_id
from greffier.storage.journal import SqliteJournal

EVENTS = 1000
SCRIPT = Path(__file__).with_name("shipping.py")


def test_nothing_is_missing_after_many_kills(tmp_path: Path) -> None:
    acts = [
        Act(id=new_id("evt"), ts=1_795_467_240_123 + number, action="key.create", actor="os:olga:1000", target="key:k")
        for number in range(EVENTS)
    ]
    asyncio.run(_append(tmp_path, acts))
    kills = 0
    deadline = time.monotonic() + 90
    while _cursor(tmp_path) < EVENTS and time.monotonic() < deadline:
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        # A fast disk must not finish before three kills, a slow one must be let finish.
        time.sleep(random.uniform(0, 0.04) if kills < 3 else random.uniform(1, 4))
        process.kill()
        process.wait()
        process.stdout.close()
        kills += 1
        assert _cursor(tmp_path) <= len(_ids(tmp_path)), "the cursor ran ahead of what is on disk"
    assert kills > 2
    assert _ids(tmp_path) == {act.id for act in acts}


async def _append(folder: Path, acts: list[Act]) -> None:
    journal = SqliteJournal(folder / "journal.db", AuditSettings())
    for start in range(0, EVENTS, 500):
        await asyncio.gather(*(journal.append(act) for act in acts[start : start + 500]))
    await journal.close()


def _cursor(folder: Path) -> int:
    kept = ProgressFile(folder / "sinks", "file").load()
    return kept.cursor if kept else 0


def _ids(folder: Path) -> set[str]:
    found = set()
    for path in (folder / "out").glob("events.json*"):
        for line in path.read_text().splitlines():
            try:
                found.add(json.loads(line)["metadata"]["uid"])
            except ValueError:
                assert line.startswith("{"), "a line that a kill cut short still begins like one"
    return found
