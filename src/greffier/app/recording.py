"""Put an act of a person at the command line on record, in the same log as every request."""

import asyncio
import os
import pwd
from pathlib import Path

from greffier.app.stores import open_journal
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id

_LOGIN_UID = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1


def operator() -> str:
    """Who is at the command line, as the operating system knows them; neither option nor environment can set it.

    Where the kernel knows who logged in (``pam_loginuid``), it is that person, also behind ``sudo``: two people who
    work as one service account are still two people.
    """
    uid = _login_uid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under a number that has no name
        name = "unnamed"
    return f"os:{name}:{uid}"


def _login_uid() -> int:
    try:
        text = _LOGIN_UID.read_text()
    except OSError:  # a kernel without auditing
        return os.getuid()
    uid = int(text)
    return os.getuid() if uid == _NOBODY_LOGGED_IN else uid


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
