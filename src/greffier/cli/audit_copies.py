"""Commands of ``greffier audit`` about the copies of the log under a retention lock: make one now, and compare."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.copying import Keeper
from greffier.app.recording import record_act
from greffier.audit.checkpoint import BadCheckpoint, Checkpoint
from greffier.audit.copies import CopyUnavailable
from greffier.audit.copy_check import CopyCheck, CopyReport
from greffier.audit.ports import JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.cli.output import Exit, JsonOption, err, fail, out, print_json
from greffier.cli.remedies import Remedy, explaining
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
NameOption = Annotated[str, typer.Option("--name", help="Only this one of the workspace's copies.")]
_STALE_AFTER = 3  # intervals
_STALE_LEAST_S = 300
_MS = 1000


def copy_log(workspace: WorkspaceOption = Path(), name: NameOption = "", as_json: JsonOption = False) -> None:
    """Copy new tiles and the newest checkpoint to each locked bucket now, without waiting for its interval."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        keepers, _ = _keepers(paths, name, as_json=as_json)
        for keeper in keepers:
            record_act(paths, "audit.copy", f"copy:{keeper.name}")
        done = asyncio.run(_copied(keepers))
    rows = [
        {"name": keeper.name, "size": keeper.copied.size, "objects": keeper.copied.objects, "new": head is not None}
        for keeper, head in zip(keepers, done, strict=True)
    ]
    if as_json:
        print_json(rows)
    for row in rows if not as_json else ():
        what = "copied" if row["new"] else "nothing new;"
        out.print(f"{row['name']}: {what} {row['size']} events, {row['objects']} objects so far", markup=False)


def check_copies(
    workspace: WorkspaceOption = Path(),
    name: NameOption = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the copied checkpoints, for 'verify --kept'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the log on disk with its locked copies: cut, rewritten, forked, rolled back, deleted? Exit 1 if so.

    Run it on a machine of the auditor's, with a key that may read the bucket. The check itself is on record.
    """
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        keepers, audit = _keepers(paths, name, as_json=as_json)
        reports = asyncio.run(_checked(paths, keepers, audit))
        if output is not None:
            for keeper, report in zip(keepers, reports, strict=True):
                _keep(output / keeper.name, report)
    for keeper, report in zip(keepers, reports, strict=True):
        _record(paths, keeper, report)
    if as_json:
        print_json([_row(keeper, report) for keeper, report in zip(keepers, reports, strict=True)])
    else:
        for keeper, report in zip(keepers, reports, strict=True):
            _print(keeper, report)
    if any(report.findings for report in reports):
        raise typer.Exit(int(Exit.FAILED))


def _keepers(paths: WorkspacePaths, name: str, *, as_json: bool) -> tuple[list[Keeper], AuditSettings]:
    workspace = load_snapshot(paths).workspace
    wanted = {key: copy for key, copy in workspace.copies.items() if name in {"", key}}
    if not wanted:
        known = ", ".join(workspace.copies) or "none; add one under 'copies:' in greffier.yaml"
        fail(f"there is no copy '{name}'" if name else "there are no copies", f"Known: {known}.", code=Exit.CONFIG,
             as_json=as_json)  # fmt: skip
    clock = SystemClock()
    return [Keeper(key, copy, workspace.audit, paths, clock) for key, copy in wanted.items()], workspace.audit


async def _copied(keepers: list[Keeper]) -> list[Checkpoint | None]:
    try:
        done = []
        for keeper in keepers:
            await keeper.store.probe()
            done.append(await keeper.once())
        return done
    finally:
        for keeper in keepers:
            await keeper.store.close()


async def _checked(paths: WorkspacePaths, keepers: list[Keeper], audit: AuditSettings) -> list[CopyReport]:
    verifiers = known_verifiers(paths)
    try:
        return [
            await CopyCheck(
                TileStore(paths.log),
                keeper.store,
                verifiers,
                audit.origin,
                max(_STALE_AFTER * keeper.settings.every_s, _STALE_LEAST_S) * _MS,
            ).run(SystemClock().wall_ms())
            for keeper in keepers
        ]
    finally:
        for keeper in keepers:
            await keeper.store.close()


def _keep(folder: Path, report: CopyReport) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, note in report.notes:
        (folder / name).write_text(note, encoding="utf-8")


def _record(paths: WorkspacePaths, keeper: Keeper, report: CopyReport) -> None:
    """Record the result; a journal that cannot be written does not withhold the findings."""
    details: dict[str, str | int | bool] = {"ok": not report.findings, "findings": len(report.findings)}
    try:
        record_act(paths, "audit.verify", f"copy:{keeper.name}", details=details)
    except JournalUnavailable as error:
        err.print(f"warning: this check could not be recorded: {error}", markup=False)


def _row(keeper: Keeper, report: CopyReport) -> dict[str, Any]:
    newest = report.newest
    return {
        "name": keeper.name,
        "ok": not report.findings,
        "checkpoints": report.checkpoints,
        "size": newest.size if newest else 0,
        "time": _iso(newest.time_ms) if newest else "",
        "locked_until": _iso(report.locked_until_ms) if report.locked_until_ms else "",
        "error": keeper.copied.error,
        "findings": [msgspec.to_builtins(finding) for finding in report.findings],
    }


def _print(keeper: Keeper, report: CopyReport) -> None:
    mark = "[bold red]FAILED[/]" if report.findings else "[bold green]OK[/]"
    if report.newest is None:
        out.print(f"{mark} {keeper.name}")
    else:
        newest = report.newest
        until = _iso(report.locked_until_ms) if report.locked_until_ms else "not at all"
        out.print(
            f"{mark} {keeper.name}: {report.checkpoints} copied checkpoints; the newest of {newest.size} events,"
            f" {_iso(newest.time_ms)}, locked until {until}"
        )
    for finding in report.findings:
        out.print(f"  {finding.kind}: {finding.message}", markup=False)
    if keeper.copied.error:
        out.print(f"  nothing is copied at present: {keeper.copied.error}", markup=False)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_explained = partial(
    explaining,
    remedies=(
        Remedy(
            (BadLog, BadCheckpoint),
            "Nothing was copied over it. Ask the log's operator, and compare with 'audit copies'.",
        ),
        Remedy(CopyUnavailable, "Check the bucket, its rights and the network.", Exit.UNAVAILABLE),
        Remedy((JournalUnavailable, OSError), "Check the file and its permissions.", Exit.UNAVAILABLE),
    ),
)


COMMANDS: dict[str, Callable[..., None]] = {"copy": copy_log, "copies": check_copies}
"""Commands by name; ``greffier audit`` takes them up."""
