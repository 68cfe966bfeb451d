"""Keep the locked copies up to date from the supervisor, away from the processes that answer requests."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

from greffier.adapters.objects.build import build_store
from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.audit.checkpoint import BadCheckpoint, Checkpoint
from greffier.audit.copies import Copied, CopiedFile, Copier, CopyUnavailable, LockedStore
from greffier.audit.copy_settings import CopySettings
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import Clock, SystemClock
from greffier.telemetry.copies import CopyMetrics
from greffier.telemetry.sharing import share

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_MS = 1000


class Keeper:
    """Keeps one copy up to date for as long as the platform runs."""

    def __init__(
        self, name: str, settings: CopySettings, audit: AuditSettings, paths: WorkspacePaths, clock: Clock
    ) -> None:
        """Open no connection.

        Raises:
            CopyUnavailable: The workspace does not say enough to reach the bucket.
        """
        self.name = name
        self.settings = settings
        self.store: LockedStore = build_store(name, settings, paths.root)
        self._audit = audit
        self._paths = paths
        self._clock = clock
        self._state = CopiedFile(paths.copies, name)
        self.copied: Copied = self._state.load()

    async def once(self) -> Checkpoint | None:
        """Copy what is new and the newest checkpoint; see `Copier.round`. What fails is kept with the state."""
        copier = Copier(
            TileStore(self._paths.log),
            self.store,
            self._state,
            known_verifiers(self._paths),  # a rotation adds a key while we run
            self._audit.origin,
            self.settings.retain_days,
            records=self.settings.records,
        )
        self.copied = copier.copied
        try:
            return await copier.round(self._clock.wall_ms())
        except (CopyUnavailable, BadLog, BadCheckpoint) as error:
            copier.failed(str(error), self._clock.wall_ms())
            raise

    def due(self) -> bool:
        """Whether a checkpoint is to be copied by now."""
        return self._clock.wall_ms() - self.copied.time_ms >= self.settings.every_s * _MS

    async def run(self, stop: asyncio.Event) -> None:
        """Copy whenever it is due, until told to stop. Failures are told once and tried again with growing pauses."""
        pause, told = _FIRST_PAUSE_S, ""
        random = SystemRandom()
        while not stop.is_set():
            wait = _LOOK_EVERY_S
            if self.due():
                try:
                    await self.once()
                except (CopyUnavailable, BadLog, BadCheckpoint, OSError) as error:
                    if str(error) != told:
                        told = str(error)
                        log.critical("the log is not being copied to %s: %s", self.name, error)
                    wait = pause * random.uniform(0.5, 1.0)
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                else:
                    if told:
                        log.warning("the log is being copied to %s again", self.name)
                    pause, told = _FIRST_PAUSE_S, ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await stop.wait()


@asynccontextmanager
async def copying(paths: WorkspacePaths, snapshot: Snapshot, metrics: Path | None = None) -> AsyncIterator[None]:
    """Keep every copy of the workspace up to date while inside.

    Args:
        paths: The workspace.
        snapshot: The configuration at the start. Other copies are taken up at the next start.
        metrics: Folder of the metrics that all processes share.

    Raises:
        CopyUnavailable: A copy cannot be built; or is out of reach or does not lock, and the workspace does not say
            ``on_start: warn``.
    """
    workspace = snapshot.workspace
    if not workspace.copies:
        yield
        return
    keepers = [
        Keeper(name, settings, workspace.audit, paths, SystemClock()) for name, settings in workspace.copies.items()
    ]
    try:
        for keeper in keepers:
            await _probe(keeper)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(keeper.run(stop), name=f"copy {keeper.name}") for keeper in keepers]
        tasks.append(asyncio.create_task(_show(keepers, metrics, stop), name="copy metrics"))
        try:
            yield
        finally:
            stop.set()
            for task in tasks:
                task.cancel()  # a copy that is under way is made again after the next start
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for keeper in keepers:
            await keeper.store.close()


async def _probe(keeper: Keeper) -> None:
    try:
        await keeper.store.probe()
    except CopyUnavailable as error:
        if keeper.settings.on_start == "refuse":
            raise CopyUnavailable(
                f"copy '{keeper.name}': {error} (it is required at the start; 'on_start: warn' makes it optional)"
            ) from error
        log.warning("copy %s is not usable at the start: %s", keeper.name, error)


async def _show(keepers: list[Keeper], metrics: Path | None, stop: asyncio.Event) -> None:
    if metrics is None:
        return
    share(metrics)
    gauges = CopyMetrics()
    while not stop.is_set():
        for keeper in keepers:
            copied = keeper.copied
            gauges.show(keeper.name, events=copied.size, time_ms=copied.time_ms, failing=bool(copied.error))
        await asyncio.sleep(_LOOK_EVERY_S)
