"""Deliver what recipients of personal data are told (GDPR Art. 19), from the supervisor or the command line.

Notices wait in the requests they belong to, so a crash loses none; a recipient may be told twice, under the same id.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from greffier.adapters.notices import mail
from greffier.adapters.notices.webhook import NotTold, post
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.app.privacy_desk import Office, open_office
from greffier.app.stores import alone, open_journal, open_privacy
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.config.paths import WorkspacePaths
from greffier.config.settings import RecipientSettings
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.events import Act
from greffier.core.ids import new_id
from greffier.governance.privacy.ports import NotAllowed, NotFound, PrivacyUnavailable
from greffier.governance.privacy.records import Notice, SubjectRequest
from greffier.governance.privacy.telling import failed, message, put, told
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.privacy import SqlSubjectRequests
from greffier.storage.privacy_db import PrivacyDatabase

log = logging.getLogger(__name__)

ACTOR = "platform:notices"
_OVERTAKEN = "the person was erased since; recipients are told of that instead"
_LOOK_EVERY_S = 10.0
_MS = 1000


class Delivery(msgspec.Struct, frozen=True):
    """What a round of deliveries did."""

    told: int = 0
    failed: int = 0


async def deliver(
    paths: WorkspacePaths, snapshot: Snapshot, *, only: str = "", now: bool = False, actor: str = ACTOR
) -> Delivery:
    """Deliver every notice that is due.

    Args:
        paths: The workspace.
        snapshot: The configuration in force.
        only: One request's notices only.
        now: Also those whose pause after a failure is not over.
        actor: Who asked for it.

    Raises:
        PrivacyUnavailable: The requests cannot be read or written.
        ContentUnavailable: The content is out of reach.
        KeyStoreUnavailable: The state folder cannot be used.
        JournalUnavailable: A delivery could not be recorded; it comes again.
    """
    count = {"told": 0, "failed": 0}
    with open_office(paths) as office:
        for request in office.requests.telling():
            for notice in request.notices if only in {"", request.id} else ():
                due = notice.state == "queued" and notice.how != "hand"
                if due and (now or notice.next_ms <= SystemClock().wall_ms()):
                    after = await _tell(paths, snapshot, office, request, notice, actor)
                    if after.state != "impossible":
                        count["told" if after.state == "told" else "failed"] += 1
                    _keep(office, request.id, after)
    return Delivery(**count)


async def _tell(  # noqa: PLR0917 - one caller, which has them all at hand
    paths: WorkspacePaths, snapshot: Snapshot, office: Office, request: SubjectRequest, notice: Notice, actor: str
) -> Notice:
    now_ms = SystemClock().wall_ms()
    if request.type == "rectify" and _erased_since(office, request):  # nobody knows any more what was right
        overtaken = msgspec.structs.replace(
            notice, state="impossible", done_ms=now_ms, by=actor, reason=_OVERTAKEN, error="", requests=(), next_ms=0
        )
        await _record(paths, snapshot, request, overtaken, now_ms)
        return overtaken
    try:
        body = message(notice, request, snapshot, _correction(office, request, notice))
        await _send(paths, snapshot, notice, body, now_ms)
    except (NotTold, SecretMissing) as error:
        log.warning("%s was not told of %s: %s", notice.name, request.id, error)
        return failed(notice, str(error), now_ms)
    after = told(notice, body, now_ms, actor)
    await _record(paths, snapshot, request, after, now_ms)
    return after


async def _send(paths: WorkspacePaths, snapshot: Snapshot, notice: Notice, body: bytes, now_ms: int) -> None:
    recipient = snapshot.workspace.recipients.get(notice.recipient)
    if recipient is not None and recipient.webhook is not None:
        await _post(paths, recipient, notice, body, now_ms)
    elif recipient is not None and recipient.mail_folder is not None:
        _leave(paths, snapshot, recipient, notice, body)
    else:
        raise NotTold(f"the register no longer says how '{notice.recipient}' is told; put it back, or tell it by hand")


def _erased_since(office: Office, request: SubjectRequest) -> bool:
    buried = {line.mark for line in office.erasures.lines(0) if line.kind == "subject"}
    return any(office.erasures.mark("subject", request.tenant, ref) in buried for ref in request.refs)


def _correction(office: Office, request: SubjectRequest, notice: Notice) -> str:
    """What is right instead, for those whom the data went to; kept under the person's key until it is sent."""
    if request.type != "rectify" or not notice.requests:
        return ""
    for part in office.content.of_event(request.tenant, request.id):
        if part.name == "rectification":
            return office.content.get(request.tenant, part.id)[0].decode("utf-8", "replace")
    raise NotTold("the rectification's text is no longer there; tell the recipient by hand")


