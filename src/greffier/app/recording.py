"""Put an act of a person at the command line on record, in the same log as every request."""

import asyncio
import getpass
import os

from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id
from greffier.storage.journal import open_journal


def operator() -> str:
    """Who is at the command line, as the operating system knows them; it cannot be set by an option."""
    return f"os:{getpass.getuser()}:{os.getuid()}"


def record_act(
    paths: WorkspacePaths,
    action: str,
    target: str,
    *,
    reason: str = "",
    details: dict[str, str | int | bool] | None = None,
) -> None:
    """Append an act to the journal and return once it is durable. Called before the act takes effect.

    Raises:
        JournalUnavailable: It cannot be made durable, so the act must not happen.
    """
    act = Act(
        id=new_id("evt"),
        ts=SystemClock().wall_ms(),
        action=action,
        actor=operator(),
        target=target,
        reason=reason,
        details=details or {},
    )
    asyncio.run(_append(paths, act))


async def _append(paths: WorkspacePaths, act: Act) -> None:
    paths.ensure()
    journal = open_journal(paths, AuditSettings())
    try:
        await journal.append(act)
    finally:
        await journal.close()
