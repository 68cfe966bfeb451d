"""``greffier config``: check, build, sign, show and compare workspaces."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape

from greffier.cli.config_files import (
    activate_release,
    create_signing_key,
    explained,
    open_bundle,
    open_signer,
    publish_key,
    release,
    trust_key,
    write_bundle,
)
from greffier.cli.output import Exit, JsonOption, err, listing, out, print_json
from greffier.config.bundle import Bundle, build, check_workspace, explicit
from greffier.config.demo import write_schemas
from greffier.config.diff import Change, diff
from greffier.config.kept import kept_configuration
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError, Problem, printable
from greffier.config.releases import load_release, revision_in_force
from greffier.config.signing import fingerprint

app = typer.Typer(help="Check, build, sign, show and compare workspaces.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
ModuleOption = Annotated[Path | None, typer.Option("--pkcs11-module", help="PKCS#11 library of the HSM.")]
TokenOption = Annotated[str, typer.Option("--pkcs11-token", help="Label of the token.")]
LabelOption = Annotated[str, typer.Option("--pkcs11-key", help="Label of the key pair.")]
PinOption = Annotated[str, typer.Option("--pkcs11-pin", help="Where the PIN is: env:NAME or file:PATH.")]
_ENTITIES = ("use_cases", "models", "deployments", "rules", "screens", "topics", "prompts", "workspace")
_SHOWN_CHARS = 100


@app.command()
def check(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Name every mistake in the workspace: file, line, column, what was expected, and what to do."""
    problems = check_workspace(workspace)
    errors = sum(problem.severity == "error" for problem in problems)
    revision = "" if errors else build(workspace).revision
    in_force = ""
    with contextlib.suppress(ConfigError):  # whoever writes the files need not be let into the gateway's state
        in_force = revision_in_force(WorkspacePaths(workspace))
    if as_json:
        shown = [explicit(problem) for problem in problems]
        print_json({"ok": not errors, "revision": revision, "in_force": in_force, "problems": shown})
    else:
        for problem in problems:
            _show_problem(problem)
        _summarise(errors, len(problems) - errors, revision)
        if in_force and revision and in_force != revision:
            out.print(f"in force is another release: {escape(in_force)}; 'greffier config build --sign' replaces it")
    if errors:
        raise typer.Exit(int(Exit.CONFIG))


@app.command("build")
def build_command(
    *,
    workspace: WorkspaceOption = Path(),
    sign: Annotated[bool, typer.Option("--sign", help="Sign it, store it as a release and put it in force.")] = False,
    output: Annotated[Path | None, typer.Option("--output", help="Write bundle.json (and bundle.sig) here.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Key file; default is the one 'sign-key' made.")] = None,
    module: ModuleOption = None,
    token: TokenOption = "",
    label: LabelOption = "",
    pin: PinOption = "",
    as_json: JsonOption = False,
) -> None:
    """Build the bundle: the same files give the same bytes. With --sign, make it the release in force."""
    paths = WorkspacePaths(workspace)
    with explained(as_json=as_json):
        bundle = build(workspace)
        answer: dict[str, Any] = {"revision": bundle.revision, "bytes": len(bundle.data)}
        signer = open_signer(paths, key, module=module, token=token, label=label, pin=pin) if sign else None
        if output is not None:
            answer["files"] = [str(path) for path in write_bundle(output, bundle, signer)]
        elif signer is not None:
            answer["release"] = str(release(paths, bundle, signer))
        if signer is not None:
            answer["signed_by"] = fingerprint(signer.public_key_der())
    if as_json:
        print_json(answer)
        return
    out.print(f"revision {bundle.revision}")
    if "release" in answer:
        out.print(f"signed by {answer['signed_by'][:16]}..., in force: {escape(answer['release'])}")
    for path in answer.get("files", ()):
        out.print(f"wrote {escape(path)}")


@app.command()
def activate(
    named: Annotated[
        str, typer.Argument(metavar="RELEASE", help="Revision of a stored release, or a folder with a signed bundle.")
    ],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Put a signed release in force, if its signature holds: from another machine, or an earlier one."""
    with explained(as_json=as_json):
        revision, signed_by = activate_release(WorkspacePaths(workspace), named)
    if as_json:
        print_json({"revision": revision, "signed_by": signed_by})
        return
    out.print(f"in force: {revision}, signed by {escape(signed_by)}")


def _shown(paths: WorkspacePaths, at: str, *, in_force: bool) -> Bundle:
    if at:
        return kept_configuration(paths, at)
    return load_release(paths)[0] if in_force else build(paths.root)


@app.command()
def show(  # noqa: PLR0917 - typer's options
    kind: Annotated[str, typer.Argument(help="What to show in full: use_cases, models, screens...")] = "",
    name: Annotated[str, typer.Argument(help="Which one.")] = "",
    workspace: WorkspaceOption = Path(),
    in_force: Annotated[bool, typer.Option("--in-force", help="Show the release in force, not the files.")] = False,
    at: Annotated[
        str, typer.Option("--at", help="Show what was in force under this revision, as a record cites it.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show the workspace as the gateway would see it, every default written out."""
    with explained(as_json=as_json):
        paths = WorkspacePaths(workspace)
        bundle = _shown(paths, at, in_force=in_force)
    content = explicit(bundle.content)
    if kind and kind not in _ENTITIES:
        raise typer.BadParameter(f"choose one of: {', '.join(_ENTITIES)}")
    if kind == "rules":
        content["rules"] = {rule["id"]: rule for rule in content["rules"]}
    shown = content[kind] if kind else content
    if name:
        if name not in shown:
            raise typer.BadParameter(f"there is no '{name}' among: {', '.join(sorted(shown)) or 'nothing'}")
        shown = shown[name]
    if as_json:
        print_json(shown if kind else {"revision": bundle.revision, **shown})
    elif kind:
        out.print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110).rstrip(), markup=False)
    else:
        _show_overview(bundle)


