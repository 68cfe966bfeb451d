"""``greffier init``: a workspace to start from."""

from pathlib import Path
from typing import Annotated

import typer

from greffier.cli.output import Exit, JsonOption, fail, out, print_json
from greffier.config.bundle import build
from greffier.config.demo import write_demo

app = typer.Typer()


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; created if it is missing.")],
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a demo workspace: one tenant, one use case, the embedded local model, development mode on."""
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is not a folder", "Name another DIR.", code=Exit.USAGE, as_json=as_json)
    if folder.is_dir() and any(folder.iterdir()) and not force:
        fail(
            f"{folder} is not empty",
            "Name an empty or new DIR, or pass --force to replace the files of the demo workspace in it.",
            code=Exit.USAGE,
            as_json=as_json,
        )
    try:
        written = write_demo(folder)
    except OSError as error:
        fail(
            f"{folder} cannot be written: {error.strerror}",
            "Name a DIR you may write to.",
            code=Exit.UNAVAILABLE,
            as_json=as_json,
        )
    bundle = build(folder)
    if as_json:
        print_json({"workspace": str(folder), "files": written, "revision": bundle.revision})
        return
    out.print(f"Wrote a demo workspace to [bold]{folder}[/]: {', '.join(written)}")
    out.print()
    out.print("Next:")
    for command, why in (
        ("greffier models pull", "fetch the small demo model, once"),
        (f"greffier up --workspace {folder}", "start everything, with a key and things to try"),
        (f"greffier config check --workspace {folder}", "after every change to the files"),
    ):
        out.print(f"  {command}  [dim]# {why}[/]")
