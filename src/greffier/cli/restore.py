"""``greffier restore``: what must happen to a backup before anything is served from it."""

from pathlib import Path
from typing import Annotated

import typer

from greffier.app.privacy_desk import open_office, replay_erasures
from greffier.app.recording import record_act
from greffier.cli.explained import WorkspaceOption, explained, state_of
from greffier.cli.output import JsonOption, out, print_json
from greffier.governance.privacy.replay import replay

app = typer.Typer(help="Clean a restored backup of what was erased since.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep 'replay' a sub-command."""


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
