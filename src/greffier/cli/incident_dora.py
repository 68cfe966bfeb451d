"""``greffier incident dora``: is an incident major under DORA, and why; and do several of them count as one."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from greffier.app.recording import record_act
from greffier.app.stores import open_reader
from greffier.cli.incident_desk import desk, moment, save
from greffier.cli.output import JsonOption, out, print_json
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.governance.incidents.acts import NotPossible, amend, classify
from greffier.governance.incidents.case import Incident, Standing
from greffier.governance.incidents.dora import Classification, Verdict, classification_law, facts_of, judge, recurring
from greffier.governance.incidents.law import incident_law
from greffier.governance.incidents.measured import measure

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
_WORDS = {"yes": 1, "no": 0}
_COLOURS = {"met": "red", "major": "bold red", "not_met": "green", "not_major": "bold green", "open": "yellow"}


def dora_command(
    incident_id: Annotated[str, typer.Argument(metavar="[INCIDENT]", help="None: look for recurring ones.")] = "",
    *,
    fact: Annotated[
        list[str] | None, typer.Option("--fact", help="NAME=NUMBER, NAME=yes or NAME=no; repeatable.")
    ] = None,
    measure_: Annotated[
        bool, typer.Option("--measure", help="Count who was affected and for how long, from the records.")
    ] = False,
    begin: Annotated[str, typer.Option("--from", help="When it began; default is when it became known.")] = "",
    end: Annotated[str, typer.Option("--to", help="When it ended; default is when it was mended, or now.")] = "",
    apply: Annotated[
        bool, typer.Option("--apply", help="Classify the case by the result; the clocks run from this moment.")
    ] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Classify by Delegated Regulation (EU) 2024/1772: each threshold, what is missing, and the result.

    Without an incident: those of the last six months that share a root cause and together may be one (Art. 8(2)).
    """
    law = classification_law()
    with desk(workspace, as_json) as (paths, register):
        now = SystemClock().wall_ms()
        if not incident_id:
            _recurring(register.all(), law, now, as_json=as_json)
            return
        before = register.get(incident_id)
        counted = _counted(paths, before, begin, end, now) if measure_ else {}
        stated = counted | (_stated(fact, law) if fact else {})  # what a person says counts over what was counted
        incident = amend(before, facts=before.facts | stated) if stated else before
        verdict = judge(facts_of(incident, law), law)
        if apply:
            incident = msgspec.structs.replace(_applied(incident, verdict, now), version=before.version + 1)
        if incident is not before:
            save(paths, register, "incident.classify", incident, now, dora=verdict.result)
    if as_json:
        print_json(msgspec.to_builtins(verdict))
    else:
        _print(verdict, law)


def _counted(paths: WorkspacePaths, incident: Incident, begin: str, end: str, now: int) -> dict[str, int]:
    """Facts from the records; that they were read is on record too."""
    from_ms = moment(begin, incident.aware_ms)
    to_ms = moment(end, incident.fixed_ms or now)
    record_act(paths, "audit.read", f"incident:{incident.id}")
    reader = open_reader(paths)
    try:
        return measure(reader, frozenset(incident.use_cases), from_ms, to_ms).facts
    except ValueError as error:
        raise NotPossible(str(error), "Correct --from or --to.") from error
    finally:
        reader.close()


def _stated(facts: list[str], law: Classification) -> dict[str, int]:
    found = {}
    for one in facts:
        name, _, text = one.partition("=")
        if name not in law.facts:
            raise NotPossible(f"there is no fact {name!r}", f"Facts: {', '.join(law.facts)}.")
        value = _WORDS.get(text, int(text) if text.isascii() and text.isdigit() else None)
        if value is None:
            raise NotPossible(f"{one!r} is neither a number nor yes nor no", f"{name}: {law.facts[name]}")
        found[name] = value
    return found


def _applied(incident: Incident, verdict: Verdict, now: int) -> Incident:
    if verdict.result == "open":
        raise NotPossible("facts are missing that decide", f"State them with --fact: {', '.join(verdict.missing)}.")
    standing: Standing = "established" if verdict.result == "major" else "excluded"
    reason = f"{verdict.because}; {verdict.law}"
    return classify(incident, incident_law(), {"dora_major": standing}, now, reason)


def _recurring(incidents: list[Incident], law: Classification, now: int, *, as_json: bool) -> None:
    groups = recurring(incidents, law, now)
    if as_json:
        print_json([msgspec.to_builtins(group) for group in groups])
        return
    for group in groups:
        out.print(f"[bold]{escape(group.root_cause)}[/]: {', '.join(group.incidents)}")
        _print(group.verdict, law)
    out.print(
        f"{len(groups)} root causes with {law.recurring.times} or more incidents in {law.recurring.within_months} "
        f"months ({law.recurring.article}; to be assessed every month)",
        markup=False,
    )


def _print(verdict: Verdict, law: Classification) -> None:
    shown: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in verdict.criteria]
    out.print(f"  critical services ({law.critical.article}): [{_COLOURS[verdict.critical]}]{verdict.critical}[/]")
    for one in shown:
        answer = f"[{_COLOURS[one['answer']]}]{one['answer']:<8}[/]"
        out.print(f"  {answer} {escape(one['title'])} ({one['article']}): {escape(one['because'])}")
    for name in verdict.missing:
        out.print(f"  missing  {name}: {law.facts[name]}", markup=False)
    out.print(f"[{_COLOURS[verdict.result]}]{verdict.result}[/] {escape(verdict.because)}; {escape(verdict.law)}")
