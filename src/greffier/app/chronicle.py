"""What the platform itself does, on the same record as what it is asked: start, stop, workers, configuration."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import greffier
from greffier.app.operators import process_owner
from greffier.app.stores import open_journal
from greffier.audit.ports import Journal, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import Clock, SystemClock, TimeSource
from greffier.core.events import Act
from greffier.core.ids import new_id

log = logging.getLogger(__name__)

PLATFORM = "platform"
"""The actor of what no person asked for."""


class Chronicle:
    """Writes the acts of the supervisor."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def started(self, host: str, port: int, workers: int, snapshot: Snapshot) -> None:
        """Record the start, before the first worker runs.

        Raises:
            JournalUnavailable: It cannot be recorded, so nothing is started.
        """
        details: dict[str, str | int | bool] = {
            "version": greffier.__version__,
            "address": f"{host}:{port}",
            "workers": workers,
        }
        await self._journal.append(self._act("platform.start", process_owner(), snapshot.revision, details))

    async def stopped(self) -> None:
        """Record the stop, after the last request."""
        await self._if_possible(self._act("platform.stop", PLATFORM, "", {}))

    async def restarting(self, worker: int, exit_code: int) -> None:
        """Record that a worker died and another takes its place; a journal that is out of reach does not prevent it."""
        await self._if_possible(
            self._act("worker.restart", PLATFORM, f"worker:{worker}", {"worker": worker, "exit_code": exit_code})
        )

    async def _if_possible(self, act: Act) -> None:
        try:
            await self._journal.append(act)
        except JournalUnavailable as error:
            log.error("%s is not on record: %s", act.action, error)  # noqa: TRY400 - the message says it all

    def _act(self, action: str, actor: str, target: str, details: dict[str, str | int | bool]) -> Act:
        now_ms = self._clock.wall_ms()
        return Act(id=new_id("evt"), ts=now_ms, action=action, actor=actor, target=target, details=details)


@asynccontextmanager
async def chronicling(paths: WorkspacePaths, settings: AuditSettings) -> AsyncIterator[Chronicle]:
    """A chronicle in the workspace's journal, which is created if there is none.

    Raises:
        JournalUnavailable: The journal cannot be opened.
    """
    journal = open_journal(paths, settings)
    try:
        yield Chronicle(journal, SystemClock())
    finally:
        await journal.close()


async def record_time_source(journal: Journal, clock: Clock, source: TimeSource, worker: int) -> None:
    """Record that a worker saw the machine's clock lose or regain its synchronisation.

    Raises:
        JournalUnavailable: It cannot be recorded.
    """
    details: dict[str, str | int | bool] = {"worker": worker, "ts_src": source}
    act = Act(id=new_id("evt"), ts=clock.wall_ms(), action="clock.change", actor=PLATFORM, details=details)
    await journal.append(act)


async def record_activation(journal: Journal, clock: Clock, snapshot: Snapshot, worker: int) -> None:
    """Record that a worker is about to put a configuration in force.

    Raises:
        JournalUnavailable: It cannot be recorded, so it must not be put in force.
    """
    await journal.append(
        Act(
            id=new_id("evt"),
            ts=clock.wall_ms(),
            action="snapshot.activate",
            actor=PLATFORM,
            target=snapshot.revision,
            details={"worker": worker, "signed_by": snapshot.signed_by or "nobody"},
        )
    )
