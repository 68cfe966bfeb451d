"""Keep this machine's copy of the ledger of erasures up to date, where the ledger itself is in a database."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from greffier.app.privacy_desk import follow_erasures
from greffier.app.stores import is_shared
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import NotAllowed, PrivacyUnavailable
from greffier.identity.ports import KeyStoreUnavailable

log = logging.getLogger(__name__)

INTERVAL_S = 60.0
"""How old a copy may be: what was erased in the last minute before a loss of everything else is known nowhere."""


@asynccontextmanager
async def following_erasures(paths: WorkspacePaths) -> AsyncIterator[None]:
    """Follow the ledger while inside; does nothing where it is a file of this machine.

    Raises:
        PrivacyUnavailable: The settings cannot be read.
    """
    if not is_shared(paths):
        yield
        return
    task = asyncio.create_task(_follow(paths), name="erasures")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _follow(paths: WorkspacePaths) -> None:
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await asyncio.to_thread(follow_erasures, paths)
        except (
            PrivacyUnavailable, NotAllowed, ContentUnavailable, KeyStoreUnavailable, JournalUnavailable,
        ) as error:  # fmt: skip
            log.error("the copy of the ledger of erasures is not up to date: %s", error)  # noqa: TRY400 - expected
