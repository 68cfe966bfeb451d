"""``greffier audit``: explain, verify, prove, list and export the evidence.

Everything works while the gateway runs. Every reading of records is itself recorded, before anything is shown.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from greffier.adapters.secrets.references import SecretMissing
from greffier.adapters.signers.checkpoint_file import UnusableKey, known_verifiers
from greffier.app.recording import record_act
from greffier.app.sealing import make_sealer
from greffier.app.stores import open_reader
from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, verify
from greffier.audit.explain import Explanation, Seal, explain, headline
from greffier.audit.ports import JournalUnavailable, Sequenced, SignerUnavailable
from greffier.audit.proofs import newest, prove, prove_growth
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.verification import CLOCK_STEP_MS, Report, Verification, first_at
from greffier.cli import audit_anchor, audit_copies, reveal
from greffier.cli.output import Exit, JsonOption, err, out, print_json
from greffier.cli.remedies import Remedy, Wrong, explaining
from greffier.config.kept import is_kept
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.core.events import parse
from greffier.storage.stores import Reader

app = typer.Typer(help="Explain, verify, prove and export the evidence.", no_args_is_help=True)
for _name, _command in (audit_anchor.COMMANDS | audit_copies.COMMANDS).items():
    app.command(_name)(_command)
app.add_typer(reveal.app, name="reveal")

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
RequestId = Annotated[str, typer.Argument(help="The x-request-id of the answer.", metavar="REQUEST_ID")]


@app.command()
def show(request_id: RequestId, workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Explain one answer: who asked, for what purpose, what was found, which rules and model, at what cost."""
    with _explained(as_json):
        paths = _paths(workspace)
        with _reader(paths) as reader:
            record_act(paths, "audit.read", f"request:{request_id}")
            rows = _records(reader, request_id)
            explanation = explain(rows, _seals(paths, rows))
    cited = str(explanation.facts.get("bundle", ""))
    kept = is_kept(paths, cited)
    if as_json:
        print_json(msgspec.to_builtins(explanation) | {"configuration": {"revision": cited, "kept": kept}})
    else:
        _print_story(explanation)
        if cited:
            how = f"greffier config show --at {cited}" if kept else "not kept on this machine"
            out.print(f"  {'Config':<9} {how}", markup=False)
    if any(line.seal == "contradicted" for line in explanation.evidence):
        raise typer.Exit(int(Exit.FAILED))


