"""Put an act of a person at the command line on record, in the same log as every request."""

import asyncio

from greffier.app.operators import identity_of
from greffier.app.stores import open_journal
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id

_PATIENCE_MS = 10_000
"""A person waits longer than a request for a store that is busy; what cannot be recorded does not happen."""


def operator(paths: WorkspacePaths) -> str:
    """Who is at the command line; see `greffier.app.operators`.

    Raises:
        UnknownOperator: It cannot be told, so nothing may be done in anybody's name.
    """
    return identity_of(paths).who()


def record_act(
    paths: WorkspacePaths,
    action: str,
    target: str,
    *,
    reason: str = "",
    details: dict[str, str | int | bool] | None = None,
    actor: str = "",
) -> None:
    """Append an act to the journal and return once it is durable. Called before the act takes effect.

    Args:
        paths: The workspace.
        action: What is done.
        target: To what.
        reason: Why.
        details: What else an auditor asks about.
        actor: Who does it, where that is not the person at the command line.

    Raises:
        UnknownOperator: It cannot be told who is at the command line.
        JournalUnavailable: It cannot be made durable, so the act must not happen.
    """
    act = Act(
        id=new_id("evt"),
        ts=SystemClock().wall_ms(),
        action=action,
        actor=actor or operator(paths),
        target=target,
        reason=reason,
        details=details or {},
    )
    asyncio.run(_append(paths, act))


async def _append(paths: WorkspacePaths, act: Act) -> None:
    paths.ensure()
    journal = open_journal(paths, AuditSettings(append_timeout_ms=_PATIENCE_MS))
    try:
        await journal.append(act)
    finally:
        await journal.close()
