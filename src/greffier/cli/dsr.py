"""``greffier dsr``: requests of data subjects, from receipt to certificate (GDPR Art. 12, 15-22).

Nothing that names the person is stored: they are turned into keyed references at once.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.app.privacy_desk import Office, open_office
from greffier.app.recording import operator, record_act
from greffier.audit.ports import PartLabel
from greffier.cli import dsr_notices, dsr_proof, dsr_search
from greffier.cli.dsr_answer import write_answer, write_letter
from greffier.cli.dsr_cases import RequestId, changing, show_case, timezone_of
from greffier.cli.explained import (
    EndUserOption,
    KeyOption,
    PersonOption,
    RefOption,
    TenantOption,
    WorkspaceOption,
    explained,
    iso,
    moment_ms,
    refs_of,
    state_of,
)
from greffier.cli.output import JsonOption, listing, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.governance.privacy.access import build_answer, portable
from greffier.governance.privacy.deadlines import due_ms, extendable_until_ms
from greffier.governance.privacy.handling import Handler, digest, new_request_id
from greffier.governance.privacy.informing import informing
from greffier.governance.privacy.law import law
from greffier.governance.privacy.ports import NotAllowed
from greffier.governance.privacy.records import RequestType, SubjectRequest

app = typer.Typer(help="Requests of data subjects: open, identify, run, certify.", no_args_is_help=True)


@app.command("open")
def open_request(
    *,
    kind: Annotated[str, typer.Option("--type", help="access, rectify, erase, restrict, port, object or contest.")],
    tenant: TenantOption,
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    purpose: Annotated[str, typer.Option("--purpose", help="Purpose objected to or restricted; empty: all.")] = "",
    received: Annotated[str, typer.Option("--received", help="When it arrived; default is now.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Enter a request; the deadline is computed from the law's data."""
    with explained(as_json):
        paths = state_of(workspace)
        snapshot = load_snapshot(paths)
        if kind not in law().requests:
            raise Wrong(f"{kind!r} is no kind of request", f"Take one of: {', '.join(law().requests)}.")
        if tenant not in snapshot.workspace.tenants:
            raise Wrong(f"there is no tenant {tenant!r}", f"Take one of: {', '.join(snapshot.workspace.tenants)}.")
        now = SystemClock().wall_ms()
        received_ms = moment_ms(received) if received else now
        if received_ms > now:
            raise Wrong("the request would have arrived in the future", "Correct --received.")
        request = SubjectRequest(
            id=new_request_id(),
            type=msgspec.convert(kind, RequestType),
            tenant=tenant,
            state="open",
            received_ms=received_ms,
            due_ms=due_ms(received_ms, law(), timezone=timezone_of(snapshot)),
            law=law().citation,
            opened_by=operator(paths),
            refs=refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref),
            purpose=purpose,
        )
        with open_office(paths) as office:
            details: dict[str, str | int | bool] = {"type": kind, "tenant": tenant, "due_ms": request.due_ms}
            record_act(paths, "dsr.open", f"dsr:{request.id}", details=details)
            office.requests.add(request)
    show_case(request, as_json)


