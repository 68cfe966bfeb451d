"""``greffier audit reveal``: see captured content. It takes two people and a reason, and both acts are on record."""

import hmac
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.app.privacy_desk import Office, open_office
from greffier.app.recording import operator, record_act
from greffier.app.stores import open_reader
from greffier.audit.ports import ContentUnavailable
from greffier.cli.explained import WorkspaceOption, explained, iso, state_of
from greffier.cli.output import Exit, JsonOption, err, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Admission, Feedback, Outcome, PartLine, parse
from greffier.core.ids import new_id
from greffier.governance.privacy.ports import NotAllowed
from greffier.governance.privacy.records import Reveal

app = typer.Typer(help="See captured content: two people, a reason, on record.", no_args_is_help=True)

_HOUR_MS = 3_600_000
_LONGEST_H = 72

RevealId = Annotated[str, typer.Argument(help="Id that 'reveal request' printed.", metavar="ID")]


class Shown(msgspec.Struct, frozen=True):
    """One content part as it is shown.

    Attributes:
        intact: Whether its commitment, computed anew, is the one in the record; None when there is nothing to compare.
        why: Why there is no content.
    """

    part: str
    subject: str
    intact: bool | None
    content: Any = None
    why: str = ""


@app.command("request")
def ask(
    request_id: Annotated[str, typer.Argument(help="The x-request-id of the answer.", metavar="REQUEST_ID")],
    reason: Annotated[str, typer.Option("--reason", help="Why it must be seen; stands on record.")],
    hours: Annotated[int, typer.Option("--hours", help="How long the request stands.", min=1, max=_LONGEST_H)] = 8,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Ask to see the content of one answer; another person must approve."""
    with explained(as_json):
        if not reason.strip():
            raise Wrong("a reason is needed", "Say why with --reason.")
        paths = state_of(workspace)
        _parts(paths, request_id)
        now = SystemClock().wall_ms()
        reveal = Reveal(
            id=new_id("rev"),
            request_id=request_id,
            reason=reason,
            requested_by=operator(paths),
            requested_ms=now,
            expires_ms=now + hours * _HOUR_MS,
        )
        with open_office(paths) as office:
            record_act(paths, "reveal.request", f"request:{request_id}", reason=reason, details={"reveal": reveal.id})
            office.reveals.ask(reveal)
    _say(reveal, f"Another person approves it with: greffier audit reveal approve {reveal.id}", as_json)


@app.command()
def approve(
    reveal_id: RevealId,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Approve a request of another person."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            pending = office.reveals.get(reveal_id)
            now = SystemClock().wall_ms()
            if pending.requested_by == operator(paths):
                raise NotAllowed(f"{operator(paths)} made the request; a second person is needed")
            record_act(paths, "reveal.approve", f"request:{pending.request_id}", details={"reveal": reveal_id})
            reveal = office.reveals.approve(reveal_id, operator(paths), now)
    _say(reveal, f"Both may now see it: greffier audit reveal show {reveal_id}", as_json)


@app.command()
def show(
    reveal_id: RevealId,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show the content, and whether it is what the record committed to. For the two people only."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            reveal = office.reveals.get(reveal_id)
            if reveal.approved_ms is None:
                raise NotAllowed("nobody has approved the request")
            if SystemClock().wall_ms() >= reveal.expires_ms:
                raise NotAllowed("the request has expired; ask again")
            if operator(paths) not in {reveal.requested_by, reveal.approved_by}:
                raise NotAllowed("only the two people of the request may see it")
            tenant, lines = _parts(paths, reveal.request_id)
            details: dict[str, str | int | bool] = {"reveal": reveal_id, "parts": len(lines)}
            record_act(paths, "content.reveal", f"request:{reveal.request_id}", reason=reveal.reason, details=details)
            shown = [_open(office, tenant, line) for line in lines]
    if as_json:
        print_json([msgspec.to_builtins(part) for part in shown])
    for part in () if as_json else shown:
        state = {True: "as recorded", False: "NOT as recorded", None: part.why}[part.intact]
        out.print(f"-- {part.part} ({part.subject or 'nobody in particular'}): {state}", markup=False, style="bold")
        if part.intact is not None:
            text = (
                part.content
                if isinstance(part.content, str)
                else json.dumps(part.content, ensure_ascii=False, indent=2)
            )
            out.print(text, markup=False)
    if any(part.intact is False for part in shown):
        err.print("content differs from what the record committed to", markup=False)
        raise typer.Exit(int(Exit.FAILED))


@app.command("list")
def list_reveals(
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List requests to see content, oldest first."""
    with explained(as_json), open_office(state_of(workspace)) as office:
        reveals = office.reveals.all()
    if as_json:
        print_json([msgspec.to_builtins(reveal) for reveal in reveals])
        return
    for reveal in reveals:
        approved = f"approved by {reveal.approved_by}" if reveal.approved_by else "not approved"
        out.print(f"{reveal.id}  for {reveal.request_id} until {iso(reveal.expires_ms)}: {reveal.reason}", markup=False)
        out.print(f"  requested by {reveal.requested_by}, {approved}", markup=False)


def _parts(paths: WorkspacePaths, request_id: str) -> tuple[str, list[PartLine]]:
    """Tenant and content parts of a request, as recorded.

    Raises:
        Wrong: There is no such request, or it has no content.
    """
    reader = open_reader(paths)
    try:
        events = [parse(row.data) for row in reader.find(request_id)]
    finally:
        reader.close()
    if not events:
        raise Wrong(f"there is no record of request {request_id}", "Take the id from x-request-id.", Exit.FAILED)
    lines = [line for event in events if isinstance(event, Admission | Outcome | Feedback) for line in event.parts]
    if not lines:
        raise Wrong(
            f"no content of request {request_id} was kept",
            "Content is kept only where a use case says capture_content: true.",
            Exit.FAILED,
        )
    return next(event.tenant for event in events if event.tenant), lines


def _open(office: Office, tenant: str, line: PartLine) -> Shown:
    if not line.commit:
        return Shown(line.part, line.subject_ref, None, why="was not kept: the content store was out of reach")
    try:
        text, commit = office.content.get(tenant, line.store_id)
    except ContentUnavailable as error:
        return Shown(line.part, line.subject_ref, None, why=str(error))
    intact = hmac.compare_digest(commit, line.commit)
    shown = text.decode("utf-8", "replace")
    try:
        return Shown(line.part, line.subject_ref, intact, msgspec.json.decode(shown))
    except msgspec.DecodeError:
        return Shown(line.part, line.subject_ref, intact, shown)


def _say(reveal: Reveal, next_step: str, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(reveal))
        return
    out.print(f"{reveal.id}  for {reveal.request_id}, until {iso(reveal.expires_ms)}", markup=False)
    out.print(next_step, markup=False)
