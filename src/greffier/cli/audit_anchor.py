"""Commands of ``greffier audit`` that tie the log to others: serve, witness and timestamp it, rotate its key."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from greffier.adapters.anchors.fetch import Unreachable
from greffier.adapters.anchors.logs import FolderLog, HttpLog
from greffier.adapters.anchors.timestamps import BadTimestamp, timestamp, verify_timestamp
from greffier.adapters.signers.checkpoint_file import UnusableKey, known_verifiers, rotate
from greffier.adapters.signers.witness_key import open_witness_key
from greffier.app.recording import record_act
from greffier.audit.checkpoint import BadCheckpoint, Verifier, verify
from greffier.audit.cosignatures import WitnessKey, cosigners, key_of, merged
from greffier.audit.ports import JournalUnavailable
from greffier.audit.proofs import newest
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.witness import Fork, Witness, WitnessFolder
from greffier.cli.output import Exit, JsonOption, err, fail, out, print_json
from greffier.cli.remedies import Remedy, explaining
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.gateway.log_files import LogFiles

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
KeysOption = Annotated[Path, typer.Option("--keys", help="The log's verifier keys, one a line.")]
CaOption = Annotated[Path, typer.Option("--ca", help="Certificates the time-stamping authority leads to, PEM.")]
_LOG_FOLDER = "timestamps"


def serve_log(
    *,
    workspace: WorkspaceOption = Path(),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port.", min=0, max=65535)] = 8788,
    entries: Annotated[
        bool, typer.Option("--entries", help="Serve the records too (no content, but who used what and when).")
    ] = False,
) -> None:
    """Serve the log read-only at /log/ for witnesses and tlog tools: checkpoint and tiles, without credentials."""
    paths = WorkspacePaths(workspace)
    if not paths.log.is_dir():
        fail(f"{workspace!s} has no log", "Name the workspace with --workspace.", code=Exit.CONFIG)
    config = uvicorn.Config(
        LogFiles(paths.log, entries=entries), host=host, port=port, log_level="warning", access_log=False
    )
    out.print(f"serving the log at http://{host}:{port}/log/checkpoint", markup=False)
    asyncio.run(uvicorn.Server(config).serve())


def witness_log(
    *,
    log: Annotated[str, typer.Option("--log", help="Address that ends in /log, or a folder.")],
    keys: KeysOption,
    origin: Annotated[str, typer.Option("--origin", help="Name of the log in its checkpoints.")],
    state: Annotated[Path, typer.Option("--state", help="Folder of the witness: its key and its memory.")],
    name: Annotated[str, typer.Option("--name", help="Name of the witness, e.g. witness.example.com.")],
    every: Annotated[int, typer.Option("--every", help="Look again after so many seconds; 0: once.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Follow a log, cosign what grew out of what was seen before, and keep the proof when it did not."""
    with _explained(as_json):
        private = open_witness_key(state / "witness.pem")
        folder = WitnessFolder(state)
        source = HttpLog(log) if "://" in log else FolderLog(TileStore(Path(log)))
        witness = Witness(source, _verifiers(keys), origin, folder, name, private)
        vkey = key_of(name, private).vkey
        while True:
            try:
                seen = witness.look(SystemClock().wall_ms())
            except (BadLog, BadCheckpoint) as error:
                if not every or isinstance(error, Fork):
                    raise
                err.print(f"not cosigned: {error}", markup=False)
            else:
                if as_json:
                    print_json({"size": seen.checkpoint.size, "note": str(folder.path(origin)), "key": vkey})
                else:
                    out.print(f"cosigned {seen.checkpoint.size} events; {folder.path(origin)}", markup=False)
            if not every:
                return
            time.sleep(every)


def witness_key(
    state: Annotated[Path, typer.Option("--state", help="Folder of the witness.")],
    name: Annotated[str, typer.Option("--name", help="Name of the witness.")],
    as_json: JsonOption = False,
) -> None:
    """Print the witness's public key (made at first use), for those who will check its cosignatures."""
    with _explained(as_json):
        vkey = key_of(name, open_witness_key(state / "witness.pem")).vkey
    if as_json:
        print_json({"key": vkey})
    else:
        out.print(vkey, markup=False)