@app.command("list")
def list_requests(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List requests, the most urgent first."""
    with explained(as_json), open_office(state_of(workspace)) as office:
        requests = office.requests.all()
    if as_json:
        print_json([msgspec.to_builtins(request) for request in requests])
        return
    now = SystemClock().wall_ms()
    table = listing("id", "type", "tenant", "state", "due")
    for request in requests:
        late = request.state not in {"done", "refused"} and now >= request.due_ms
        table.add_row(
            request.id, request.type, request.tenant, request.state, iso(request.due_ms) + (" LATE" if late else "")
        )
    out.print(table)


@app.command()
def show(request_id: RequestId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show one request: state, deadline, steps done."""
    with explained(as_json), open_office(state_of(workspace)) as office:
        request = office.requests.get(request_id)
    show_case(request, as_json)


@app.command()
def identify(
    request_id: RequestId,
    how: Annotated[str, typer.Option("--how", help="How it was established who is asking (Art. 12(6)).")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Record how the person's identity was checked; nothing is run before."""
    with explained(as_json):
        if not how.strip():
            raise Wrong("it must be said how", "Say it with --how, without naming the person.")
        with changing(workspace, request_id) as (paths, office, was):
            state = "identified" if was.state == "open" else was.state
            request = msgspec.structs.replace(was, identity_check=how, identified_by=operator(paths), state=state)
            record_act(paths, "dsr.identify", f"dsr:{request_id}", reason=how)
            office.requests.save(request, was)
    show_case(request, as_json)


@app.command()
def extend(
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Complexity or number of requests (Art. 12(3)).")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Extend the deadline by two months, once, with a reason, while the first month runs."""
    with explained(as_json):
        snapshot = load_snapshot(state_of(workspace))
        zone = timezone_of(snapshot)
        if not reason.strip():
            raise Wrong("an extension needs a reason", "Say it with --reason; the person is told.")
        with changing(workspace, request_id) as (paths, office, was):
            now = SystemClock().wall_ms()
            if was.extended_ms is not None:
                raise NotAllowed("the request was extended already")
            if now >= extendable_until_ms(was.received_ms, law(), timezone=zone):
                raise NotAllowed("the first month is over; an extension can no longer be told in time (Art. 12(3))")
            due = due_ms(was.received_ms, law(), timezone=zone, extended=True)
            request = msgspec.structs.replace(was, due_ms=due, extended_reason=reason, extended_ms=now)
            record_act(paths, "dsr.extend", f"dsr:{request_id}", reason=reason, details={"due_ms": due})
            office.requests.save(request, was)
    show_case(request, as_json)


@app.command()
def refuse(
    request_id: RequestId,
    ground: Annotated[str, typer.Option("--ground", help="'12(2)', '12(5)', or an exception of the right.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the person is told, and of their remedies (12(4)).")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Refuse a request as a whole, on a ground the law knows."""
    with explained(as_json), changing(workspace, request_id) as (paths, office, was):
        grounds = law().refusals | law().requests[was.type].exceptions
        if ground not in grounds:
            raise Wrong(f"{ground} is no ground to refuse", f"Known: {'; '.join(grounds)}")
        if was.state == "running":
            raise NotAllowed("the request is under way; let it end")
        request = msgspec.structs.replace(was, state="refused", refused_reason=f"{ground}: {reason}")
        record_act(paths, "dsr.refuse", f"dsr:{request_id}", reason=reason, details={"ground": ground})
        office.requests.save(request, was)
    show_case(request, as_json)


@app.command()
def run(
    request_id: RequestId,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the answer (access, port).")] = None,
    redact: Annotated[list[str] | None, typer.Option("--redact", help="Words that name others; repeatable.")] = None,
    text: Annotated[str, typer.Option("--text", help="The right data (rectify), or the decision (contest).")] = "",
    wrong: Annotated[
        list[str] | None, typer.Option("--wrong", help="Word that is wrong where it can be corrected; repeatable.")
    ] = None,
    right: Annotated[
        list[str] | None, typer.Option("--right", help="What is right instead; as often as --wrong.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Carry out a request, or what is left of it after an interruption."""
    with explained(as_json):
        paths = state_of(workspace)
        snapshot = load_snapshot(paths)
        if len(wrong or ()) != len(right or ()) or not all(wrong or ()):
            raise Wrong("every wrong word needs a right one", "Give --wrong and --right in pairs.")
        corrections = tuple(zip(wrong or (), right or (), strict=True))
        with open_office(paths) as office:
            request = office.requests.get(request_id)
            collected: dict[str, Any] = {}
            if request.state not in {"done", "refused"}:
                collected = _prepare(
                    paths, office, snapshot, request, output=output, redact=tuple(redact or ()), text=text
                )
            request = Handler(office.desk(snapshot, corrections, collected)).run(request)
    show_case(request, as_json)


@app.command()
def letter(
    request_id: RequestId,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the letter.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write what the person is told as the request stands: received, longer, refused with reasons, or what was done."""
    with explained(as_json):
        paths = state_of(workspace)
        snapshot = load_snapshot(paths)
        with open_office(paths) as office:
            request = office.requests.get(request_id)
        certified = digest(request.outcome) if request.outcome else ""
        now = SystemClock().wall_ms()
        files = write_letter(output, informing(request, snapshot.workspace.controller, digest=certified, now_ms=now))
        details: dict[str, str | int | bool] = {"state": request.state}
        record_act(paths, "dsr.letter", f"dsr:{request_id}", details=details)
    if as_json:
        print_json({"files": [str(output / name) for name in files]})
        return
    for name in files:
        out.print(f"wrote {output / name}", markup=False)


def _prepare(
    paths: WorkspacePaths,
    office: Office,
    snapshot: Snapshot,
    request: SubjectRequest,
    *,
    output: Path | None,
    redact: tuple[str, ...],
    text: str,
) -> dict[str, Any]:
    """What kinds of requests need before their steps run: an answer written, a text kept, a decision recorded.

    Returns:
        What the confirmation says of a written answer: its digest, and how many items are in it.

    Raises:
        Wrong: An option is missing.
        NotAllowed: The identity was not checked.
    """
    if not request.identity_check:
        raise NotAllowed("nobody has recorded how the person's identity was checked ('greffier dsr identify')")
    if request.type in {"access", "port"}:
        if output is None:
            raise Wrong("the answer needs a folder", "Name one with --output.")
        if any(step.name == "collected" for step in request.steps):
            return {}  # written before an interruption; what was noted of it must stay true
        record_act(paths, "content.export", f"dsr:{request.id}", details={"type": request.type})
        answer = build_answer(request, office.stores(redact), snapshot, SystemClock().wall_ms())
        answer = portable(answer) if request.type == "port" else answer
        return write_answer(output, answer, timezone_of(snapshot))
    if request.type in {"rectify", "contest"}:
        if not text.strip():
            raise Wrong("a text is needed", "Give it with --text.")
        _supplement(office, request, text)
    return {}


def _supplement(office: Office, request: SubjectRequest, text: str) -> None:
    """Keep what the person says is right, or what was decided, under their own key beside the content (Art. 16)."""
    name = "rectification" if request.type == "rectify" else "decision"
    if any(part.name == name for part in office.content.of_event(request.tenant, request.id)):
        return  # kept before an interruption
    label = PartLabel(subject=request.refs[0], purpose=request.purpose)
    asyncio.run(office.content.put(request.tenant, request.id, {name: text.encode()}, label))


for _name, _command in (dsr_search.COMMANDS | dsr_proof.COMMANDS | dsr_notices.COMMANDS).items():
    app.command(_name)(_command)
