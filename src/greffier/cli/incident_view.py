"""How incidents, clocks and the register look on a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape

from greffier.cli.output import out
from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.clocks import Deadline, deadlines
from greffier.governance.incidents.law import incident_law

_COLOURS = {"overdue": "bold red", "at_once": "bold red", "open": "yellow", "done_late": "yellow", "done": "green"}


def print_clocks(found: Sequence[tuple[Incident, Deadline]], now_ms: int) -> None:
    """The clocks of each incident, those to be answered first at the top; moments are UTC.

    Names and moments stand whole, however narrow the terminal is: they are typed into the next command.
    """
    if not found:
        out.print("no clock runs")
        return
    for incident in dict.fromkeys(incident.id for incident, _ in found):
        deadlines_of = [(one, deadline) for one, deadline in found if one.id == incident]
        out.print(f"[bold]{incident}[/]  {escape(deadlines_of[0][0].title)}")
        for _, deadline in deadlines_of:
            colour = _COLOURS.get(deadline.state, "default")
            state = f"[{colour}]{deadline.state.replace('_', ' ')}[/]"
            out.print(f"  {deadline.clock:<31} {_due(deadline, now_ms):<29} {state}")
            out.print(f"      {escape(deadline.article)}, to: {escape(deadline.to)}", style="dim")


def print_incident(incident: Incident, now_ms: int) -> None:
    """A case with its clocks."""
    out.print(f"[bold]{incident.id}[/]  {escape(incident.title)}  ({incident.state}, version {incident.version})")
    out.print(f"  aware     {iso(incident.aware_ms)}")
    for name, category in incident.categories.items():
        why = f": {category.reason}" if category.reason else ""
        out.print(f"  {category.standing:<12}{name}{why}", markup=False)
    for name, digest in incident.use_cases.items():
        out.print(f"  use case  {name} ({digest[:12]})", markup=False)
    for report in incident.reports:
        out.print(f"  sent      {report.clock} at {iso(report.at_ms)} {report.receipt}", markup=False)
    print_clocks([(incident, one) for one in deadlines(incident, incident_law(), now_ms)], now_ms)


def print_register(incidents: Sequence[Incident], now_ms: int) -> None:
    """The register, a few lines for each: what happened, its effects, what was done, who was told (GDPR Art. 33(5))."""
    for incident in incidents:
        line = register_line(incident, now_ms)
        out.print(f"[bold]{incident.id}[/]  {escape(incident.title)}  ({incident.state})")
        for name, value in (
            ("aware", line["aware_at"]),
            ("is", ", ".join(f"{name} ({standing})" for name, standing in line["categories"].items())),
            (
                "people",
                "" if incident.subjects is None else f"{incident.subjects}, records {incident.records or 'unknown'}",
            ),
            ("data", ", ".join(line["data_categories"])),
            ("effects", line["effects"]),
            ("done", "; ".join(line["remedial_action"])),
            ("cause", incident.root_cause),
            ("told", ", ".join(line["notified"]) or "nobody"),
            ("to tell", ", ".join(line["outstanding"])),
        ):
            if value:
                out.print(f"  {name:<9} {value}", markup=False)


def register_line(incident: Incident, now_ms: int) -> dict[str, Any]:
    """What the register says of an incident: facts, effects, remedial action (GDPR Art. 33(5)), and who was told."""
    clocks = deadlines(incident, incident_law(), now_ms)
    return {
        "id": incident.id,
        "state": incident.state,
        "aware_at": iso(incident.aware_ms),
        "facts": {"title": incident.title, "description": incident.description, "root_cause": incident.root_cause},
        "categories": {name: category.standing for name, category in incident.categories.items()},
        "reasons": {name: category.reason for name, category in incident.categories.items() if category.reason},
        "subjects": incident.subjects,
        "records": incident.records,
        "data_categories": list(incident.data_categories),
        "effects": incident.consequences,
        "remedial_action": list(incident.measures),
        "notified": [one.clock for one in clocks if one.sent_ms is not None],
        "outstanding": [one.clock for one in clocks if one.sent_ms is None],
    }


def _due(deadline: Deadline, now_ms: int) -> str:
    if deadline.due_ms is None:
        return f"after {deadline.waits_for}" if deadline.waits_for else "without delay"
    if deadline.sent_ms is not None:
        return iso(deadline.due_ms)
    hours = (deadline.due_ms - now_ms) / 3_600_000
    return f"{iso(deadline.due_ms)} ({hours:+.0f} h)"


def iso(ms: int) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