def check_cosignatures(
    notes: Annotated[list[Path], typer.Argument(help="Cosigned notes of one checkpoint.")],
    *,
    keys: KeysOption,
    witnesses: Annotated[Path, typer.Option("--witnesses", help="Keys of the witnesses, one a line.")],
    need: Annotated[int, typer.Option("--need", help="How many of them must have cosigned.", min=1)] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write one note with all signatures.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that enough witnesses cosigned a checkpoint. Exit 1 if they did not."""
    with _explained(as_json):
        note = merged([path.read_text(encoding="utf-8") for path in notes])
        head = verify(note, _verifiers(keys), None)
        known = [WitnessKey.parse(line) for line in _lines(witnesses)]
        found = cosigners(note, known)
        if output is not None:
            output.write_text(note, encoding="utf-8")
    enough = len(found) >= need
    if as_json:
        said = [{"name": one.name, "time": _iso(one.time_s)} for one in found]
        print_json({"ok": enough, "size": head.size, "need": need, "cosigned": said})
    else:
        for one in found:
            out.print(f"  {one.name} at {_iso(one.time_s)}", markup=False)
        mark = "[bold green]OK[/]" if enough else "[bold red]FAILED[/]"
        out.print(f"{mark} {len(found)} of {len(known)} witnesses cosigned {head.size} events; {need} are needed")
    if not enough:
        raise typer.Exit(int(Exit.FAILED))


def timestamp_log(
    *,
    tsa: Annotated[str, typer.Option("--tsa", help="Address of a time-stamping authority (RFC 3161).")],
    ca: CaOption,
    untrusted: Annotated[Path | None, typer.Option("--untrusted", help="Its intermediate certificates.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Have the newest checkpoint timestamped; note and answer are kept in .greffier/log/timestamps/."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        store = TileStore(paths.log)
        sealed = newest(store, known_verifiers(paths))
        if sealed is None:
            raise BadLog("there is no checkpoint yet")
        note = sealed.note.encode()
        answer = timestamp(tsa, note, ca, untrusted)
        moment = verify_timestamp(note, answer, ca, untrusted)
        folder = paths.log / _LOG_FOLDER
        kept = folder / f"{sealed.checkpoint.size}-{sealed.checkpoint.time_ms}.tsr"
        record_act(paths, "audit.timestamp", tsa, details={"size": sealed.checkpoint.size, "file": kept.name})
        store.replace(kept.with_suffix(".note"), note)
        store.replace(kept, answer)
        store.flush()
    if as_json:
        print_json({"size": sealed.checkpoint.size, "time": moment, "file": str(kept)})
    else:
        out.print(f"{sealed.checkpoint.size} events existed at {moment}; {kept}", markup=False)


def check_timestamps(
    *,
    ca: CaOption,
    untrusted: Annotated[Path | None, typer.Option("--untrusted", help="Intermediate certificates.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Verify every kept timestamp with openssl, and the notes they are about. Exit 1 if one does not hold."""
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        verifiers = known_verifiers(paths)
        found = []
        for answer in sorted((paths.log / _LOG_FOLDER).glob("*.tsr")):
            note = answer.with_suffix(".note").read_bytes()
            head = verify(note.decode("utf-8", "replace"), verifiers, None)
            moment = verify_timestamp(note, answer.read_bytes(), ca, untrusted)
            found.append({"size": head.size, "time": moment, "file": answer.name})
    if as_json:
        print_json(found)
        return
    for one in found:
        out.print(f"[green]OK[/] {one['size']} events at {one['time']}")
    out.print(f"{len(found)} timestamps hold")


def rotate_key(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Begin a new key file for the log and destroy the old private key; old checkpoints stay verifiable.

    A running gateway signs with the old key until it is started again. Tell auditors and witnesses the new key.
    """
    with _explained(as_json):
        paths = WorkspacePaths(workspace)
        settings = load_snapshot(paths).workspace.audit
        if settings.hsm is not None:
            fail(
                "the log's key is in a token",
                "Make another key there and write its label into audit.hsm.key.",
                code=Exit.CONFIG,
                as_json=as_json,
            )
        record_act(paths, "audit.rotate_key", settings.key_name)
        fresh = rotate(paths, settings.key_name)
    if as_json:
        print_json({"key": fresh.vkey})
    else:
        out.print(fresh.vkey, markup=False)


# --- helpers


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _verifiers(path: Path) -> list[Verifier]:
    return [Verifier.parse(line) for line in _lines(path)]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


_explained = partial(
    explaining,
    remedies=(
        Remedy(
            Fork,
            "Both notes are kept in the witness's folder: they prove it. Tell whoever relies on this log.",
            says="the log contradicts itself: {}",
        ),
        Remedy((BadLog, BadCheckpoint, BadTimestamp), "Nothing was signed or kept. Look at the log's operator first."),
        Remedy(Unreachable, "Check the address and the network.", Exit.UNAVAILABLE),
        Remedy(UnusableKey, "Correct the key file or its mode.", Exit.UNAVAILABLE),
        Remedy((JournalUnavailable, OSError), "Check the file and its permissions.", Exit.UNAVAILABLE),
    ),
)


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve_log,
    "witness": witness_log,
    "witness-key": witness_key,
    "cosigned": check_cosignatures,
    "timestamp": timestamp_log,
    "timestamps": check_timestamps,
    "rotate-key": rotate_key,
}
"""Commands by name; ``greffier audit`` takes them up."""
