"""``greffier incident``: cases, the clocks of five regimes, evidence holds and the register of breaches."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from greffier.app.recording import operator, record_act
from greffier.app.stores import open_privacy
from greffier.cli.incident_desk import desk, document, moment, record, save, show
from greffier.cli.incident_dora import dora_command
from greffier.cli.incident_view import iso, print_clocks, print_incident, print_register, register_line
from greffier.cli.output import Exit, JsonOption, listing, out, print_json
from greffier.config.loading import load_snapshot
from greffier.core.clock import SystemClock
from greffier.core.ids import new_id
from greffier.governance.incidents.acts import NotPossible, amend, classify, close, sent
from greffier.governance.incidents.case import CausalLink, Incident, Report, Severity, Standing
from greffier.governance.incidents.clocks import deadlines
from greffier.governance.incidents.holds import holds_for, to_change
from greffier.governance.incidents.law import incident_law
from greffier.storage.privacy import SqlHolds

app = typer.Typer(
    help="Incidents and breaches: cases, reporting clocks, evidence holds, register.", no_args_is_help=True
)

app.command("dora")(dora_command)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
IncidentId = Annotated[str, typer.Argument(metavar="INCIDENT", help="Id of the incident.")]
Moment = Annotated[str, typer.Option(help="Moment in UTC, e.g. 2026-11-24T08:00; default is now.")]
Text = Annotated[str | None, typer.Option()]
Number = Annotated[int | None, typer.Option(min=0)]
Percent = Annotated[int | None, typer.Option(min=0, max=100)]
Names = Annotated[list[str] | None, typer.Option(help="Repeatable.")]


@app.command("open")
def open_command(
    *,
    title: Annotated[str, typer.Option("--title", help="What happened, in a line. No names of people concerned.")],
    aware_at: Moment = "",
    category: Annotated[list[str] | None, typer.Option("--category", help="What it is; repeatable.")] = None,
    suspect: Annotated[list[str] | None, typer.Option("--suspect", help="What it may be; repeatable.")] = None,
    use_case: Annotated[list[str] | None, typer.Option("--use-case", help="AI system concerned; repeatable.")] = None,
    detected_by: str = "",
    description: str = "",
    severity: Severity = "medium",
    reason: str = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Open a case. The clocks of its categories run from the moment someone became aware."""
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        aware = moment(aware_at, now)
        snapshot = load_snapshot(paths)
        missing = sorted(set(use_case or ()) - set(snapshot.use_cases))
        if missing:
            raise NotPossible(f"there is no use case {missing[0]!r}", "Name use cases of the configuration in force.")
        law = incident_law()
        blank = Incident(
            id=new_id("inc"),
            version=0,
            title=title,
            description=description,
            opened_ms=now,
            opened_by=operator(paths),
            aware_ms=aware,
            detected_by=detected_by,
            severity=severity,
            use_cases={name: snapshot.use_case_digests[name] for name in use_case or ()},
            revision=snapshot.revision,
            timezone=snapshot.workspace.controller.timezone if snapshot.workspace.controller else "UTC",
            law=law.version,
        )
        incident = classify(blank, law, _standings(category, suspect, None), now, reason)
        save(paths, register, "incident.open", incident, now)
    show(incident, now, as_json=as_json)