@app.command("diff")
def diff_command(
    before: Annotated[Path, typer.Argument(metavar="A", help="A workspace, a release's folder or a bundle.json.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Likewise.")],
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Leave with 1 when they differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what changed from A to B, setting by setting."""
    with explained(as_json=as_json):
        old, new = open_bundle(before), open_bundle(after)
    changes = diff(old, new)
    if as_json:
        print_json({"before": old.revision, "after": new.revision, "changes": [explicit(c) for c in changes]})
    else:
        for change in changes:
            _show_change(change)
        out.print(f"{old.revision[:16]} -> {new.revision[:16]}: {len(changes) or 'no'} change(s)")
    if exit_code and changes:
        raise typer.Exit(int(Exit.FAILED))


@app.command()
def schema(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Default: .greffier/schemas.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write the JSON Schemas of all workspace files, so that editors complete and check them."""
    with explained(as_json=as_json):
        written = write_schemas(folder or WorkspacePaths(workspace).schemas)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        out.print(f"wrote {escape(str(path))}")
    out.print("\nEditors with the YAML language server use one when a file begins with, for example:")
    out.print("  # yaml-language-server: $schema=../.greffier/schemas/use_cases.json", markup=False)


@app.command("sign-key")
def sign_key(
    *,
    workspace: WorkspaceOption = Path(),
    trust: Annotated[bool, typer.Option("--trust", help="Trust it on this machine as well.")] = False,
    module: ModuleOption = None,
    token: TokenOption = "",
    label: LabelOption = "",
    pin: PinOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make a signing key (P-256) in a file only you can read, or take one in an HSM; print its fingerprint."""
    paths = WorkspacePaths(workspace)
    with explained(as_json=as_json):
        if module is None:
            signer, private = create_signing_key(paths)
        else:
            signer, private = open_signer(paths, None, module=module, token=token, label=label, pin=pin), "in the token"
        key = publish_key(paths, signer, private, trust=trust)
    if as_json:
        print_json(key)
        return
    out.print(f"fingerprint {key['fingerprint']}")
    out.print(f"private key {escape(private)}{'' if module else ' (keep it off the gateway where you can)'}")
    out.print(f"public key  {escape(str(key['public']))}")
    if not trust:
        out.print(f"\nOn each gateway: greffier config trust {escape(str(key['public']))} --workspace DIR")


@app.command()
def trust(
    key: Annotated[Path, typer.Argument(metavar="PEM", help="Public key of a signer.")],
    name: Annotated[str, typer.Option("--name", help="Name it has in records; default is the file's.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Accept releases signed with this public key on this machine."""
    with explained(as_json=as_json):
        named, print_ = trust_key(WorkspacePaths(workspace), key, name)
    if as_json:
        print_json({"name": named, "fingerprint": print_})
        return
    out.print(f"trusted: {escape(named)} {print_}")


def _show_problem(problem: Problem) -> None:
    colour = "red" if problem.severity == "error" else "yellow"
    where = f"{problem.file}:{problem.line}:{problem.column}"
    err.print(f"[bold]{_safe(where)}[/] [{colour}]{problem.severity}[/]: {_safe(problem.message)}")
    if problem.excerpt.strip():
        number = str(problem.line)
        err.print(f"  [dim]{number} |[/] {_safe(problem.excerpt)}")
        err.print(f"  [dim]{' ' * len(number)} |[/] [{colour}]{' ' * (problem.column - 1)}^[/]")
    err.print(f"  [bold]remedy:[/] {_safe(problem.remedy)}\n")


def _safe(text: str) -> str:
    return escape(printable(text))


def _summarise(errors: int, warnings: int, revision: str) -> None:
    if errors:
        err.print(f"[bold red]{errors} error(s)[/], {warnings} warning(s)")
    else:
        out.print(f"[bold green]ok[/], {warnings} warning(s), revision {revision}")


def _show_overview(bundle: Bundle) -> None:
    content = bundle.content
    out.print(f"[bold]{content.workspace.name}[/]  revision {bundle.revision}")
    if content.workspace.unsafe_development_mode:
        out.print("[bold yellow]unsafe development mode: unsigned files are served[/]")
    table = listing("use case", "tenant", "status", "risk", "models", "screen", "on premises")
    for use_case in content.use_cases.values():
        only = "yes" if use_case.on_premises_only else "no"
        row = (use_case.id, use_case.tenant, use_case.status, use_case.risk_class)
        table.add_row(*row, ", ".join(use_case.models), use_case.screen, only)
    out.print(table)
    table = listing("deployment", "provider", "model", "location", "region")
    for name, deployment in content.deployments.items():
        table.add_row(name, deployment.provider, deployment.model, deployment.location, deployment.region)
    out.print(table)
    out.print(f"{len(content.rules)} rule(s), {len(content.screens)} screen(s), {len(content.prompts)} prompt(s)")


def _show_change(change: Change) -> None:
    if change.lines:
        out.print(f"[yellow]~[/] {escape(change.path)}")
        for line in change.lines:
            colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
            out.print(f"    [{colour}]{escape(line)}[/]")
    elif change.kind == "changed":
        before, after = _short(change.before), _short(change.after)
        out.print(f"[yellow]~[/] {escape(change.path)}: {escape(before)} -> {escape(after)}")
    else:
        sign, colour, value = ("+", "green", change.after) if change.kind == "added" else ("-", "red", change.before)
        out.print(f"[{colour}]{sign}[/] {escape(change.path)}: {escape(_short(value))}")


def _short(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n")
    text = text.strip()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
