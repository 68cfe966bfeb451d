"""Ships a journal to a file until it is killed; one process of the test beside it."""

import asyncio
import random
import sys
from pathlib import Path

from greffier.adapters.sinks.build import build_sink
from greffier.audit.progress import ProgressFile
from greffier.audit.shipping import Plan, Shipper
from greffier.audit.sink_settings import SinkSettings
from greffier.core.clock import SystemClock
from greffier.storage.journal import SqliteJournalReader


async def main(folder: Path) -> None:
    settings = SinkSettings(kind="file", path="out/events.json", rotate_bytes=50_000, keep_files=1000)
    sink, writer = build_sink("file", settings, folder)
    plan = Plan(name="file", workspace="prod", batch=20)
    reader = SqliteJournalReader(folder / "journal.db")
    state = ProgressFile(folder / "sinks", "file")
    shipper = Shipper(plan, sink, writer, reader, lambda: None, state, SystemClock(), random.Random())
    print("ready", flush=True)
    await shipper.run(asyncio.Event())


asyncio.run(main(Path(sys.argv[1])))
