"""How every command speaks: tables for people, JSON for scripts, colour only on a terminal, stable exit codes."""

import json
import os
import sys
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions
from rich.markup import escape
from rich.table import Table

_UNBOUNDED = 10_000


class _Output(Console):
    """Standard output: as wide as the terminal, and without a width where it is a file or a pipe."""

    @property
    def options(self) -> ConsoleOptions:
        """What is printed may take so many columns; ``COLUMNS`` decides wherever it is set."""
        options = super().options
        return options if self.is_terminal or "COLUMNS" in os.environ else options.update(width=_UNBOUNDED)


out = _Output(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class Exit(IntEnum):
    """Exit codes; 0 is success."""

    FAILED = 1  # what was asked for did not hold: a check failed, a record is missing
    USAGE = 2  # the command line is wrong
    CONFIG = 3  # the workspace is wrong
    UNAVAILABLE = 4  # something needed is out of reach: a server, a file, a key


def listing(*columns: str) -> Table:
    """A table without lines. What is too long for the terminal goes on in the next line, the first column last."""
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


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