async def _post(paths: WorkspacePaths, recipient: RecipientSettings, notice: Notice, body: bytes, now_ms: int) -> None:
    if recipient.webhook is None or recipient.secret is None:
        raise NotTold("the webhook has no secret")
    tls = recipient.tls
    files = (
        str(paths.root / tls.ca_file) if tls.ca_file else None,
        str(paths.root / tls.client_cert_file) if tls.client_cert_file else None,
        resolve_secret(tls.client_key, paths.root) if tls.client_key else None,
    )
    secret = resolve_secret(recipient.secret, paths.root)
    await post(resolve_value(recipient.webhook), secret, files, notice.id, now_ms // _MS, body)


def _leave(
    paths: WorkspacePaths, snapshot: Snapshot, recipient: RecipientSettings, notice: Notice, body: bytes
) -> None:
    said = msgspec.json.decode(body)
    controller = snapshot.workspace.controller
    sender = mail.address(controller.name, controller.contact) if controller is not None else ""
    answers = "\n".join(f"  {name}" for name in notice.requests) or "  not known any more; please look under our name"
    text = (
        f"{said['controller']['name']} tells you under {said['article']} of the {said['act']} of personal data\n"
        f"that you received. Reference: {said['reference']}.\n\n{said['asked']}\n\nAnswers it went with:\n{answers}\n"
    )
    if "correction" in said:
        text += f"\nWhat is right:\n{said['correction']}\n"
    subject = f"Notice under {said['article']}: {said['act']} ({said['reference']})"
    folder = paths.root / (recipient.mail_folder or "")
    letter = mail.message(sender, recipient.contact, subject, text, notice.id, notice.queued_ms, body)
    mail.leave(folder, notice.id, letter)


async def _record(
    paths: WorkspacePaths, snapshot: Snapshot, request: SubjectRequest, notice: Notice, now_ms: int
) -> None:
    details: dict[str, str | int | bool] = {"notice": notice.id, "how": notice.how, "message": notice.digest}
    if notice.state == "impossible":
        details = {"notice": notice.id, "how": notice.how, "told": False}
    act = Act(
        id=new_id("evt"),
        ts=now_ms,
        tenant=request.tenant,
        action="dsr.told",
        actor=notice.by,
        target=f"dsr:{request.id}",
        reason=notice.reason,
        details=details,
    )
    journal = open_journal(paths, snapshot.workspace.audit)
    try:
        await journal.append(act)
    finally:
        await journal.close()


def _keep(office: Office, request_id: str, notice: Notice) -> None:
    """Note it in the request as it is now; an operator may be at work on it."""
    for _ in range(3):
        request = office.requests.get(request_id)
        with contextlib.suppress(NotAllowed):
            office.requests.save(put(request, notice), request)
            return
    log.warning("what became of the notice %s is noted after its next delivery", notice.id)


@asynccontextmanager
async def telling(paths: WorkspacePaths, snapshot: Callable[[], Snapshot]) -> AsyncIterator[None]:
    """Deliver what is due, now and every few seconds, while inside.

    Args:
        paths: The workspace.
        snapshot: The configuration in force, asked when there is something to deliver.
    """
    task = asyncio.create_task(_keep_telling(paths, snapshot), name="notices")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep_telling(paths: WorkspacePaths, snapshot: Callable[[], Snapshot]) -> None:
    watching: PrivacyDatabase | None = None
    try:
        while True:
            try:
                if watching is None:
                    watching = await asyncio.to_thread(open_privacy, paths)
                if await asyncio.to_thread(_due, watching):
                    async with alone(paths, "notices") as ours:
                        if ours:  # or another machine is at it, this moment
                            await deliver(paths, snapshot())
            except (PrivacyUnavailable, ContentUnavailable, KeyStoreUnavailable, JournalUnavailable, NotFound) as error:
                log.error("recipients may not have been told: %s", error)  # noqa: TRY400 - expected condition
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        if watching is not None:
            watching.close()


def _due(database: PrivacyDatabase) -> bool:
    now_ms = SystemClock().wall_ms()
    notices = [notice for request in SqlSubjectRequests(database).telling() for notice in request.notices]
    return any(one.state == "queued" and one.how != "hand" and one.next_ms <= now_ms for one in notices)
