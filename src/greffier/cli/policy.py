"""``greffier policy``: test rules against cases, explain one decision, list what is in force."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from greffier.cli.output import Exit, JsonOption, fail, listing, out, print_json
from greffier.config.bundle import build
from greffier.config.compile import compile_snapshot
from greffier.config.documents import read_yaml
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError, Problem
from greffier.config.schema import decode
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.rulings import Allow, Deny
from greffier.policy.decide import Explanation
from greffier.policy.settings import Condition, Modality, RuleSettings
from greffier.policy.trial import CaseResult, PolicyCase, PolicyTestFile, PolicyTrials, Trial

app = typer.Typer(help="Test, explain and list what is allowed.", no_args_is_help=True)

_MAX_FILE_BYTES = 1_048_576

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
InForce = Annotated[bool, typer.Option("--in-force", help="Use the release in force instead of the files.")]


@app.command("test")
def run_cases(
    *,
    cases: Annotated[list[Path] | None, typer.Argument(help="Files of cases; default: policies/tests/*.yaml.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Decide every case and compare with what its author expects; exit 1 if one differs."""
    snapshot = _snapshot(workspace, in_force=False, as_json=as_json)
    trials = _trials(snapshot)
    results = [
        (path.name, _run(trials, path, case, as_json=as_json))
        for path in cases or _default_files(workspace, as_json=as_json)
        for case in _read_cases(path, as_json=as_json)
    ]
    failed = sum(1 for _, result in results if result.failures)
    if as_json:
        print_json(
            {
                "revision": snapshot.revision,
                "passed": len(results) - failed,
                "failed": failed,
                "cases": [_case_json(file, result) for file, result in results],
            }
        )
    else:
        _print_results(results)
        out.print(f"{len(results) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(Exit.FAILED)


@app.command()
def explain(
    *,
    use_case: Annotated[str, typer.Option("--use-case", "-u", help="The use case of the credential.")],
    workspace: WorkspaceOption = Path(),
    model: Annotated[str, typer.Option("--model", "-m", help="Model; default is the use case's.")] = "",
    action: Annotated[str, typer.Option("--action", help="chat, embed, list_models, check or feedback.")] = "chat",
    tenant: Annotated[str | None, typer.Option("--tenant", help="Default is the use case's own.")] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="Purpose of the credential.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", "-g", help="Repeatable.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="Repeatable.")] = None,
    attribute: Annotated[list[str] | None, typer.Option("--attribute", help="NAME=VALUE; repeatable.")] = None,
    principal_type: Annotated[str, typer.Option("--type", help="service, user or agent.")] = "service",
    authn: Annotated[str, typer.Option("--authn", help="api_key, oidc, mtls or saml.")] = "api_key",
    modality: Annotated[list[str] | None, typer.Option("--modality", help="image, audio or file; repeatable.")] = None,
    tools: Annotated[bool, typer.Option("--tools", help="The request offers tools.")] = False,
    at: Annotated[str | None, typer.Option("--at", help="Time, such as 2026-11-24T09:30:00+01:00.")] = None,
    in_force: InForce = False,
    as_json: JsonOption = False,
) -> None:
    """Decide one request and show every check and rule behind the answer; exit 1 if it is refused."""
    trial = Trial(
        use_case=use_case,
        action=action,
        model=model,
        tenant=tenant,
        purpose=purpose,
        groups=tuple(group or ()),
        roles=tuple(role or ()),
        attributes=dict(_pair(value, as_json=as_json) for value in attribute or ()),
        type=_one_of(principal_type, ("service", "user", "agent"), "--type", as_json=as_json),
        authn=_one_of(authn, ("api_key", "oidc", "mtls", "saml"), "--authn", as_json=as_json),
        modalities=tuple(_modality(value, as_json=as_json) for value in modality or ()),
        tools=tools,
        at=at,
    )
    snapshot = _snapshot(workspace, in_force=in_force, as_json=as_json)
    try:
        explanation = _trials(snapshot).explain(trial)
    except ValueError as error:
        fail(str(error), code=Exit.USAGE, as_json=as_json)
    if as_json:
        print_json({"revision": snapshot.revision, **_explanation_json(explanation)})
    else:
        _print_explanation(explanation)
    if isinstance(explanation.ruling, Deny):
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_rules(*, workspace: WorkspaceOption = Path(), in_force: InForce = False, as_json: JsonOption = False) -> None:
    """List the rules, in their order."""
    snapshot = _snapshot(workspace, in_force=in_force, as_json=as_json)
    if as_json:
        print_json({"revision": snapshot.revision, "rules": [_rule_json(rule) for rule in snapshot.rules]})
        return
    table = listing("rule", "effect", "when", "unless", "description")
    for rule in snapshot.rules:
        unless = "" if rule.unless is None else _words(rule.unless)
        table.add_row(rule.id, rule.effect, _words(rule.when), unless, escape(rule.description))
    out.print(table)


def _snapshot(workspace: Path, *, in_force: bool, as_json: bool) -> Snapshot:
    try:
        if in_force:
            return load_snapshot(WorkspacePaths(workspace))
        return compile_snapshot(build(workspace), signed_by="", now_ms=SystemClock().wall_ms())
    except ConfigError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)


