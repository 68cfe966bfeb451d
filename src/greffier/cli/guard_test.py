"""``greffier guard test``: cases, corpora, comparisons and regressions of the guardrails."""

import asyncio
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from greffier.cli.guard_files import Rows, build_checker, read_baseline, read_cases, read_corpus, write_baseline
from greffier.cli.guard_report import comparison_json, junit, print_comparison, print_results, print_scores, score_json
from greffier.cli.output import Exit, JsonOption, fail, listing, out, print_json
from greffier.guardrails.check import CheckSession
from greffier.guardrails.scoring import (
    Baseline,
    Counts,
    Row,
    Score,
    key_of,
    labelled_types,
    regressions,
)
from greffier.guardrails.trial import CaseResult, Trials, Verdict

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]


class Change(msgspec.Struct, frozen=True):
    """A text about which two policy versions disagree."""

    name: str
    before: str
    after: str
    rule_before: str
    rule_after: str


class _Run:
    """Everything that one call of the command measured."""

    def __init__(self) -> None:
        self.cases: list[tuple[str, CaseResult]] = []
        self.scores: dict[str, Score] = {}
        self.theirs: dict[str, Score] = {}
        self.texts = 0
        self.changes: list[Change] = []
        self.regressions: list[str] = []
        self.seconds = 0.0

    @property
    def failed(self) -> int:
        return sum(1 for _, result in self.cases if result.failures and not result.gap)

    def counts(self, *, theirs: bool = False) -> dict[str, Counts]:
        scores = self.theirs if theirs else self.scores
        return {key_of(name, key): counts for name, score in scores.items() for key, counts in score.rows()}


