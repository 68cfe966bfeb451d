"""How ``greffier guard test`` reports: tables, JSON and JUnit."""

import html
from collections import Counter
from collections.abc import Sequence
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
    """Precision, recall and false alarms per detector, type and language; then examples of what went wrong."""
    table = Table("detector", "type", "lang", "rows", box=None, pad_edge=False, title=name, title_justify="left")
    for heading in ("precision", "recall", "95 %", "false alarms", "95 % "):
        table.add_column(heading, justify="right")
    for (measure, kind, language), counts in score.rows():
        table.add_row(
            measure,
            kind,
            language,
            f"{counts.positives}+{counts.negatives}",
            _number(counts.precision),
            _number(counts.recall),
            _interval(counts.found, counts.positives),
            _number(counts.false_positive_rate),
            _interval(counts.flagged, counts.negatives),
        )
    out.print(table, width=max(out.width, _WIDE), crop=False)
    for confusion in score.confusions:
        line = f"{confusion.what} {confusion.type} {confusion.lang} {confusion.row}: {printable(confusion.excerpt)}"
        out.print(f"[dim]{escape(line)}[/]")


def _number(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def _interval(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{low:.3f}-{high:.3f}" if of else ""


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


def junit(cases: list[tuple[str, CaseResult]], worse: list[str]) -> str:
    """A JUnit report; a known gap is a skipped test, a regression a failed one."""
    lines = []
    for file, result in cases:
        name = f'  <testcase classname="{_xml(file)}" name="{_xml(result.case.name)}"'
        if not result.failures:
            lines.append(f"{name}/>")
        elif result.gap:
            lines.append(f'{name}><skipped message="{_xml(result.case.known_gap)}"/></testcase>')
        else:
            lines.append(f'{name}><failure message="{_xml("; ".join(result.failures))}"/></testcase>')
    for sentence in worse:
        name = sentence.partition(":")[0]
        lines.append(
            f'  <testcase classname="baseline" name="{_xml(name)}"><failure message="{_xml(sentence)}"/></testcase>'
        )
    failed = sum(1 for line in lines if "<failure" in line)
    skipped = sum(1 for line in lines if "<skipped" in line)
    head = f'<testsuite name="greffier guard test" tests="{len(lines)}" failures="{failed}" skipped="{skipped}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *lines, "</testsuite>", ""])


def _xml(text: str) -> str:
    return html.escape(printable(text), quote=True)


def printable(text: str) -> str:
    """The text without what could steer a terminal or break XML."""
    return "".join(char if char.isprintable() else " " for char in text)
