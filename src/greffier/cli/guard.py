"""``greffier guard``: the guardrails at the command line, with the workspace's screens and no gateway."""

import asyncio
import html
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.markup import escape
from rich.text import Text

from greffier.cli.guard_files import build_guard
from greffier.cli.guard_pack import app as pack_app
from greffier.cli.guard_serve import serve_command
from greffier.cli.guard_test import run_tests
from greffier.cli.output import Exit, JsonOption, fail, listing, out, print_json
from greffier.core.context import Grant
from greffier.core.rulings import Allow
from greffier.guardrails.check import Checker, CheckFinding, CheckRequest, CheckResponse, Context

app = typer.Typer(help="Try, test and serve the guardrails.", no_args_is_help=True)
app.command("test")(run_tests)
app.command("serve")(serve_command)
app.add_typer(pack_app, name="pack")

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
ScreenOption = Annotated[str, typer.Option("--screen", help="Name of the screen.")]
ContextOption = Annotated[Context, typer.Option("--context", help="Where the text comes from.")]
DirectionOption = Annotated[Literal["input", "output"], typer.Option("--direction", help="Which rules apply.")]
TextArgument = Annotated[str, typer.Argument(help="The text, or '-' to read standard input.")]

_GRAVITY = ("", "allow", "flag", "on_premises", "pseudonymise", "redact", "require_approval", "escalate", "deny")
_STYLES = {
    "": "underline",
    "deny": "bold white on red",
    "escalate": "bold white on magenta",
    "require_approval": "bold white on magenta",
}
_COLOURS = {"deny": "#f8c4c4", "escalate": "#e7c6f5", "require_approval": "#e7c6f5", "": "#e4e4e4", "allow": "#e4e4e4"}
_OTHER_COLOUR = "#fdf0b3"