def _trials(snapshot: Snapshot) -> PolicyTrials:
    return PolicyTrials(snapshot.use_cases, snapshot.use_case_digests, snapshot.rules, snapshot.models.keys())


def _default_files(workspace: Path, *, as_json: bool) -> list[Path]:
    files = sorted((workspace / "policies" / "tests").glob("*.yaml"))
    if not files:
        fail(
            "There are no cases in policies/tests/.",
            "Write policies/tests/NAME.yaml, or name a file of cases.",
            code=Exit.USAGE,
            as_json=as_json,
        )
    return files


def _read_cases(path: Path, *, as_json: bool) -> tuple[PolicyCase, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        text = data.decode()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", code=Exit.UNAVAILABLE, as_json=as_json)
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8.", "Save the file as UTF-8.", code=Exit.CONFIG, as_json=as_json)
    if len(data) > _MAX_FILE_BYTES:
        fail(f"{path} is larger than 1 MiB.", "Split it into several files.", code=Exit.CONFIG, as_json=as_json)
    document, problems = read_yaml(str(path), text)
    file_settings = None
    if document is not None and not problems:
        file_settings, problems = decode(document, PolicyTestFile)
    if file_settings is None:
        _fail_on(problems, path, as_json=as_json)
    return file_settings.cases


def _fail_on(problems: list[Problem], path: Path, *, as_json: bool) -> NoReturn:
    if not problems:
        fail(f"{path} is empty.", "Write 'cases:' and a list of cases.", code=Exit.CONFIG, as_json=as_json)
    first = problems[0]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    place = f"{first.file}:{first.line}:{first.column}: "
    fail(f"{place}{first.message}{more}", first.remedy, code=Exit.CONFIG, as_json=as_json)


def _run(trials: PolicyTrials, path: Path, case: PolicyCase, *, as_json: bool) -> CaseResult:
    try:
        return trials.run(case)
    except ValueError as error:
        fail(f"{path.name}: {case.name}: {error}.", code=Exit.CONFIG, as_json=as_json)


def _print_results(results: list[tuple[str, CaseResult]]) -> None:
    table = listing("", "case", "verdict", "rule", "file")
    for file, result in results:
        mark = "[bold red]FAIL[/]" if result.failures else "[green]ok[/]"
        verdict, rule = _verdict(result.ruling)
        table.add_row(mark, escape(result.case.name), verdict, rule, escape(file))
    out.print(table)
    for _, result in results:
        for failure in result.failures:
            out.print(f"[bold red]FAIL[/] {escape(result.case.name)}: {escape(failure)}")


def _verdict(ruling: Any) -> tuple[str, str]:
    if isinstance(ruling, Deny):
        return f"deny ({ruling.code})", ruling.rule
    return "allow", ", ".join(ruling.value.rules)


def _case_json(file: str, result: CaseResult) -> dict[str, Any]:
    verdict = "deny" if isinstance(result.ruling, Deny) else "allow"
    code, rule = ("", _verdict(result.ruling)[1])
    if isinstance(result.ruling, Deny):
        code = str(result.ruling.code)
    return {
        "file": file,
        "name": result.case.name,
        "passed": not result.failures,
        "expected": result.case.expect,
        "verdict": verdict,
        "code": code,
        "rule": rule,
        "failures": list(result.failures),
    }


def _print_explanation(explanation: Explanation) -> None:
    ruling = explanation.ruling
    if isinstance(ruling, Allow):
        grant = ruling.value
        out.print(f"[bold green]allowed[/] by {', '.join(grant.rules)}")
        out.print(f"  model {escape(grant.model) or '-'}, screen {grant.screen}, purpose {grant.purpose}")
        out.print(f"  lawful basis {grant.lawful_basis or '-'}, risk class {grant.risk_class}")
        bound = grant.obligations
        out.print(
            f"  on premises only: {'yes' if bound.on_premises_only else 'no'}, "
            f"regions: {', '.join(bound.regions) or 'any'}, "
            f"logging: {bound.logging}"
        )
    else:
        out.print(f"[bold red]refused[/] by {ruling.rule} ({ruling.code}): {escape(ruling.reason)}")
        out.print(f"  [bold]remedy:[/] {escape(ruling.advice)}")
    table = listing("check or rule", "effect", "outcome", "why")
    for check in explanation.checks:
        mark = "[green]passed[/]" if check.passed else "[bold red]failed[/]"
        table.add_row(check.id, "check", mark, escape(check.reason))
    for line in explanation.rules:
        mark = "[bold]applies[/]" if line.applied else "no"
        table.add_row(line.id, line.effect, mark, escape(line.why_not or line.description))
    out.print(table)


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    ruling = explanation.ruling
    answer: dict[str, Any]
    if isinstance(ruling, Deny):
        answer = {
            "verdict": "deny",
            "code": str(ruling.code),
            "rule": ruling.rule,
            "reason": ruling.reason,
            "remedy": ruling.advice,
        }
    else:
        grant = ruling.value
        answer = {
            "verdict": "allow",
            "rules": list(grant.rules),
            "model": grant.model,
            "screen": grant.screen,
            "purpose": grant.purpose,
            "lawful_basis": grant.lawful_basis,
            "risk_class": grant.risk_class,
            "obligations": {
                "on_premises_only": grant.obligations.on_premises_only,
                "regions": list(grant.obligations.regions),
                "logging": grant.obligations.logging,
            },
        }
    return answer | {
        "checks": [
            {"id": check.id, "passed": check.passed, "code": check.code, "reason": check.reason}
            for check in explanation.checks
        ],
        "policy": [
            {"id": line.id, "effect": line.effect, "applied": line.applied, "why_not": line.why_not}
            for line in explanation.rules
        ],
    }


def _rule_json(rule: RuleSettings) -> dict[str, Any]:
    return {
        "id": rule.id,
        "description": rule.description,
        "effect": rule.effect,
        "when": _words(rule.when),
        "unless": "" if rule.unless is None else _words(rule.unless),
    }


def _words(condition: Condition) -> str:
    """A condition as people say it."""
    parts: list[str] = []
    for name in condition.__struct_fields__:
        value = getattr(condition, name)
        if name == "tools" and value is not None:
            parts.append("with tools" if value else "without tools")
        elif name == "time" and value is not None:
            days = "/".join(value.days) or "every day"
            parts.append(f"{days} {value.between or ''} {value.timezone}".replace("  ", " "))
        elif name == "attributes":
            parts += [f"{key} {' or '.join(values)}" for key, values in value.items()]
        elif value:
            parts.append(f"{name} {' or '.join(value)}")
    return ", ".join(parts) or "always"


def _pair(text: str, *, as_json: bool) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        fail(f"--attribute takes NAME=VALUE, not {text!r}.", code=Exit.USAGE, as_json=as_json)
    return name, value


def _one_of(text: str, known: tuple[str, ...], option: str, *, as_json: bool) -> Any:
    if text not in known:
        fail(f"{option} is one of {', '.join(known)}, not {text!r}.", code=Exit.USAGE, as_json=as_json)
    return text


def _modality(text: str, *, as_json: bool) -> Modality:
    found: Modality = _one_of(text, ("image", "audio", "file"), "--modality", as_json=as_json)
    return found
