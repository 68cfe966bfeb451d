"""How every command speaks: tables for people, JSON for scripts, colour only on a terminal, stable exit codes."""

import json
import sys
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class Exit(IntEnum):
    """Exit codes; 0 is success."""

    FAILED = 1  # what was asked for did not hold: a check failed, a record is missing
    USAGE = 2  # the command line is wrong
    CONFIG = 3  # the workspace is wrong
    UNAVAILABLE = 4  # something needed is out of reach: a server, a file, a key


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fail(message: str, remedy: str = "", *, code: Exit = Exit.FAILED, as_json: bool = False) -> NoReturn:
    """Say what went wrong and what to do about it, as it stands, then leave with ``code``."""
    if as_json:
        print_json({"error": {"message": message, "remedy": remedy}})
    else:
        err.print(f"[bold red]error:[/] {escape(message)}")
        if remedy:
            err.print(f"  [bold]remedy:[/] {escape(remedy)}")
    raise typer.Exit(int(code))
