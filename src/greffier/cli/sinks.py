"""``greffier sinks``: where copies of the evidence go, whether they arrive, and a test event to see it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from greffier.adapters.sinks.build import BadSink, build_sink
from greffier.app.recording import operator, record_act
from greffier.app.stores import open_progress, open_reader
from greffier.audit.export.notices import marked_entry
from greffier.audit.ports import JournalUnavailable
from greffier.audit.progress import Progress
from greffier.audit.sink_settings import SinkSettings
from greffier.audit.sinks import Parcel, Sink, SinkRejected, SinkUnavailable, write_parcel
from greffier.cli.output import Exit, JsonOption, fail, out, print_json
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.ids import new_id

app = typer.Typer(help="Where copies of the evidence go: SIEM, collectors, streams, files.", no_args_is_help=True)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]


@app.command("list")
def list_sinks(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """List the sinks of the workspace."""
    rows = [
        {
            "name": name,
            "kind": sink.kind,
            "format": sink.format or ("ecs" if sink.kind == "elastic" else "ocsf"),
            "to": sink.url or sink.path or "",
            "topic": sink.topic or "",
            "events": list(sink.events),
            "at_least": sink.at_least,
        }
        for name, sink in _snapshot(workspace, as_json=as_json).workspace.sinks.items()
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("no sinks; add them under 'sinks:' in greffier.yaml")
    for row in rows:
        only = f", only {' '.join(row['events'])}" if row["events"] else ""
        out.print(f"{row['name']:20} {row['kind']:10} {row['format']:8} {row['to']} {row['topic']}{only}", markup=False)


@app.command("test")
def try_sink(
    name: Annotated[str, typer.Argument(help="Which sink.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Send one test event (GW-9000, sequence 0) and wait for the acknowledgement. The test itself is on record."""
    snapshot = _snapshot(workspace, as_json=as_json)
    settings = _sink(snapshot, name, as_json=as_json)
    paths = WorkspacePaths(workspace)
    try:
        sink, writer = build_sink(name, settings, paths.root)
    except BadSink as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)
    identifier = new_id("evt")
    try:
        record_act(paths, "sink.test", f"sink:{name}", details={"event": identifier})
    except JournalUnavailable as error:
        fail(f"the test cannot be recorded, so it is not made: {error}", code=Exit.UNAVAILABLE, as_json=as_json)
    entry = marked_entry(identifier, SystemClock().wall_ms(), snapshot.workspace.name, operator(paths))
    try:
        asyncio.run(_deliver(sink, write_parcel(entry, writer), settings.timeout_s))
    except (SinkUnavailable, SinkRejected) as error:
        fail(f"{name} did not take the test event: {error}", "Correct the sink or its peer.", as_json=as_json)
    except TimeoutError:
        fail(f"{name} did not acknowledge within {settings.timeout_s:g} s", "See its peer's log.", as_json=as_json)
    if as_json:
        print_json({"sink": name, "event": identifier, "code": entry.code.code, "acknowledged": True})
        return
    out.print(f"{name} acknowledged the test event {identifier} ({entry.code.code})", markup=False)


@app.command("status")
def status(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show how far each sink is. The exit code is 1 when one of them gets nothing."""
    snapshot = _snapshot(workspace, as_json=as_json)
    paths = WorkspacePaths(workspace)
    rows = [_status(paths, name, as_json=as_json) for name in snapshot.workspace.sinks]
    if as_json:
        print_json(rows)
    for row in rows if not as_json else ():
        state = f"gets nothing since {row['error_since']}: {row['error']}" if row["error"] else "ok"
        refused = f", {row['rejected']} refused for good" if row["rejected"] else ""
        how_far = f"cursor {row['cursor']}, lag {row['lag']}, {row['delivered']} delivered{refused}"
        out.print(f"{row['name']:20} {how_far}; {state}", markup=False)
    if any(row["error"] for row in rows):
        raise typer.Exit(int(Exit.FAILED))


@app.command("rejected")
def rejected(
    name: Annotated[str, typer.Argument(help="Which sink.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 100,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List what a sink refused for good, with its reasons."""
    _sink(_snapshot(workspace, as_json=as_json), name, as_json=as_json)
    try:
        state = open_progress(WorkspacePaths(workspace), name)
        lines = state.rejected(limit)
        state.close()
    except SinkUnavailable as error:
        fail(str(error), code=Exit.UNAVAILABLE, as_json=as_json)
    if as_json:
        print_json([msgspec.to_builtins(line) for line in lines])
        return
    for line in lines:
        out.print(f"{line.seq:10} {line.code} {line.id}: {line.reason}", markup=False)
    if not lines:
        out.print(f"{name} refused nothing")


def _status(paths: WorkspacePaths, name: str, *, as_json: bool) -> dict[str, Any]:
    size = 0
    try:
        state = open_progress(paths, name)
        progress = state.load() or Progress()
        state.close()
        reader = open_reader(paths)
        size = reader.size()
        reader.close()
    except SinkUnavailable as error:
        fail(str(error), code=Exit.UNAVAILABLE, as_json=as_json)
    except JournalUnavailable:  # nothing was ever recorded
        progress = Progress()
    return {
        "name": name,
        "cursor": progress.cursor,
        "lag": max(0, size - progress.cursor),
        "delivered": progress.delivered,
        "rejected": progress.rejected,
        "last_delivery": _time(progress.delivered_ms),
        "checkpoint": progress.checkpoint,
        "error": progress.error,
        "error_since": _time(progress.error_ms) if progress.error else "",
    }


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time_ms else ""


async def _deliver(sink: Sink, parcel: Parcel, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await sink.probe()
            await sink.send([parcel])
    finally:
        await sink.close()


def _snapshot(workspace: Path, *, as_json: bool) -> Snapshot:
    try:
        return load_snapshot(WorkspacePaths(workspace))
    except ConfigError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)


def _sink(snapshot: Snapshot, name: str, *, as_json: bool) -> SinkSettings:
    found = snapshot.workspace.sinks.get(name)
    if found is None:
        known = ", ".join(snapshot.workspace.sinks) or "none"
        fail(f"there is no sink called '{name}'", f"Known: {known}.", code=Exit.USAGE, as_json=as_json)
    return found