@app.command("verify")
def verify_log(
    workspace: WorkspaceOption = Path(),
    since: Annotated[str, typer.Option("--since", help="Only from this day or moment on, e.g. 2026-11-01.")] = "",
    kept: Annotated[
        list[Path] | None,
        typer.Option(
            "--kept", help="A checkpoint kept elsewhere, or a folder of them, to be consistent with; repeatable."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare journal, tiles and signed checkpoints, event by event."""
    with _explained(as_json):
        paths = _paths(workspace)
        files = [note for path in kept or () for note in (sorted(path.glob("*.note")) if path.is_dir() else [path])]
        notes = [(str(path), _read(path)) for path in files]
        with _reader(paths) as reader:
            since_seq = first_at(reader, _moment(since) - CLOCK_STEP_MS) if since else 1
            verifiers = known_verifiers(paths)
            report = Verification(reader, TileStore(paths.log), verifiers, _origin(paths), notes).run(since_seq)
    _record_verification(paths, report)
    passed = report.ok and not (strict and report.findings)
    if as_json:
        print_json(_report(report, passed))
    else:
        _print_report(report, passed)
    if not passed:
        raise typer.Exit(int(Exit.FAILED))


def _record_verification(paths: WorkspacePaths, report: Report) -> None:
    """Record the result. It shows no record, so a journal that cannot be written does not withhold the findings."""
    try:
        record_act(paths, "audit.verify", "log", details={"ok": report.ok, "findings": len(report.findings)})
    except JournalUnavailable as error:
        err.print(f"warning: this verification could not be recorded: {error}", markup=False)


@app.command("prove")
def prove_event(
    request_id: Annotated[
        str, typer.Argument(help="Prove the outcome of this request ...", metavar="[REQUEST_ID]")
    ] = "",
    seq: Annotated[int, typer.Option("--seq", help="... or the event with this number.", min=0)] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the proof; default is stdout.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a proof that one event is in the log; tools/verify_log.py checks it without Greffier."""
    with _explained(as_json):
        if bool(request_id) == bool(seq):
            raise Wrong("name either a request or --seq", "For example: greffier audit prove --seq 12.", Exit.USAGE)
        paths = _paths(workspace)
        with _reader(paths) as reader:
            record_act(paths, "audit.read", f"request:{request_id}" if request_id else f"event:{seq}")
            row = _records(reader, request_id)[-1] if request_id else _record(reader, seq)
        store = TileStore(paths.log)
        sealed = newest(store, known_verifiers(paths))
        proof = prove(row, store, sealed) if sealed else None
        if proof is None:
            raise Wrong(
                f"event {row.seq} is not sealed yet",
                "Try again in a second, or run 'greffier audit seal'.",
                Exit.FAILED,
            )
    if output is None:
        print_json(msgspec.to_builtins(proof))
        return
    output.write_bytes(msgspec.json.encode(proof) + b"\n")
    if as_json:
        print_json({"seq": proof.seq, "size": proof.size, "file": str(output)})
    else:
        out.print(f"event {proof.seq} is in the log of {proof.size} events; proof written to {output}", markup=False)


@app.command("list")
def list_events(
    workspace: WorkspaceOption = Path(),
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, newest last.", min=1, max=10_000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the newest events."""
    with _explained(as_json):
        paths = _paths(workspace)
        with _reader(paths) as reader:
            record_act(paths, "audit.list", "log", details={"limit": limit})
            size = reader.size() - 1  # without the record of this reading
            rows = reader.read(max(1, size - limit + 1), min(limit, size)) if size else []
        shown = [(row.seq, parse(row.data)) for row in rows]
    if as_json:
        print_json([{"seq": seq, "event": msgspec.to_builtins(event)} for seq, event in shown])
        return
    # Not a table: one on a narrow terminal folds every cell, and what happened would stand one syllable a line.
    lines = [("seq", "time", "tenant", "request", "event")]
    lines += [(str(seq), _iso(event.ts), event.tenant, event.request_id, headline(event)) for seq, event in shown]
    *widths, _ = (max(map(len, column)) for column in zip(*lines, strict=True))
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        out.print("  ".join([*cells, line[-1]]), markup=False)


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, one event a line.")],
    start: Annotated[str, typer.Option("--from", help="First day or moment, e.g. 2026-11-01.")] = "",
    end: Annotated[str, typer.Option("--to", help="Up to this day or moment, itself excluded.")] = "",
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write events as JSON lines: {"event": ..., "seq": N}; tools/verify_log.py compares them with the log."""
    with _explained(as_json):
        paths = _paths(workspace)
        after = _moment(start) if start else 0
        before = _moment(end) if end else 1 << 62
        with _reader(paths) as reader:
            size = reader.size()
            details: dict[str, str | int | bool] = {"from": start, "to": end, "until_seq": size}
            record_act(paths, "audit.export", str(output), details=details)
            count = _write_lines(output, _between(reader, after, before, size))
    if as_json:
        print_json({"events": count, "file": str(output)})
    else:
        out.print(f"{count} events written to {output}", markup=False)


@app.command()
def consistency(
    old: Annotated[Path, typer.Argument(help="A checkpoint kept earlier.")],
    new: Annotated[Path, typer.Argument(help="A later one, such as .greffier/log/checkpoint.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Prove that the log of the new checkpoint begins with the log of the old one: nothing was rewritten."""
    with _explained(as_json):
        paths = _paths(workspace)
        verifiers = known_verifiers(paths)
        before, after = (verify(_read(path), verifiers, None) for path in (old, new))
        if before.origin != after.origin:
            raise BadLog(f"the checkpoints are of two logs, {before.origin} and {after.origin}")
        path = prove_growth(before, after, TileStore(paths.log))
    if as_json:
        print_json({"ok": True, "old": _head(before), "new": _head(after), "path": path})
    else:
        out.print(f"OK  the first {before.size} of {after.size} events are unchanged", markup=False)


@app.command()
def seal(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Seal now what is not sealed yet; a running gateway does so every second."""
    with _explained(as_json):
        paths = _paths(workspace)
        with _reader(paths):
            sealer = make_sealer(paths, _settings(paths))
        sealed = sealer.seal_once()
        sealer.close()
    if as_json:
        print_json({"sealed": _head(sealed) if sealed else None})
    elif sealed:
        out.print(f"sealed {sealed.size} events at {_iso(sealed.time_ms)}", markup=False)
    else:
        out.print("nothing to do: everything is sealed, or a running gateway is at it", markup=False)


@app.command("public-key")
def public_key(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Print the keys that sign the log, oldest first, as tlog tools and tools/verify_log.py take them."""
    with _explained(as_json):
        verifiers = known_verifiers(_paths(workspace))
        if not verifiers:
            raise Wrong(
                "there is no key yet", "It is made when the log is first sealed: start the gateway.", Exit.FAILED
            )
    if as_json:
        print_json([{"name": key.name, "id": key.key_id.hex(), "vkey": key.vkey} for key in verifiers])
        return
    for key in verifiers:
        out.print(key.vkey, markup=False)


# --- reading


@contextmanager
def _reader(paths: WorkspacePaths) -> Iterator[Reader]:
    reader = open_reader(paths)
    try:
        yield reader
    finally:
        reader.close()


def _records(reader: Reader, request_id: str) -> list[Sequenced]:
    rows = reader.find(request_id)
    if not rows:
        raise Wrong(
            f"there is no record of request {request_id}",
            "The id is in the x-request-id header of the answer.",
            Exit.FAILED,
        )
    return rows


def _record(reader: Reader, seq: int) -> Sequenced:
    rows = reader.read(seq, 1)
    if not rows or rows[0].seq != seq:
        raise Wrong(f"there is no event {seq}", f"The journal has events 1 to {reader.size()}.", Exit.FAILED)
    return rows[0]


def _seals(paths: WorkspacePaths, rows: list[Sequenced]) -> dict[int, Seal]:
    store = TileStore(paths.log)
    seals: dict[int, Seal] = {}
    try:
        sealed = newest(store, known_verifiers(paths))
    except BadLog:
        return {row.seq: "contradicted" for row in rows}
    for row in rows:
        try:
            seals[row.seq] = "proven" if sealed and prove(row, store, sealed) else "unsealed"
        except BadLog:
            seals[row.seq] = "contradicted"
    return seals


def _between(reader: Reader, after: int, before: int, size: int) -> Iterator[Sequenced]:
    """Events dated in ``[after, before)``, among the first ``size``; neighbours may be a little out of order."""
    for row in reader.scan(first_at(reader, after - CLOCK_STEP_MS)):
        ts = parse(row.data).ts
        if row.seq > size or ts >= before + CLOCK_STEP_MS:
            return
        if after <= ts < before:
            yield row


def _write_lines(output: Path, rows: Iterator[Sequenced]) -> int:
    count = 0
    with output.open("wb") as lines:
        for row in rows:
            lines.write(b'{"event":%b,"seq":%d}\n' % (row.data, row.seq))  # the event byte for byte, as it was hashed
            count += 1
    return count


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _settings(paths: WorkspacePaths) -> AuditSettings:
    return load_snapshot(paths).workspace.audit


def _origin(paths: WorkspacePaths) -> str | None:
    """The log's name as configured; a workspace that does not load must not keep anyone from verifying its log."""
    try:
        return _settings(paths).origin
    except ConfigError:
        return None


# --- showing


def _print_story(explanation: Explanation) -> None:
    out.print(f"Request {explanation.request_id}", markup=False, style="bold")
    for heading, text in explanation.story:
        out.print(f"  [bold]{heading:<9}[/] {escape(text)}")


def _print_report(report: Report, passed: bool) -> None:
    for finding in report.findings:
        colour = "red" if finding.severity == "error" else "yellow"
        out.print(f"[{colour}]{finding.severity}[/] {finding.kind}: {escape(finding.message)}")
    out.print("[bold green]OK[/]" if passed else "[bold red]FAILED[/]")
    if report.checkpoint:
        head = _head(report.checkpoint)
        for name in ("log", "size", "root", "time"):
            out.print(f"  {name:<11} {head[name]}", markup=False)
    out.print(
        f"  compared    {report.events} events from {report.first_seq}, {report.checkpoints} checkpoints", markup=False
    )
    out.print(f"  unsealed    {report.unsealed}", markup=False)


def _report(report: Report, passed: bool) -> dict[str, Any]:
    return {
        "ok": passed,
        "checkpoint": _head(report.checkpoint) if report.checkpoint else None,
        "first_seq": report.first_seq,
        "events": report.events,
        "unsealed": report.unsealed,
        "checkpoints": report.checkpoints,
        "findings": [msgspec.to_builtins(finding) for finding in report.findings],
    }


def _head(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "log": checkpoint.origin,
        "size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode(),  # as in the signed note
        "time": _iso(checkpoint.time_ms),
    }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Wrong(f"{text!r} is not a day or moment", "Write 2026-11-01 or 2026-11-01T08:00Z.", Exit.USAGE) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


# --- errors


def _paths(workspace: Path) -> WorkspacePaths:
    paths = WorkspacePaths(workspace)
    if not paths.state.is_dir():
        remedy = "Name the workspace with --workspace; a new one has evidence once it has served or issued a key."
        raise Wrong(f"{workspace} holds no evidence: it has no .greffier folder", remedy, Exit.CONFIG)
    return paths


_explained = partial(
    explaining,
    remedies=(
        Remedy((BadLog, BadCheckpoint), "Find out what else is wrong with 'greffier audit verify'."),
        Remedy(JournalUnavailable, "Check the file .greffier/journal.db and its disk.", Exit.UNAVAILABLE),
        Remedy(SignerUnavailable, "Check that the token is present and its PIN is right.", Exit.UNAVAILABLE),
        Remedy(SecretMissing, "Set what audit.hsm.pin refers to.", Exit.CONFIG),
        Remedy(UnusableKey, "Restore the key file, or move it away to begin with a new key.", Exit.UNAVAILABLE),
        Remedy(OSError, "Check the file and its permissions.", Exit.UNAVAILABLE),
    ),
)
