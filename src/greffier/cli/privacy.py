"""``greffier privacy``: what people said about their data, legal holds, and the record of processing activities.

Every entry is recorded in the journal before it is made; running workers follow within a second or two.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from greffier.app.privacy_desk import open_office
from greffier.app.recording import operator, record_act
from greffier.cli.explained import (
    EndUserOption,
    KeyOption,
    PersonOption,
    RefOption,
    TenantOption,
    WorkspaceOption,
    explained,
    iso,
    refs_of,
    state_of,
)
from greffier.cli.output import JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.ids import new_id
from greffier.governance.privacy.ports import NotAllowed
from greffier.governance.privacy.processing import build_record, missing
from greffier.governance.privacy.records import Hold, LedgerLine
from greffier.policy.standing import Kind

app = typer.Typer(help="Consents, objections, restrictions, holds, record of processing.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds: what they cover is not deleted. Two people.", no_args_is_help=True)
app.add_typer(hold_app, name="hold")

_DAY_MS = 86_400_000
_APPROVE_WITHIN_MS = 3 * _DAY_MS

PurposeOption = Annotated[str, typer.Option("--purpose", help="The purpose; empty for every purpose.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stands on record.")]
ChannelOption = Annotated[str, typer.Option("--channel", help="How the person said it: letter, portal, counter...")]
ProofOption = Annotated[str, typer.Option("--proof", help="Reference or digest of what proves it.")]
HoldId = Annotated[str, typer.Argument(help="Id of the hold.", metavar="ID")]


@app.command()
def consent(
    *,
    tenant: TenantOption,
    purpose: Annotated[str, typer.Option("--purpose", help="The one purpose consented to.")],
    text_version: Annotated[str, typer.Option("--text-version", help="Version of the text the person was shown.")],
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    channel: ChannelOption = "",
    proof: ProofOption = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="The person takes the consent back.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Enter that a person consents to a purpose (Art. 7), or no longer does."""
    with explained(as_json):
        paths = state_of(workspace)
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref)
        entry = _Entry(tenant, purpose, "consent", active=not withdraw, channel=channel, proof=proof)
        lines = _enter(
            paths, entry, refs, "consent.withdraw" if withdraw else "consent.give", text_version=text_version
        )
    _show(lines, as_json)


@app.command("object")
def object_(
    *,
    tenant: TenantOption,
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    purpose: PurposeOption = "",
    channel: ChannelOption = "",
    proof: ProofOption = "",
    reason: ReasonOption = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Enter that a person objects to processing (Art. 21): it is refused from now on."""
    with explained(as_json):
        paths = state_of(workspace)
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref)
        entry = _Entry(tenant, purpose, "objection", active=True, channel=channel, proof=proof, reason=reason)
        lines = _enter(paths, entry, refs, "objection.enter")
    _show(lines, as_json)


@app.command()
def restrict(
    *,
    tenant: TenantOption,
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    purpose: PurposeOption = "",
    channel: ChannelOption = "",
    proof: ProofOption = "",
    reason: ReasonOption = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Restrict the processing of a person's data (Art. 18): it is refused from now on; what is stored stays."""
    with explained(as_json):
        paths = state_of(workspace)
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref)
        entry = _Entry(tenant, purpose, "restriction", active=True, channel=channel, proof=proof, reason=reason)
        lines = _enter(paths, entry, refs, "restriction.enter")
    _show(lines, as_json)


@app.command()
def lift(
    *,
    tenant: TenantOption,
    kind: Annotated[str, typer.Option("--kind", help="What to lift: objection or restriction.")],
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    purpose: PurposeOption = "",
    reason: ReasonOption = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Lift an objection or a restriction; the person is told before a restriction is lifted (Art. 18(3))."""
    with explained(as_json):
        paths = state_of(workspace)
        if kind not in {"objection", "restriction"}:
            raise Wrong(f"{kind!r} cannot be lifted", "Say --kind objection or --kind restriction.")
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref)
        what: Kind = "objection" if kind == "objection" else "restriction"
        lines = _enter(paths, _Entry(tenant, purpose, what, active=False, reason=reason), refs, f"{kind}.lift")
    _show(lines, as_json)


@app.command()
def show(
    *,
    tenant: TenantOption,
    end_user: EndUserOption = None,
    person: PersonOption = None,
    key: KeyOption = None,
    ref: RefOption = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show everything a person said, in order."""
    with explained(as_json):
        paths = state_of(workspace)
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=key, ref=ref)
        with open_office(paths) as office:
            record_act(paths, "privacy.read", f"subject:{refs[0]}")
            lines = [line for reference in refs for line in office.ledger.lines(tenant, reference)]
    _show(lines, as_json)


