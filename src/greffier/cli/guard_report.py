"""How ``greffier guard test`` reports: tables, JSON and JUnit."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.markup import escape
from rich.table import Table

from greffier.cli.output import out
from greffier.guardrails.scoring import Counts, Score, wilson
from greffier.guardrails.trial import CaseResult

_SHOWN = 20
_WIDE = 110


class _Change(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def before(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def rule_before(self) -> str: ...
    @property
    def rule_after(self) -> str: ...


def print_results(cases: list[tuple[str, CaseResult]]) -> None:
    """Cases that did not end as expected."""
    for file, result in cases:
        if not result.failures:
            continue
        mark = "[yellow]GAP [/]" if result.gap else "[bold red]FAIL[/]"
        for failure in result.failures:
            out.print(f"{mark} {escape(file)}: {escape(result.case.name)}: {escape(failure)}")
        if result.gap:
            out.print(f"     {escape(result.case.known_gap)}")


def print_scores(name: str, score: Score) -> None:
    """Recall, precision and false alarms per detector, type and language; then examples of what went wrong."""
    rows = score.rows()
    kinds = sorted({kind for (_, kind, _), _ in rows})
    measures = {measure for (measure, _, _), _ in rows}
    names = ["detector"] * (len(measures) > 1) + ["type"] * (len(kinds) > 1)  # a column that says one thing says none
    heading = f"[bold]{escape(name)}[/]" + (f", {escape(kinds[0])}" if len(kinds) == 1 else "")
    out.print(f"{heading} [dim](n: to be found + harmless; 95 % intervals in brackets)[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in (*names, "lang"):
        table.add_column(title, no_wrap=True)
    for title in ("n", "recall", "precision", "false alarms"):
        table.add_column(title, justify="right", no_wrap=True)
    for (measure, kind, language), counts in rows:
        cells = {"detector": measure, "type": kind}
        table.add_row(
            *(cells[title] for title in names),
            language,
            f"{counts.positives}+{counts.negatives}",
            _share(counts.found, counts.positives),
            "-" if counts.precision is None else f"{counts.precision:.3f}",
            _share(counts.flagged, counts.negatives),
        )
    out.print(table, width=max(out.width, _WIDE), crop=False)
    for confusion in score.confusions:
        line = f"{confusion.what} {confusion.type} {confusion.lang} {confusion.row}: {printable(confusion.excerpt)}"
        out.print(f"[dim]{escape(line)}[/]")


def _share(hits: int, of: int) -> str:
    if not of:
        return "-"
    low, high = wilson(hits, of)
    return f"{hits / of:.3f} ({low:.2f}-{high:.2f})"


def score_json(score: Score) -> dict[str, Any]:
    """A corpus for scripts."""
    return {
        "measures": [
            {"detector": measure, "type": kind, "lang": language, **_counts_json(counts)}
            for (measure, kind, language), counts in score.rows()
        ],
        "confusions": [
            {"what": c.what, "type": c.type, "row": c.row, "lang": c.lang, "excerpt": c.excerpt}
            for c in score.confusions
        ],
    }


def _counts_json(counts: Counts) -> dict[str, Any]:
    return {
        "positives": counts.positives,
        "found": counts.found,
        "negatives": counts.negatives,
        "flagged": counts.flagged,
        "precision": counts.precision,
        "recall": counts.recall,
        "recall_interval": wilson(counts.found, counts.positives) if counts.positives else None,
        "false_positive_rate": counts.false_positive_rate,
        "false_positive_interval": wilson(counts.flagged, counts.negatives) if counts.negatives else None,
    }


def print_comparison(changes: Sequence[_Change], texts: int) -> None:
    """What would change against the other policy version."""
    out.print(f"{len(changes)} of {texts} texts would be treated differently")
    for (before, after), count in Counter((c.before, c.after) for c in changes).most_common():
        out.print(f"  {before} -> {after}: {count}")
    for change in changes[:_SHOWN]:
        rules = f"{change.rule_before or '-'} -> {change.rule_after or '-'}"
        out.print(f"[dim]  {escape(change.name)}: {change.before} -> {change.after} ({escape(rules)})[/]")
    if len(changes) > _SHOWN:
        out.print(f"[dim]  ... {len(changes) - _SHOWN} more; --json lists all[/]")


def comparison_json(changes: Sequence[_Change]) -> list[dict[str, str]]:
    """The same for scripts."""
    return [
        {
            "name": c.name,
            "before": c.before,
            "after": c.after,
            "rule_before": c.rule_before,
            "rule_after": c.rule_after,
        }
        for c in changes
    ]


def junit(cases: list[tuple[str, CaseResult]], scores: Mapping[str, Score], worse: list[str], seconds: float) -> str:
    """A JUnit report: a known gap is a skipped test, a corpus one with its figures, a regression a failed one."""
    lines = []
    for file, result in cases:
        name = f'  <testcase classname="{_xml(file)}" name="{_xml(result.case.name)}"'
        if not result.failures:
            lines.append(f"{name}/>")
        elif result.gap:
            lines.append(f'{name}><skipped message="{_xml(result.case.known_gap)}"/></testcase>')
        else:
            lines.append(f'{name}><failure message="{_xml("; ".join(result.failures))}"/></testcase>')
    for corpus, score in scores.items():
        figures = "; ".join(
            f"{measure} {kind}: recall {_share(counts.found, counts.positives)}, "
            f"false alarms {_share(counts.flagged, counts.negatives)}"
            for (measure, kind, language), counts in score.rows()
            if language == "*"
        )
        lines.append(
            f'  <testcase classname="corpus" name="{_xml(corpus)}"><system-out>{_xml(figures)}</system-out></testcase>'
        )
    for sentence in worse:
        name = sentence.partition(":")[0]
        lines.append(
            f'  <testcase classname="baseline" name="{_xml(name)}"><failure message="{_xml(sentence)}"/></testcase>'
        )
    failed = sum(1 for line in lines if "<failure" in line)
    skipped = sum(1 for line in lines if "<skipped" in line)
    head = f'<testsuite name="greffier guard test" tests="{len(lines)}" failures="{failed}" skipped="{skipped}"'
    head += f' time="{seconds:.3f}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *lines, "</testsuite>", ""])


def _xml(text: str) -> str:
    return html.escape(printable(text), quote=True)


def printable(text: str) -> str:
    """The text without what could steer a terminal or break XML."""
    return "".join(char if char.isprintable() else " " for char in text)
