"""Commands of ``greffier dsr`` about recipients (GDPR Art. 19): deliver what they are told, note what people told."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.app.privacy_desk import open_office
from greffier.app.recording import operator, record_act
from greffier.app.telling import deliver
from greffier.cli.explained import WorkspaceOption, explained, state_of
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.loading import load_snapshot
from greffier.core.clock import SystemClock
from greffier.governance.privacy.ports import NotAllowed
from greffier.governance.privacy.records import Notice, SubjectRequest
from greffier.governance.privacy.telling import put

_MS = 1000


def notices(
    request_id: Annotated[str, typer.Argument(help="Only this request's notices.", metavar="[ID]")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List what recipients are still to be told, by us or by a person. Exit 1 where a delivery has failed."""
    with explained(as_json), open_office(state_of(workspace)) as office:
        requests = [office.requests.get(request_id)] if request_id else office.requests.telling()
        waiting = [(request.id, one) for request in requests for one in request.notices]
    rows = [{"request": name} | row(notice) for name, notice in waiting if notice.state == "queued"]
    if as_json:
        print_json(rows)
    for line in rows if not as_json else ():
        out.print(f"{line['request']}  {line['notice']}  {line['recipient']}: {line['stands']}", markup=False)
    if any(line["error"] for line in rows):
        raise typer.Exit(int(Exit.FAILED))


def notify(
    request_id: Annotated[str, typer.Argument(help="Only this request's notices.", metavar="[ID]")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Deliver now what recipients are to be told; a running gateway does so by itself. Exit 1 where one fails."""
    with explained(as_json):
        paths = state_of(workspace)
        done = asyncio.run(deliver(paths, load_snapshot(paths), only=request_id, now=True, actor=operator(paths)))
    if as_json:
        print_json({"told": done.told, "failed": done.failed})
    else:
        out.print(f"{done.told} told, {done.failed} failed", markup=False)
    if done.failed:
        raise typer.Exit(int(Exit.FAILED))


def told(
    request_id: Annotated[str, typer.Argument(help="Id of the request.", metavar="ID")],
    *,
    recipient: Annotated[str, typer.Option("--recipient", help="Its name, or the id of the notice.")],
    how: Annotated[str, typer.Option("--how", help="How it was told: letter, telephone, portal...")] = "",
    impossible: Annotated[
        str, typer.Option("--impossible", help="Or why it is impossible or takes disproportionate effort (Art. 19).")
    ] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Note that a person told a recipient, or why it cannot be told; on record like everything else."""
    with explained(as_json):
        if bool(how.strip()) == bool(impossible.strip()):
            raise Wrong("say either how it was told or why it cannot be", "Give --how or --impossible.")
        paths = state_of(workspace)
        with open_office(paths) as office:
            was = office.requests.get(request_id)
            notice = _notice(was, recipient)
            after = msgspec.structs.replace(
                notice,
                state="told" if how.strip() else "impossible",
                done_ms=SystemClock().wall_ms(),
                by=operator(paths),
                reason=how or impossible,
                error="",
                requests=(),
            )
            details: dict[str, str | int | bool] = {"notice": notice.id, "how": "hand", "told": bool(how.strip())}
            record_act(paths, "dsr.told", f"dsr:{request_id}", reason=how or impossible, details=details)
            was = office.requests.get(request_id)  # a gateway may have told others while this was put on record
            _notice(was, notice.id)
            office.requests.save(put(was, after), was)
    if as_json:
        print_json(row(after))
    else:
        out.print(f"{after.name}: {row(after)['stands']}", markup=False)


def row(notice: Notice) -> dict[str, Any]:
    """How a notice stands, for people and scripts."""
    return {
        "notice": notice.id,
        "recipient": notice.name,
        "how": notice.how,
        "state": notice.state,
        "stands": _stands(notice),
        "attempts": notice.attempts,
        "error": notice.error,
        "message": notice.digest,
    }


def _stands(notice: Notice) -> str:
    if notice.state == "queued":
        if notice.how == "hand":
            return "a person must tell it ('greffier dsr told')"
        return f"not told yet after {notice.attempts} attempts: {notice.error}" if notice.error else "queued"
    moment = datetime.fromtimestamp((notice.done_ms or 0) / _MS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if notice.state == "told":
        return f"told by {notice.reason or notice.how}, {moment}, {notice.by}"
    return f"not told: {notice.reason}, {moment}, {notice.by}"


def _notice(request: SubjectRequest, recipient: str) -> Notice:
    found = [one for one in request.notices if recipient in {one.id, one.name, one.recipient}]
    if not found:
        known = ", ".join(one.name for one in request.notices) or "none"
        raise Wrong(f"the request has no notice to {recipient!r}", f"Known: {known}.")
    if found[0].state != "queued":
        raise NotAllowed(f"{found[0].name}: {_stands(found[0])}")
    return found[0]


COMMANDS: dict[str, Callable[..., None]] = {"notices": notices, "notify": notify, "told": told}
"""Commands by name; ``greffier dsr`` takes them up."""
