"""``greffier review``: decide about requests that a screen escalated."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import typer
from rich.markup import escape

from greffier.app.recording import operator, record_act
from greffier.app.stores import open_content, open_reviews
from greffier.audit.ports import ContentUnavailable, JournalUnavailable
from greffier.cli.guard_report import printable
from greffier.cli.output import Exit, JsonOption, fail, listing, out, print_json
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.guardrails.reviews import Review, ReviewConflict, ReviewNotFound, ReviewsUnavailable
from greffier.storage.reviews import SqlReviewStore

app = typer.Typer(help="Decide about requests that a screen escalated.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
ReviewId = Annotated[str, typer.Argument(help="As 'greffier review list' shows it.", metavar="ID")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stands in the record.")]


@app.command("list")
def list_reviews(
    workspace: WorkspaceOption = Path(),
    everything: Annotated[bool, typer.Option("--all", help="Decided and expired ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List reviews that wait for a decision, the oldest first. Shows no content."""
    now_ms = SystemClock().wall_ms()
    store = _store(workspace, as_json=as_json)
    try:
        reviews = [r for r in store.list(undecided=not everything) if everything or r.status(now_ms) == "pending"]
    except ReviewsUnavailable as error:
        _unavailable(error, as_json=as_json)
    finally:
        store.close()
    if as_json:
        print_json([_summary(review, now_ms) for review in reviews])
        return
    table = listing("review", "status", "deadline", "use case", "by", "rule", "found")
    for review in reviews:
        found = ", ".join(f"{line.type}x{line.count}" for line in review.found[:3])
        table.add_row(
            review.id, review.status(now_ms), _time(review.deadline_ms), review.use_case, review.principal,
            review.rule, found,
        )  # fmt: skip
    out.print(table if reviews else "nothing waits for a decision")


@app.command()
def show(
    review_id: ReviewId,
    workspace: WorkspaceOption = Path(),
    full: Annotated[bool, typer.Option("--full", help="The whole request instead of the redacted preview.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what was found and the request, redacted unless --full. That it was read is recorded first."""
    review = _get(workspace, review_id, as_json=as_json)
    part = "input" if full else "preview"
    _record(workspace, "review.read", review, "", part=part, as_json=as_json)
    try:
        content = open_content(WorkspacePaths(workspace))
        try:
            text = content.get(review.tenant, review.parts[part])[0].decode()
        finally:
            content.close()
    except ContentUnavailable as error:
        fail(str(error), "Decide by what was found, or let it expire.", code=Exit.UNAVAILABLE, as_json=as_json)
    now_ms = SystemClock().wall_ms()
    if as_json:
        print_json({**_summary(review, now_ms), part: msgspec.json.decode(text) if full else text})
        return
    for name, value in _summary(review, now_ms).items():
        if name != "found" and value not in {"", 0}:
            out.print(f"[bold]{name}[/] {escape(str(value))}")
    table = listing("found", "count", "score", "action", "detector rule")
    for line in review.found:
        table.add_row(line.type, str(line.count), f"{line.score:.2f}", line.action or "-", line.rule)
    out.print(table)
    out.print("\n".join(printable(line) for line in text.split("\n")), markup=False)


@app.command()
def approve(
    review_id: ReviewId,
    reason: ReasonOption,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Let exactly this request of exactly this caller pass, once."""
    _decide(workspace, review_id, "approved", reason, as_json=as_json)


@app.command()
def reject(
    review_id: ReviewId,
    reason: ReasonOption,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Refuse the request for good."""
    _decide(workspace, review_id, "rejected", reason, as_json=as_json)


def _decide(
    workspace: Path, review_id: str, decision: Literal["approved", "rejected"], reason: str, *, as_json: bool
) -> None:
    if not reason.strip():
        fail("a decision needs a reason", "Say why: --reason TEXT.", code=Exit.USAGE, as_json=as_json)
    review = _get(workspace, review_id, as_json=as_json)
    reviewer, now_ms = operator(WorkspacePaths(workspace)), SystemClock().wall_ms()
    if review.principal == reviewer:  # before it is recorded; the database refuses it once more
        fail("whoever asked cannot decide", "Let somebody else decide.", as_json=as_json)
    if review.status(now_ms) != "pending":
        fail(f"the review is {review.status(now_ms)}", as_json=as_json)
    action = "review.approve" if decision == "approved" else "review.reject"
    _record(workspace, action, review, reason, as_json=as_json)
    store = _store(workspace, as_json=as_json)
    try:
        decided = store.decide(review_id, decision, by=reviewer, reason=reason, now_ms=now_ms)
    except ReviewConflict as error:
        fail(str(error), as_json=as_json)
    except ReviewsUnavailable as error:
        _unavailable(error, as_json=as_json)
    finally:
        store.close()
    if as_json:
        print_json(_summary(decided, now_ms))
    else:
        out.print(f"{decision} {review_id}")


def _store(workspace: Path, *, as_json: bool) -> SqlReviewStore:
    paths = WorkspacePaths(workspace)
    if not paths.settings.is_file():
        fail(f"{workspace} is not a workspace", "Name one with --workspace.", code=Exit.CONFIG, as_json=as_json)
    paths.ensure()
    try:
        return open_reviews(paths)
    except ReviewsUnavailable as error:
        _unavailable(error, as_json=as_json)


def _get(workspace: Path, review_id: str, *, as_json: bool) -> Review:
    store = _store(workspace, as_json=as_json)
    try:
        return store.get(review_id)
    except ReviewNotFound as error:
        fail(str(error), "See 'greffier review list --all'.", as_json=as_json)
    except ReviewsUnavailable as error:
        _unavailable(error, as_json=as_json)
    finally:
        store.close()


def _record(workspace: Path, action: str, review: Review, reason: str, *, part: str = "", as_json: bool) -> None:
    details: dict[str, str | int | bool] = {
        "request_id": review.request_id,
        "use_case": review.use_case,
        "tenant": review.tenant,
        "digest": review.digest,
    }
    if part:
        details["part"] = part
    try:
        record_act(WorkspacePaths(workspace), action, f"review:{review.id}", reason=reason, details=details)
    except JournalUnavailable as error:
        fail(f"it cannot be recorded, so nothing was done: {error}", code=Exit.UNAVAILABLE, as_json=as_json)


def _unavailable(error: ReviewsUnavailable, *, as_json: bool) -> NoReturn:
    fail(str(error), "Check the stores with 'greffier db status'.", code=Exit.UNAVAILABLE, as_json=as_json)


def _summary(review: Review, now_ms: int) -> dict[str, Any]:
    return {
        "id": review.id,
        "status": review.status(now_ms),
        "code": review.code,
        "rule": review.rule,
        "tenant": review.tenant,
        "use_case": review.use_case,
        "principal": review.principal,
        "request_id": review.request_id,
        "opened": _time(review.opened_ms),
        "deadline": _time(review.deadline_ms),
        "decided_by": review.decided_by,
        "reason": review.reason,
        "used_by": review.used_by,
        "found": [msgspec.to_builtins(line) for line in review.found],
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