@app.command("classify")
def classify_command(
    incident_id: IncidentId,
    *,
    category: Annotated[list[str] | None, typer.Option("--category", help="What it is; repeatable.")] = None,
    suspect: Annotated[list[str] | None, typer.Option("--suspect", help="What it may be; repeatable.")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="What it is not; repeatable.")] = None,
    classified_at: Moment = "",
    reason: str = "",
    severity: Annotated[Severity | None, typer.Option()] = None,
    causal_link: Annotated[CausalLink | None, typer.Option()] = None,
    member_state: Names = None,
    subjects: Number = None,
    records: Number = None,
    data_category: Names = None,
    clients_pct: Percent = None,
    transactions_pct: Percent = None,
    downtime_min: Number = None,
    cost: Text = None,
    consequences: Text = None,
    measure: Names = None,
    root_cause: Text = None,
    fixed_at: Annotated[str, typer.Option(help="When a corrective measure became available.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say what the incident is in the words of each regime, and add what became known."""
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        standings = _standings(category, suspect, exclude)
        before = register.get(incident_id)
        named = classify(before, incident_law(), standings, moment(classified_at, now), reason)
        after = amend(
            named,
            severity=severity,
            causal_link=causal_link,
            member_states=tuple(member_state) if member_state else None,
            subjects=subjects,
            records=records,
            data_categories=tuple(data_category) if data_category else None,
            clients_pct=clients_pct,
            transactions_pct=transactions_pct,
            downtime_min=downtime_min,
            cost=cost,
            consequences=consequences,
            measures=(*before.measures, *measure) if measure else None,
            root_cause=root_cause,
            fixed_ms=moment(fixed_at, now) if fixed_at else None,
        )
        incident = msgspec.structs.replace(after, version=before.version + 1)
        save(paths, register, "incident.classify", incident, now)
    show(incident, now, as_json=as_json)


@app.command("sent")
def sent_command(
    incident_id: IncidentId,
    clock: Annotated[str, typer.Argument(metavar="CLOCK", help="Which duty it answers: see 'clocks'.")],
    *,
    at: Moment = "",
    recipient: str = "",
    receipt: Annotated[str, typer.Option(help="The recipient's reference.")] = "",
    document: Annotated[Path | None, typer.Option("--document", help="What was sent; its digest is kept.")] = None,
    late_reason: Annotated[str, typer.Option(help="Why it is late.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Enter a report that was sent to an authority or to people."""
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        report = Report(
            clock=clock,
            at_ms=moment(at, now),
            recipient=recipient,
            receipt=receipt,
            digest=hashlib.sha256(document.read_bytes()).hexdigest() if document else "",
            late_reason=late_reason,
            by=operator(paths),
        )
        incident = sent(register.get(incident_id), incident_law(), report, now)
        save(paths, register, "incident.sent", incident, now, clock=clock, document=report.digest)
    show(incident, now, as_json=as_json)


@app.command("clocks")
def clocks_command(
    incident_id: Annotated[str, typer.Argument(metavar="[INCIDENT]", help="Default: all that are open.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when someone should have been told by now.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show who must be told by when."""
    with desk(workspace, as_json) as (_, register):
        now = SystemClock().wall_ms()
        if incident_id:
            incidents = [register.get(incident_id)]
        else:
            incidents = [incident for incident in register.all() if incident.state == "open"]
    law = incident_law()
    found = [(incident, deadline) for incident in incidents for deadline in deadlines(incident, law, now)]
    if as_json:
        print_json(
            [
                {"incident": incident.id, "title": incident.title, **msgspec.to_builtins(deadline)}
                for incident, deadline in found
            ]
        )
    else:
        print_clocks(found, now)
    if strict and any(deadline.pressing for _, deadline in found):
        raise typer.Exit(int(Exit.FAILED))


@app.command("hold")
def hold_command(
    incident_id: IncidentId,
    *,
    approve: Annotated[bool, typer.Option("--approve", help="Confirm it, as a second person.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Ask for its end; a second person ends it.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=1830, help="It ends by itself after so long.")] = 180,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Keep evidence from being deleted: the captured content of the use cases concerned (AI Act Art. 73(6)).

    It protects at once and lapses after three days unless a second person approves it.
    """
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        incident = register.get(incident_id)
        privacy = open_privacy(paths)
        try:
            holds = SqlHolds(privacy)
            if approve or release:
                act = "incident.hold.approve" if approve else "incident.hold.release"
                active = to_change(incident, holds.all(), now, approve=approve)
                record_act(paths, act, f"incident:{incident.id}", details={"holds": len(active)})
                change = holds.approve if approve else holds.release
                shown = [change(hold.id, operator(paths), now) for hold in active]
            else:
                shown = holds_for(incident, load_snapshot(paths).use_cases, now, days, operator(paths))
                held = amend(incident, holds=(*incident.holds, *(hold.id for hold in shown)))
                record(paths, "incident.hold.place", held, days=days)
                for hold in shown:  # before the case names them: what protects comes first
                    holds.place(hold)
                register.save(held, by=operator(paths), at_ms=now)
        finally:
            privacy.close()
    if as_json:
        print_json([msgspec.to_builtins(hold) for hold in shown])
        return
    for hold in shown:
        ended = "ended" if not hold.active(now) else "in force" if hold.approved_by else "in force, to be approved"
        out.print(f"{hold.id} use case {hold.use_case}: {ended}, until {iso(hold.expires_ms)}", markup=False)


@app.command("list")
def list_command(
    breaches: Annotated[bool, typer.Option("--breaches", help="Only personal data breaches (Art. 33(5)).")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """The register: every incident and breach with facts, effects and what was done, notified or not."""
    with desk(workspace, as_json) as (paths, register):
        record_act(paths, "incident.list", "incidents", details={"breaches": breaches})
        incidents = register.all()
    privacy = tuple(name for name in incident_law().regimes["gdpr"].categories if name.startswith("gdpr_breach"))
    if breaches:
        incidents = [one for one in incidents if any(one.has(name, "suspected", "established") for name in privacy)]
    now = SystemClock().wall_ms()
    if as_json:
        print_json([register_line(incident, now) for incident in incidents])
    else:
        print_register(incidents, now)


@app.command("show")
def show_command(incident_id: IncidentId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show a case with its clocks and every version of it."""
    with desk(workspace, as_json) as (paths, register):
        history = register.history(incident_id)
        record_act(paths, "incident.read", f"incident:{incident_id}")
    now = SystemClock().wall_ms()
    incident = history[-1][2]
    if as_json:
        versions = [{"version": one.version, "at": iso(at), "by": by} for at, by, one in history]
        print_json({**document(incident, now), "versions": versions})
        return
    print_incident(incident, now)
    table = listing("version", "time", "by", "state")
    for at, by, one in history:
        table.add_row(str(one.version), iso(at), escape(by), one.state)
    out.print(table)


@app.command("close")
def close_command(
    incident_id: IncidentId,
    root_cause: Text = None,
    review: Annotated[str | None, typer.Option(help="What the review found and who does what about it.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Close a case in which everyone was told."""
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        incident = close(register.get(incident_id), incident_law(), now, root_cause=root_cause, review=review)
        save(paths, register, "incident.close", incident, now)
    show(incident, now, as_json=as_json)


@app.command("law")
def law_command(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show the regimes, their categories and clocks, with sources and dates; the same in every workspace."""
    del workspace
    law = incident_law()
    if as_json:
        print_json(msgspec.to_builtins(law))
        return
    for name, regime in law.regimes.items():
        out.print(
            f"[bold]{name}[/]  {escape(regime.title)}; {escape(regime.source)}; {regime.mark} {regime.verified_on}"
        )
        for category, text in regime.categories.items():
            out.print(f"  {category:<28} {escape(text)}")


# --- helpers


def _standings(
    established: list[str] | None, suspected: list[str] | None, excluded: list[str] | None
) -> dict[str, Standing]:
    lists: tuple[tuple[Standing, list[str] | None], ...] = (
        ("established", established),
        ("suspected", suspected),
        ("excluded", excluded),
    )
    found: dict[str, Standing] = {}
    for standing, names in lists:
        for name in names or ():
            if name in found:
                raise NotPossible(f"{name} is named twice", "Say of each category one thing.")
            found[name] = standing
    return found