def run_tests(
    *,
    cases: Annotated[
        list[Path] | None, typer.Argument(help="Files of cases; default: guardrails/tests/*.yaml.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    screen: Annotated[str, typer.Option("--screen", help="Screen of cases and rows that name none.")] = "default",
    corpus: Annotated[list[Path] | None, typer.Option("--corpus", help="JSON lines; repeatable.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="What a positive row shows: injection, toxicity, disallowed, leak or secret."),
    ] = None,
    at: Annotated[float, typer.Option("--at", help="Score from which a finding counts.", min=0, max=1)] = 0.5,
    redteam: Annotated[bool, typer.Option("--redteam/--no-redteam", help="Run the built-in red-team pack.")] = True,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Another workspace or bundle: show what would change, fail where it was better on a corpus.",
        ),
    ] = None,
    traffic: Annotated[
        list[Path] | None,
        typer.Option("--traffic", help="JSON lines with 'text', no labels needed: compared only; repeatable."),
    ] = None,
    baseline: Annotated[Path | None, typer.Option("--baseline", help="Fail where it is worse than this file.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write --baseline instead of comparing.")] = False,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write a JUnit report.")] = None,
    examples: Annotated[int, typer.Option("--examples", help="Confusions to show per type.", min=0, max=1000)] = 3,
    as_json: JsonOption = False,
) -> None:
    """Run cases, the red-team pack and corpora through the screens; exit 1 if a case fails or a baseline is missed."""
    if update and baseline is None:
        fail("--update needs --baseline FILE", code=Exit.USAGE, as_json=as_json)
    if traffic and against is None:
        remedy = "Texts without labels can only be compared."
        fail("--traffic needs --against WORKSPACE", remedy, code=Exit.USAGE, as_json=as_json)
    trials = Trials(build_checker(workspace, as_json=as_json), screen=screen)
    other = None if against is None else Trials(build_checker(against, as_json=as_json, named=True), screen=screen)
    run = _Run()
    began = time.monotonic()
    paths = cases or sorted((workspace / "guardrails" / "tests").glob("*.yaml"))
    if redteam:
        paths = [*paths, *redteam_files()]
    read = {path: read_cases(path, as_json=as_json) for path in paths}
    corpora = [read_corpus(path, kind, as_json=as_json) for path in corpus or ()]
    corpora += [read_corpus(path, kind, as_json=as_json, labelled=False) for path in traffic or ()]
    try:
        asyncio.run(_measure(run, trials, other, read, corpora, threshold=at, examples=examples))
    except ValueError as error:
        fail(str(error), code=Exit.CONFIG, as_json=as_json)
    run.seconds = time.monotonic() - began
    if baseline is not None and update:
        write_baseline(baseline, run.counts())
    else:
        run.regressions = _worse(run, baseline, against, as_json=as_json)
    if junit_file is not None:
        junit_file.write_text(junit(run.cases, run.scores, run.regressions, run.seconds), encoding="utf-8")
    if as_json:
        print_json(_as_json(run))
    else:
        _print(run, compared=other is not None)
    if run.failed or run.regressions:
        raise typer.Exit(int(Exit.FAILED))


def _worse(run: _Run, baseline: Path | None, against: Path | None, *, as_json: bool) -> list[str]:
    """What is worse by more than chance than a stored baseline, and than the other policy version."""
    worse: list[str] = []
    if baseline is not None:
        worse += regressions(read_baseline(baseline, as_json=as_json), run.counts(), list(run.scores))
    if run.theirs:
        theirs = Baseline("greffier.guard-baseline/1", run.counts(theirs=True))
        worse += [f"{each} (against {against})" for each in regressions(theirs, run.counts(), list(run.scores))]
    return worse


def redteam_files() -> list[Path]:
    """The built-in red-team pack."""
    folder = Path(str(files("greffier.guardrails") / "redteam"))
    return sorted(folder.glob("*.yaml"))


async def _measure(
    run: _Run,
    trials: Trials,
    other: Trials | None,
    cases: dict[Path, Any],
    corpora: Iterable[Rows],
    *,
    threshold: float,
    examples: int,
) -> None:
    for path, listed in cases.items():
        for case in listed:
            result = await trials.run(case)
            run.cases.append((path.name, result))
            run.texts += 1
            if other is not None:
                _compare(run, case.name, result.verdict, (await other.run(case)).verdict)
    for corpus in corpora:
        await _measure_corpus(run, trials, other, corpus, threshold=threshold, examples=examples)


async def _measure_corpus(
    run: _Run, trials: Trials, other: Trials | None, corpus: Rows, *, threshold: float, examples: int
) -> None:
    ours, theirs = (Score(corpus.kind, threshold=threshold, examples=examples) for _ in range(2))
    if corpus.labelled:
        run.scores[corpus.name] = ours
        if other is not None:
            run.theirs[corpus.name] = theirs
    labelled = labelled_types(corpus.rows)
    for number, row in enumerate(corpus.rows, 1):
        verdict = await _judge(trials, row)
        run.texts += 1
        if corpus.labelled:
            ours.add(row, verdict, labelled)
        if other is not None:
            before = await _judge(other, row)
            _compare(run, f"{corpus.name}:{row.id or number}", verdict, before)
            if corpus.labelled:
                theirs.add(row, before, labelled)


async def _judge(trials: Trials, row: Row) -> Verdict:
    session = CheckSession(row.system_prompt, row.canary) if row.system_prompt or row.canary else None
    return await trials.judge(
        row.clean_text(),
        direction="output" if row.context == "output" else "input",
        context=row.context,
        lang=row.lang,
        session=session,
    )


def _compare(run: _Run, name: str, ours: Verdict, theirs: Verdict) -> None:
    if (ours.action, ours.rule) != (theirs.action, theirs.rule):
        run.changes.append(Change(name, theirs.action, ours.action, theirs.rule, ours.rule))


def _as_json(run: _Run) -> dict[str, Any]:
    return {
        "passed": sum(1 for _, result in run.cases if not result.failures),
        "failed": run.failed,
        "known_gaps": sum(1 for _, result in run.cases if result.gap),
        "cases": [
            {
                "file": file,
                "name": result.case.name,
                "passed": not result.failures,
                "known_gap": result.case.known_gap if result.gap else "",
                "action": result.verdict.action,
                "rule": result.verdict.rule,
                "failures": list(result.failures),
                "owasp": list(result.case.owasp),
                "asi": list(result.case.asi),
                "atlas": list(result.case.atlas),
            }
            for file, result in run.cases
        ],
        "corpora": {name: score_json(score) for name, score in run.scores.items()},
        "changes": comparison_json(run.changes),
        "regressions": run.regressions,
    }


def _print(run: _Run, *, compared: bool) -> None:
    print_results(run.cases)
    for name, score in run.scores.items():
        print_scores(name, score)
    if compared:
        print_comparison(run.changes, run.texts)
    _print_risks(run.cases)
    for regression in run.regressions:
        out.print(f"[bold red]WORSE[/] {escape(regression)}")
    passed = sum(1 for _, result in run.cases if not result.failures)
    gaps = sum(1 for _, result in run.cases if result.gap)
    summary = f"{passed} passed, {run.failed} failed, {gaps} known gaps; {run.texts} texts in {run.seconds:.1f} s"
    out.print(summary)


def _print_risks(cases: list[tuple[str, CaseResult]]) -> None:
    held: dict[str, list[bool]] = {}
    for _, result in cases:
        for risk in (*result.case.owasp, *result.case.asi, *result.case.atlas):
            held.setdefault(risk, []).append(not result.failures)
    if not held:
        return
    table = listing("risk", "held", "of")
    for risk in sorted(held):
        table.add_row(risk, str(sum(held[risk])), str(len(held[risk])))
    out.print(table)