@app.command()
def register(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Print the record of processing activities (Art. 30(1)) as the configuration in force makes it."""
    with explained(as_json):
        snapshot = load_snapshot(WorkspacePaths(workspace))
        record = build_record(snapshot)
        gaps = missing(record)
    if as_json:
        print_json(record | {"missing": gaps})
    else:
        for activity in record["activities"]:
            out.print(f"{activity['use_case']}  {activity['title']}", markup=False, style="bold")
            for item, text in activity["items"].items():
                out.print(f"  ({item}) {text}", markup=False)
        for gap in gaps:
            out.print(f"missing: {gap}", markup=False, style="yellow")


@hold_app.command("place")
def hold_place(
    *,
    tenant: TenantOption,
    reason: ReasonOption,
    days: Annotated[int, typer.Option("--days", help="When it ends by itself.", min=1, max=3650)] = 180,
    end_user: EndUserOption = None,
    person: PersonOption = None,
    ref: RefOption = None,
    use_case: Annotated[str, typer.Option("--use-case", help="Only this use case.")] = "",
    request: Annotated[str, typer.Option("--request", help="Only this answer's content.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Place a hold. It protects at once and lapses in three days unless a second person approves it."""
    with explained(as_json):
        paths = state_of(workspace)
        named = end_user or person or ref
        refs = refs_of(paths, tenant, end_user=end_user, person=person, key=None, ref=ref) if named else ("",)
        if len(refs) > 1:
            raise Wrong("a hold is about one reference", "Place one hold for each.")
        now = SystemClock().wall_ms()
        hold = Hold(
            id=new_id("hold"),
            tenant=tenant,
            subject=refs[0],
            use_case=use_case,
            request_id=request,
            reason=reason,
            placed_by=operator(paths),
            placed_ms=now,
            approve_by_ms=now + _APPROVE_WITHIN_MS,
            expires_ms=now + days * _DAY_MS,
        )
        with open_office(paths) as office:
            details: dict[str, str | int | bool] = {"tenant": tenant, "days": days}
            about = {"subject": hold.subject, "use_case": hold.use_case, "request": hold.request_id}
            details |= {name: value for name, value in about.items() if value}
            record_act(paths, "hold.place", f"hold:{hold.id}", reason=reason, details=details)
            office.holds.place(hold)
    _show_holds([hold], as_json)


@hold_app.command("approve")
def hold_approve(hold_id: HoldId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Approve a hold another person placed."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            if any(hold.id == hold_id and hold.placed_by == operator(paths) for hold in office.holds.all()):
                raise NotAllowed(f"{operator(paths)} placed the hold; a second person is needed")
            record_act(paths, "hold.approve", f"hold:{hold_id}")
            hold = office.holds.approve(hold_id, operator(paths), SystemClock().wall_ms())
    _show_holds([hold], as_json)


@hold_app.command("release")
def hold_release(hold_id: HoldId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Ask for the release of a hold; the second person who says so releases it."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            record_act(paths, "hold.release", f"hold:{hold_id}")
            hold = office.holds.release(hold_id, operator(paths), SystemClock().wall_ms())
    _show_holds([hold], as_json)


@hold_app.command("list")
def hold_list(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List all holds, ended ones too."""
    with explained(as_json), open_office(state_of(workspace)) as office:
        holds = office.holds.all()
    _show_holds(holds, as_json)


class _Entry(msgspec.Struct, frozen=True):
    tenant: str
    purpose: str
    kind: Kind
    active: bool
    channel: str = ""
    proof: str = ""
    reason: str = ""


def _enter(
    paths: WorkspacePaths, entry: _Entry, refs: tuple[str, ...], action: str, text_version: str = ""
) -> list[LedgerLine]:
    made = []
    with open_office(paths) as office:
        for reference in refs:
            line = LedgerLine(
                subject=reference,
                at_ms=SystemClock().wall_ms(),
                actor=operator(paths),
                text_version=text_version,
                **msgspec.structs.asdict(entry),
            )
            details: dict[str, str | int | bool] = {"tenant": entry.tenant, "purpose": entry.purpose or "*"}
            record_act(paths, action, f"subject:{reference}", reason=entry.reason, details=details)
            made.append(msgspec.structs.replace(line, number=office.ledger.enter(line)))
    return made


def _show(lines: list[LedgerLine], as_json: bool) -> None:
    if as_json:
        print_json([msgspec.to_builtins(line) for line in lines])
        return
    for line in lines:
        state = "in effect" if line.active else "ended"
        purpose = line.purpose or "every purpose"
        out.print(
            f"{line.number}  {iso(line.at_ms)}  {line.kind} {state}, {purpose}: {line.subject}, by {line.actor}",
            markup=False,
        )


def _show_holds(holds: list[Hold], as_json: bool) -> None:
    now = SystemClock().wall_ms()
    if as_json:
        print_json([msgspec.to_builtins(hold) | {"active": hold.active(now)} for hold in holds])
        return
    for hold in holds:
        about = hold.subject or hold.use_case or hold.request_id or "everything"
        state = f"protects until {iso(hold.expires_ms)}" if hold.active(now) else "has ended"
        out.print(f"{hold.id}  {hold.tenant}, {about}: {state}", markup=False)
        out.print(f"  placed by {hold.placed_by}, approved by {hold.approved_by or 'nobody yet'}", markup=False)
