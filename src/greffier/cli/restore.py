"""``greffier restore``: what must happen to a backup before anything is served from it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from greffier.app.privacy_desk import open_office, replay_erasures
from greffier.app.reconciling import Missing, enter_again, missing, settle
from greffier.app.recording import record_act
from greffier.audit.lost import LostAct
from greffier.audit.tiles import BadLog
from greffier.cli.explained import WorkspaceOption, explained, iso, state_of
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.cli.remedies import Wrong
from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.replay import replay

app = typer.Typer(help="Put a restored backup in order: what was erased or done since.", no_args_is_help=True)

LogOption = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Another log to compare with, such as a copy.", exists=True, file_okay=False),
]


@app.command("replay")
def replay_(
    everything: Annotated[
        bool, typer.Option("--all", help="Every erasure ever, not only those the content has not seen.")
    ] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Erase again what a restored backup brought back; a start of the gateway does so by itself."""
    with explained(as_json):
        paths = state_of(workspace)
        count = replay_erasures(paths)
        if everything:
            with open_office(paths) as office:
                record_act(paths, "restore.replay", "content", details={"all": True})
                count += replay(office.erasures, office.content, everything=True)
    if as_json:
        print_json({"erased": count})
    else:
        out.print(f"{count} people and parts erased again", markup=False)


@app.command("missing")
def missing_(log: LogOption = None, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Name every act of a person that the log has and the restored stores lack; fails while one is open.

    Compares the journal with this workspace's log, with those that restores set aside, and with what --log names.
    """
    with explained(as_json):
        paths = state_of(workspace)
        record_act(paths, "audit.list", "acts missing after a restore")
        found = _found(paths, log)
    open_acts = _by_id(found)
    if as_json:
        print_json({"logs": [_summary(one) for one in found], "open": [msgspec.to_builtins(act) for act in open_acts]})
    else:
        for one in found:
            if one.lost.events:
                first, last = one.lost.common + 1, one.lost.common + one.lost.events
                out.print(f"{one.log} has sealed events {first} to {last} that the journal does not have", markup=False)
        for act in open_acts:
            _print(act)
        if open_acts:
            out.print(f"{len(open_acts)} act(s) are on record and not in the stores")
        else:
            out.print("no act of a person is missing")
    if open_acts:
        raise typer.Exit(int(Exit.FAILED))


@app.command("enter")
def enter(log: LogOption = None, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Enter again what the record alone says in full: objections, restrictions, withdrawals, revoked keys."""
    with explained(as_json):
        paths = state_of(workspace)
        entered = enter_again(paths, _found(paths, log))
        left = _by_id(_found(paths, log))
    if as_json:
        print_json({"entered": [act.id for act in entered], "open": [msgspec.to_builtins(act) for act in left]})
    else:
        for act in entered:
            _print(act)
        out.print(f"{len(entered)} act(s) entered again; {len(left)} left for you")


@app.command("settle")
def settle_(
    acts: Annotated[list[str] | None, typer.Argument(help="Ids of acts, as 'missing' names them.")] = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="How they were entered again, or why they need not be.")],
    everything: Annotated[bool, typer.Option("--all", help="Every act that is still open.")] = False,
    log: LogOption = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Put on record that acts were entered again by hand, or need not be; each by its id."""
    with explained(as_json):
        paths = state_of(workspace)
        known = {act.id: act for act in _by_id(_found(paths, log))}
        unknown = [act for act in acts or () if act not in known]
        if unknown or not (acts or everything):
            raise Wrong(
                f"{unknown[0]} is not open" if unknown else "no act is named",
                "Name acts that 'greffier restore missing' lists, or --all.",
                Exit.USAGE,
            )
        chosen = list(known.values()) if everything else [known[act] for act in acts or ()]
        settle(paths, chosen, reason)
    left = len(known) - len(chosen)
    if as_json:
        print_json({"settled": [act.id for act in chosen], "open": left})
    else:
        out.print(f"{len(chosen)} act(s) settled; {left} left")


def _found(paths: WorkspacePaths, logs: list[Path] | None) -> list[Missing]:
    try:
        return missing(paths, tuple(logs or ()))
    except BadLog as error:
        raise Wrong(
            f"the log cannot be believed: {error}",
            "Look at 'greffier audit verify'; mend the log from a copy.",
            Exit.FAILED,
        ) from error


def _by_id(found: list[Missing]) -> list[LostAct]:
    """Each act once, although several logs have it, in the order in which they were done."""
    acts = {act.id: act for one in found for act in one.open}
    return sorted(acts.values(), key=lambda act: (act.ts, act.id))


def _summary(one: Missing) -> dict[str, str | int]:
    return {
        "log": one.log,
        "common": one.lost.common,
        "events": one.lost.events,
        "open": len(one.open),
        "entered": one.entered,
    }


def _print(act: LostAct) -> None:
    details = "".join(f" {name}={value}" for name, value in sorted(act.details.items()))
    reason = f" ({act.reason})" if act.reason else ""
    out.print(f"{act.id}  {iso(act.ts)}  {act.action}  {act.target} by {act.actor}{details}{reason}", markup=False)
