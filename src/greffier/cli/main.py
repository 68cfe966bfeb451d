"""``greffier``: one command, a sub-command per job."""

import typer

import greffier

app = typer.Typer(
    name="greffier",
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
