"""Seal the log in a thread of the supervisor, away from the processes that answer requests."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.app.stores import open_journal, open_leader, open_reader
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock

_LAST_SEAL_S = 30.0


def make_sealer(paths: WorkspacePaths, settings: AuditSettings) -> Sealer:
    """The sealer of a workspace's log."""
    signer = FileCheckpointSigner(log_key_path(paths), settings.key_name)
    reader = open_reader(paths)
    store = TileStore(paths.log)
    return Sealer(reader, store, signer, known_verifiers(paths), settings, SystemClock(), open_leader(paths))


@asynccontextmanager
async def sealing(paths: WorkspacePaths, settings: AuditSettings) -> AsyncIterator[Sealer]:
    """Seal at every interval while inside, and once more on the way out."""
    await open_journal(paths, settings).close()  # makes the file where there is none yet
    sealer = make_sealer(paths, settings)
    stop = threading.Event()
    thread = threading.Thread(target=sealer.run, args=(stop,), name="sealer", daemon=True)
    thread.start()
    try:
        yield sealer
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, _LAST_SEAL_S)
