"""A serving process: one event loop, one snapshot at a time, one journal.

Started by `supervisor` with two inherited descriptors: the listening socket and a pipe on which it says it is ready.
The first ones are forked early (`greffier.app.early`), those that follow a death are started as a program.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn
import uvloop

from greffier.adapters.secrets.references import SecretMissing
from greffier.app.front_door import FrontDoor
from greffier.app.plant import Plant
from greffier.app.processes import collect_rarely, die_with_parent, raise_file_limit, use_huge_pages
from greffier.app.serving import Server
from greffier.app.spending import spent_this_month
from greffier.app.wiring import recall_spend
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.errors import GreffierError
from greffier.gateway.protocol import with_head_timeout
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.guardrails import automata
from greffier.guardrails.ports import DetectorError
from greffier.guardrails.reviews import ReviewsUnavailable
from greffier.guardrails.screen import Guard
from greffier.identity.ports import KeyStoreUnavailable
from greffier.policy.standing import LedgerUnavailable
from greffier.storage.spend import SpendUnavailable
from greffier.telemetry.logs import configure_logs
from greffier.telemetry.sharing import FOLDER, share

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 75
_LAST_WORDS_S = 2
"""Time for callers to be told that their answer ends here, before uvicorn cuts them off without a word."""
_PARENT, _NUMBER, _WORKERS = "GREFFIER_PARENT", "GREFFIER_WORKER", "GREFFIER_WORKERS"
_BAD_CONFIGURATION = 3  # the exit codes of the command line
_UNAVAILABLE = 4


async def serve(workspace: Path, listener: socket.socket, ready: int, number: int, workers: int) -> None:
    """Serve until SIGTERM; SIGHUP looks for a new snapshot at once."""
    paths = WorkspacePaths(workspace)
    automata.keep_in(paths.run / "automata")
    snapshot = load_snapshot(paths)
    telemetry = snapshot.workspace.telemetry
    configure_logs(telemetry.log_level, telemetry.log_format)
    plant = Plant(paths, snapshot, SystemClock(), worker=number, workers=workers)
    await plant.start()
    recall_spend(plant, snapshot, await asyncio.to_thread(spent_this_month, paths, plant.clock))
    door = FrontDoor(plant, snapshot)
    await door.open()
    bounds = snapshot.workspace.server
    config = uvicorn.Config(
        door.app,
        http=with_head_timeout(bounds.body_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(bounds.drain_timeout_s) + _LAST_WORDS_S,
    )

    loop = asyncio.get_running_loop()

    def accepting() -> None:
        collect_rarely()
        os.write(ready, b"1")
        os.close(ready)
        loop.run_in_executor(None, use_huge_pages)

    server = Server(config, accepting)

    def stop() -> None:
        door.drain()
        loop.call_later(bounds.drain_timeout_s, door.app.give_up)
        server.should_exit = True

    for number_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number_, stop)
    loop.add_signal_handler(signal.SIGHUP, door.reload_soon)
    following = asyncio.create_task(door.follow_workspace(), name="follow-workspace")
    try:
        await server.serve(sockets=[listener])
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await door.close()
        await plant.close()


def environment(number: int, workers: int, metrics: Path) -> dict[str, str]:
    """What a worker is told: whose child it is, which of how many, and where metrics are shared."""
    return {
        _PARENT: str(os.getpid()),
        _NUMBER: str(number),
        _WORKERS: str(workers),
        FOLDER: str(metrics),
    }


def prepare(workspace: Path, snapshot: Snapshot) -> None:
    """Load what screens need, before anyone says that this process is to serve."""
    automata.keep_in(WorkspacePaths(workspace).run / "automata")
    Guard(snapshot.screens, snapshot.topics)


def run(workspace: Path, listener: socket.socket, ready: int) -> None:
    """Serve as the environment says; returns when told to stop.

    Raises:
        SystemExit: It cannot serve.
    """
    die_with_parent(int(os.environ[_PARENT]))
    raise_file_limit()
    share(Path(os.environ[FOLDER]))
    number, workers = int(os.environ[_NUMBER]), int(os.environ[_WORKERS])
    try:
        uvloop.run(serve(workspace, listener, ready, number, workers))
    except (ConfigError, SecretMissing, GreffierError, DetectorError) as error:
        log.critical("worker %d cannot serve this configuration: %s", number, error)
        sys.exit(_BAD_CONFIGURATION)
    except (
        KeyStoreUnavailable,
        JournalUnavailable,
        ContentUnavailable,
        LedgerUnavailable,
        PrivacyUnavailable,
        ReviewsUnavailable,
        SpendUnavailable,
        OSError,
    ) as error:
        log.critical("worker %d lacks something it needs: %s", number, error)
        sys.exit(_UNAVAILABLE)


def main() -> None:
    """Entry point: ``python -m greffier.app.worker WORKSPACE LISTENER_FD READY_FD``."""
    run(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))


if __name__ == "__main__":
    main()