@app.command()
def check(
    *,
    text: TextArgument,
    workspace: WorkspaceOption = Path(),
    screen: ScreenOption = "default",
    context: ContextOption = "direct",
    direction: DirectionOption = "input",
    as_json: JsonOption = False,
) -> None:
    """Say what a screen would do with a text. Exits with 1 when it would not let the text through."""
    response = _measured(_read(text), workspace, screen, context, direction, explain=False, as_json=as_json)
    if as_json:
        print_json(msgspec.to_builtins(response))
    else:
        _print_verdict(response)
    if response.action in {"block", "escalate"}:
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def explain(
    *,
    text: TextArgument,
    workspace: WorkspaceOption = Path(),
    screen: ScreenOption = "default",
    context: ContextOption = "direct",
    direction: DirectionOption = "input",
    as_html: Annotated[bool, typer.Option("--html", help="Print an HTML page.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every finding over the text, those that no rule acts on included."""
    given = _read(text)
    response = _measured(given, workspace, screen, context, direction, explain=True, as_json=as_json)
    if as_json:
        print_json(msgspec.to_builtins(response))
    elif as_html:
        sys.stdout.write(_page(given, response))
    else:
        out.print(_marked(given, response.findings))
        out.print()
        _print_verdict(response)
        out.print(f"[dim]{escape(_scores_of(response))}[/]")


def _read(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _measured(
    text: str,
    workspace: Path,
    screen: str,
    context: Context,
    direction: Literal["input", "output"],
    *,
    explain: bool,
    as_json: bool,
) -> CheckResponse:
    guard = build_guard(workspace, as_json=as_json)
    if screen not in guard.screens:
        known = ", ".join(sorted(guard.screens))
        fail(f"there is no screen '{screen}'", f"Use one of: {known}.", code=Exit.USAGE, as_json=as_json)
    grant = Grant(
        tenant="", use_case="", use_case_digest="", purpose="", lawful_basis="", risk_class="high", model="",
        data_classes=(), screen=screen,
    )  # fmt: skip
    request = CheckRequest(text, direction=direction, context=context, explain=explain)
    ruling = asyncio.run(Checker(guard).check(request, grant))
    if not isinstance(ruling, Allow):
        fail(ruling.reason, ruling.advice, code=Exit.UNAVAILABLE, as_json=as_json)
    return ruling.value


def _print_verdict(response: CheckResponse) -> None:
    style = "green" if response.action == "allow" else "yellow" if response.action in {"flag", "redact"} else "red"
    rule = f" by rule [bold]{response.rule}[/]" if response.rule else ""
    out.print(f"[bold {style}]{response.action}[/]{rule}  [dim]{response.latency_ms:.2f} ms[/]")
    if response.redacted_text is not None:
        out.print(Text(_visible(response.redacted_text)))
    if not response.findings:
        return
    table = listing("type", "span", "score", "action", "detector", "rule", "view")
    for finding in response.findings:
        table.add_row(
            finding.type,
            f"{finding.start}-{finding.end}",
            f"{finding.score:.2f}",
            finding.action or "-",
            finding.detector,
            finding.rule,
            finding.view,
        )
    out.print(table)


def _marked(text: str, findings: tuple[CheckFinding, ...]) -> Text:
    marked = Text(_visible(text))
    for finding in sorted(findings, key=_gravity):  # where findings overlap, the gravest shows
        marked.stylize(_STYLES.get(finding.action, "black on yellow"), finding.start, finding.end)
    return marked


def _gravity(finding: CheckFinding) -> int:
    return _GRAVITY.index(finding.action) if finding.action in _GRAVITY else 0


def _visible(text: str) -> str:
    """Control characters as a mark, one for one: a text must not steer the reader's terminal."""
    return "".join(char if char.isprintable() or char == "\n" else " " if char == "\t" else "\ufffd" for char in text)


def _page(text: str, response: CheckResponse) -> str:
    """A page without scripts, fonts or links: safe to mail to a reviewer. Hidden characters are shown as marks."""
    shown = _visible(text)
    pieces: list[str] = []
    cuts = sorted({0, len(text), *(f.start for f in response.findings), *(f.end for f in response.findings)})
    for start, end in pairwise(cuts):
        over = [f for f in response.findings if f.start < end and start < f.end]
        piece = html.escape(shown[start:end])
        if over:
            label = "; ".join(
                f"{f.type} {f.score:.2f} {f.action or 'measured'} ({f.detector}/{f.rule}, {f.view})" for f in over
            )
            colour = _COLOURS.get(max(over, key=_gravity).action, _OTHER_COLOUR)
            piece = f'<mark style="background:{colour}" title="{html.escape(label)}">{piece}</mark>'
        pieces.append(piece)
    rows = "".join(
        f"<tr><td>{html.escape(f.type)}<td>{f.start}-{f.end}<td>{f.score:.2f}<td>{html.escape(f.action or '-')}"
        f"<td>{html.escape(f.detector)}<td>{html.escape(f.rule)}<td>{html.escape(f.view)}"
        for f in response.findings
    )
    table = f"<table><tr><th>type<th>span<th>score<th>action<th>detector<th>rule<th>view{rows}</table>"
    by = f" <small>by rule {html.escape(response.rule)}</small>" if response.rule else ""
    edited = ""
    if response.redacted_text is not None:
        edited = f"<h2>What would be sent on</h2><pre>{html.escape(_visible(response.redacted_text))}</pre>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Guardrail findings</title>'
        "<style>body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}h1 small{font-weight:400}"
        "pre{white-space:pre-wrap;border:1px solid #ccc;padding:1rem}td,th{padding:.2rem .8rem;text-align:left}</style>"
        f"<h1>{html.escape(response.action)}{by}</h1><pre>{''.join(pieces)}</pre>{edited}"
        f"{table if response.findings else '<p>Nothing was found.</p>'}"
        f"<p><small>{html.escape(_scores_of(response))}</small></p></html>\n"
    )


def _scores_of(response: CheckResponse) -> str:
    """What each classifier says, below its threshold too."""
    scores = {name: score for name, score in (response.scores or {}).items() if not name.isupper()}
    return "Scores: " + ", ".join(f"{name} {score:.2f}" for name, score in sorted(scores.items()))
