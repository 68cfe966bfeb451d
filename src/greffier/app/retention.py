"""Delete captured content when its time is over, turn the keys weekly, and record what was done.

One process of an installation does this, beside the sealing. Nothing under a legal hold is deleted.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from greffier.app.configurations import forget, no_longer_cited
from greffier.app.privacy_desk import Office, open_office
from greffier.app.stores import alone, may_hold_content, open_journal, open_reader
from greffier.audit.ports import ContentUnavailable, Journal, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.clock import Clock, SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.governance.privacy.records import Hold
from greffier.governance.privacy.retention import Schedule
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.content import PartGroup, StoredPart

log = logging.getLogger(__name__)

ACTOR = "platform:retention"
_INTERVAL_S = 3600.0
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_LATE_MS = 900_000
"""How long after an erasure an answer that was under way may still be stored; longer than any request takes."""


class Line(msgspec.Struct, frozen=True):
    """How one kind of content stands.

    Attributes:
        rule: Which rule decides, and how many days it gives.
        overdue: Parts whose time is over and that nothing holds.
        held: Parts whose time is over and that a legal hold keeps.
    """

    tenant: str
    use_case: str
    purpose: str
    data_classes: str
    part: str
    rule: str
    days: int
    parts: int
    oldest_ms: int
    overdue: int
    held: int


def look(office: Office, snapshot: Snapshot, now_ms: int) -> list[tuple[Line, list[StoredPart]]]:
    """How content stands against the rules, with the parts that are to be deleted.

    Raises:
        ContentUnavailable: The content is out of reach.
        PrivacyUnavailable: The holds cannot be read, so nothing may be deleted.
    """
    workspace = snapshot.workspace
    schedule = Schedule(workspace.retention, snapshot.use_cases, workspace.audit.content_retention_days)
    holds = [hold for hold in office.holds.all() if hold.active(now_ms)]
    return [_line(office, schedule, holds, group, now_ms) for group in office.content.groups()]


def _line(
    office: Office, schedule: Schedule, holds: list[Hold], group: PartGroup, now_ms: int
) -> tuple[Line, list[StoredPart]]:
    limit = schedule.limit(
        tenant=group.tenant,
        use_case=group.use_case,
        purpose=group.purpose,
        data_classes=frozenset(filter(None, group.data_classes.split(","))),
        part=group.name,
    )
    expired = office.content.expired(group, limit.before_ms(now_ms))
    due = [
        part
        for part in expired
        if not any(hold.covers(part.tenant, part.subject, part.use_case, part.event_id) for hold in holds)
    ]
    line = Line(
        tenant=group.tenant,
        use_case=group.use_case,
        purpose=group.purpose,
        data_classes=group.data_classes,
        part=group.name,
        rule=limit.rule,
        days=limit.days,
        parts=group.parts,
        oldest_ms=group.oldest_ms,
        overdue=len(due),
        held=len(expired) - len(due),
    )
    return line, due


async def run_once(paths: WorkspacePaths, snapshot: Snapshot, clock: Clock, actor: str = ACTOR) -> int:
    """Turn the keys, and delete what is overdue; return how many parts there were.

    Raises:
        ContentUnavailable: The content or its keys are out of reach.
        PrivacyUnavailable: The holds cannot be read; nothing was deleted.
        KeyStoreUnavailable: The state folder cannot be used.
        JournalUnavailable: What was done could not be recorded.
    """
    if not may_hold_content(paths):
        return 0
    now_ms = clock.wall_ms()
    journal = open_journal(paths, snapshot.workspace.audit)
    try:
        with open_office(paths) as office:
            turned = await asyncio.to_thread(office.content.keys.rotate, now_ms)
            if turned.rewrapped or turned.destroyed:
                await _record(
                    journal, now_ms, "key.rotate", "content-keys", msgspec.structs.asdict(turned), actor=actor
                )
            count = await asyncio.to_thread(_late, office, now_ms)
            for line, due in await asyncio.to_thread(look, office, snapshot, now_ms):
                if due:
                    count += await asyncio.to_thread(office.content.delete_parts, line.tenant, [p.id for p in due])
                    details: dict[str, str | int | bool] = {
                        "parts": line.overdue,
                        "held": line.held,
                        "days": line.days,
                        "rule": line.rule,
                        "use_case": line.use_case,
                    }
                    await _record(
                        journal,
                        now_ms,
                        "content.purge",
                        f"content:{line.part}",
                        details,
                        actor=actor,
                        tenant=line.tenant,
                    )
    finally:
        await journal.close()
    return count


async def forget_configurations(paths: WorkspacePaths, settings: AuditSettings) -> int:
    """Forget the configurations that no kept record cites any more; return how many.

    Raises:
        JournalUnavailable: The journal or what is kept cannot be read, or the act not be recorded.
    """
    if not paths.configurations.is_dir():
        return 0
    reader = open_reader(paths)
    try:
        revisions = await asyncio.to_thread(no_longer_cited, paths, reader)
    except OSError as error:
        raise JournalUnavailable(f"kept configurations cannot be read: {error.strerror}") from error
    finally:
        reader.close()
    if revisions:
        journal = open_journal(paths, settings)
        try:
            for revision in revisions:
                await _record(journal, SystemClock().wall_ms(), "config.forget", revision, {}, actor=ACTOR)
        finally:
            await journal.close()
        await asyncio.to_thread(forget, paths, revisions)
    return len(revisions)


def _late(office: Office, now_ms: int) -> int:
    """Delete answers of an erased person that were under way when the person was erased."""
    recent = {line.mark: line.at_ms for line in office.erasures.lines(0) if line.at_ms > now_ms - _DAY_MS}
    count = 0
    for tenant, subject in office.content.owners() if recent else ():
        erased_ms = recent.get(office.erasures.mark("subject", tenant, subject))
        if erased_ms is not None:
            parts = office.content.of_subject(tenant, subject)
            count += office.content.delete_parts(tenant, [p.id for p in parts if p.stored_ms < erased_ms + _LATE_MS])
    return count


async def _record(
    journal: Journal,
    now_ms: int,
    action: str,
    target: str,
    details: dict[str, str | int | bool],
    *,
    actor: str,
    tenant: str = "",
) -> None:
    act = Act(id=new_id("evt"), ts=now_ms, tenant=tenant, action=action, actor=actor, target=target, details=details)
    await journal.append(act)


@asynccontextmanager
async def retention(paths: WorkspacePaths, snapshot: Callable[[], Snapshot]) -> AsyncIterator[None]:
    """Keep to the rules now and every hour while inside.

    Args:
        paths: The workspace.
        snapshot: The configuration in force, asked each time.
    """
    task = asyncio.create_task(_keep(paths, snapshot), name="retention")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class InForce:
    """The configuration in force, or the last good one while the files are being changed."""

    def __init__(self, paths: WorkspacePaths, snapshot: Snapshot) -> None:
        self._paths = paths
        self._last = snapshot

    def __call__(self) -> Snapshot:
        """Look again."""
        try:
            self._last = load_snapshot(self._paths)
        except ConfigError as error:
            log.warning("retention goes by the last good configuration: %s", error.reason)
        return self._last


async def _keep(paths: WorkspacePaths, snapshot: Callable[[], Snapshot]) -> None:
    while True:
        try:
            async with alone(paths, "retention") as ours:
                if ours:  # or another machine is at it, this minute
                    await run_once(paths, snapshot(), SystemClock())
            await forget_configurations(paths, snapshot().workspace.audit)
        except (ContentUnavailable, JournalUnavailable, PrivacyUnavailable, KeyStoreUnavailable) as error:
            log.error("content past its retention may still be there: %s", error)  # noqa: TRY400 - expected condition
        await asyncio.sleep(_INTERVAL_S)
