"""``greffier``: one command, a sub-command per job. A job's module is loaded only when it is asked for."""

import gc
import importlib
from typing import Any

import typer
from typer.core import TyperGroup

import greffier
from greffier.cli.output import Exit, fail
from greffier.config.problems import ConfigError

PARTS = {
    "init": "init",
    "up": "up",
    "serve": "serve",
    "reload": "serve",
    "chat": "chat",
    "doctor": "doctor",
    "config": "config",
    "keys": "keys",
    "policy": "policy",
    "guard": "guard",
    "review": "review",
    "models": "models",
    "audit": "audit",
    "sinks": "sinks",
    "db": "db",
    "operator": "operators",
    "privacy": "privacy",
    "dsr": "dsr",
    "retention": "retention",
    "restore": "restore",
    "incident": "incident",
    "docs": "docs",
}
"""Command and the module under ``greffier.cli`` that holds it, in the order people meet them."""


_AS_JSON = "greffier.as_json"


class Jobs(TyperGroup):
    """Finds commands by name: serving requests must not first import what auditors and operators use."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether a script is listening, for `invoke`."""
        ctx.meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; none does anything in the name of somebody nobody knows."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:  # of a command that has no words of its own for it; an unknown operator, too
            fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=ctx.meta[_AS_JSON])
        except OSError as error:
            if error.filename is None:  # no file of ours: a pipe that closed, which is click's business
                raise
            reason = f"{error.filename}: {error.strerror}"
            fail(reason, _remedy(error), code=Exit.UNAVAILABLE, as_json=ctx.meta[_AS_JSON])

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        del ctx
        return list(PARTS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load one command; None if there is none of that name."""
        del ctx
        if cmd_name not in PARTS:
            return None
        gc.disable()  # importing makes many objects and no garbage: looking for it takes a tenth of the time
        try:
            module = importlib.import_module(f"greffier.cli.{PARTS[cmd_name]}")
        finally:
            gc.enable()
        part: typer.Typer = module.app
        single = {command.name: command for command in part.registered_commands}
        if not part.info.help and cmd_name in single:  # a module of single commands, each at the top level
            alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
            alone.registered_commands.append(single[cmd_name])
            found = typer.main.get_command(alone)
        elif part.registered_callback or part.registered_groups or len(part.registered_commands) > 1:
            found = typer.main.get_group(part)  # completion is installed once, for the whole command
        else:
            found = typer.main.get_command(part)
        found.name = cmd_name
        return found


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "Run as the user the gateway runs as; what a workspace keeps is readable to its owner only."
    return "Look at this file or folder, and at the disk it lies on."


app = typer.Typer(
    name="greffier",
    cls=Jobs,
    help="Run every LLM request under governance.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        typer.echo(f"greffier {greffier.__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
