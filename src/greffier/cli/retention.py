"""``greffier retention``: whether content stays no longer than the rules say, and deleting what does."""

import asyncio
from pathlib import Path

import msgspec
import typer

from greffier.app.privacy_desk import open_office
from greffier.app.recording import operator, record_act
from greffier.app.retention import Line, look, run_once
from greffier.cli.explained import WorkspaceOption, explained, iso, state_of
from greffier.cli.output import Exit, JsonOption, out, print_json
from greffier.config.loading import load_snapshot
from greffier.core.clock import SystemClock

app = typer.Typer(help="Whether content stays no longer than the rules say.", no_args_is_help=True)


@app.command()
def verify(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show every kind of content with the rule that decides, and fail if anything is overdue."""
    with explained(as_json):
        paths = state_of(workspace)
        snapshot = load_snapshot(paths)
        with open_office(paths) as office:
            lines = [line for line, _ in look(office, snapshot, SystemClock().wall_ms())]
    overdue = sum(line.overdue for line in lines)
    if as_json:
        print_json({"overdue": overdue, "lines": [msgspec.to_builtins(line) for line in lines]})
    else:
        _print(lines)
        out.print(f"overdue {overdue}", markup=False, style="bold")
    if overdue:
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def run(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Delete what is overdue and turn the keys now; a running gateway does so every hour."""
    with explained(as_json):
        paths = state_of(workspace)
        count = asyncio.run(run_once(paths, load_snapshot(paths), SystemClock(), operator(paths)))
    if as_json:
        print_json({"deleted": count})
    else:
        out.print(f"{count} parts deleted", markup=False)


@app.command()
def rewrap(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Wrap the keys of content anew under the root key in force; afterwards an older root key can be destroyed."""
    with explained(as_json):
        paths = state_of(workspace)
        with open_office(paths) as office:
            record_act(paths, "key.rotate", "content-root")
            count = office.content.keys.rewrap()
    if as_json:
        print_json({"rewrapped": count})
    else:
        out.print(f"{count} keys are under the root in force", markup=False)


def _print(lines: list[Line]) -> None:
    for line in lines:
        what = f"{line.tenant} {line.use_case or '-'} {line.purpose or '-'} {line.part}"
        out.print(f"{what}: {line.parts} parts since {iso(line.oldest_ms)}", markup=False)
        out.print(f"  {line.days} days ({line.rule}): {line.overdue} overdue, {line.held} held", markup=False)
