"""Delete captured content when its time is over (``audit.content_retention_days``), and record that it was done."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import Clock, SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id
from greffier.storage.content import open_content_store
from greffier.storage.journal import open_journal

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_INTERVAL_S = 3600.0


async def purge_once(paths: WorkspacePaths, settings: AuditSettings, clock: Clock) -> int:
    """Delete what is older than the retention; return how many parts there were.

    Raises:
        ContentUnavailable: The store is out of reach.
        JournalUnavailable: The deletion was done but could not be recorded.
    """
    if not paths.content_db.exists():
        return 0
    before_ms = clock.wall_ms() - settings.content_retention_days * _DAY_MS
    store = open_content_store(paths)
    try:
        count = await asyncio.to_thread(store.purge, before_ms)
    finally:
        store.close()
    if count:
        await _record(paths, settings, clock, count, before_ms)
    return count


async def _record(paths: WorkspacePaths, settings: AuditSettings, clock: Clock, count: int, before_ms: int) -> None:
    journal = open_journal(paths, settings)
    try:
        await journal.append(
            Act(
                id=new_id("evt"),
                ts=clock.wall_ms(),
                action="content.purge",
                actor="platform:retention",
                target="content",
                details={"parts": count, "before_ms": before_ms, "days": settings.content_retention_days},
            )
        )
    finally:
        await journal.close()


@asynccontextmanager
async def retention(paths: WorkspacePaths, settings: AuditSettings) -> AsyncIterator[None]:
    """Purge now and every hour while inside. One process of an installation does this."""
    task = asyncio.create_task(_keep(paths, settings))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep(paths: WorkspacePaths, settings: AuditSettings) -> None:
    while True:
        try:
            await purge_once(paths, settings, SystemClock())
        except (ContentUnavailable, JournalUnavailable) as error:
            log.error("content past its retention may still be there: %s", error)  # noqa: TRY400 - expected condition
        await asyncio.sleep(_INTERVAL_S)
