"""Witnesses: what they cosign, and every way of rewriting the log that they find, though its key is in wrong hands."""

import asyncio
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from greffier.adapters.anchors.logs import FolderLog, HttpLog
from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.checkpoint import BadCheckpoint, verify
from greffier.audit.cosignatures import WitnessKey, cosign, cosigners, key_of, merged
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.witness import FUTURE_MS, Fork, Witness, WitnessFolder
from greffier.cli.audit import app
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import Clock, SystemClock
from greffier.core.events import AnyEvent, parse
from greffier.gateway.log_files import LogFiles
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.journal import make_admission

SETTINGS = AuditSettings()
VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
NAME = "witness.example.com"
PRIVATE = Ed25519PrivateKey.generate()


def append(paths: WorkspacePaths, count: int) -> None:
    append_events(paths, [make_admission() for _ in range(count)])


def append_events(paths: WorkspacePaths, events: Sequence[AnyEvent]) -> None:
    async def run() -> None:
        journal = open_journal(paths, SETTINGS)
        await asyncio.gather(*(journal.append(event) for event in events))
        await journal.close()

    asyncio.run(run())


def seal(paths: WorkspacePaths, clock: Clock) -> None:
    signer = FileCheckpointSigner(log_key_path(paths), SETTINGS.key_name)
    reader = open_reader(paths)
    sealer = Sealer(reader, TileStore(paths.log), signer, known_verifiers(paths), settings=SETTINGS, clock=clock)
    assert sealer.seal_once() is not None
    sealer.close()
    reader.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def paths(tmp_path: Path, clock: ManualClock) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path / "log")
    made.ensure()
    append(made, 300)
    seal(made, clock)
    return made


def rewritten(paths: WorkspacePaths, folder: Path, count: int, clock: Clock) -> WorkspacePaths:
    """Another history, signed with the same key."""
    made = WorkspacePaths(folder)
    made.ensure()
    for path in paths.secrets.iterdir():
        shutil.copy(path, made.secrets / path.name)
    append(made, count)
    seal(made, clock)
    return made


def witness(paths: WorkspacePaths, folder: Path, source: Any = None) -> Witness:
    chosen = source or FolderLog(TileStore(paths.log))
    return Witness(chosen, known_verifiers(paths), SETTINGS.origin, WitnessFolder(folder), NAME, PRIVATE)


def test_a_log_that_grows_is_cosigned_each_time(paths: WorkspacePaths, tmp_path: Path, clock: ManualClock) -> None:
    looking = witness(paths, tmp_path / "w")
    for count in (0, 1, 250, 800):
        if count:
            clock.advance(61)
            append(paths, count)
            seal(paths, clock)
        seen = looking.look(clock.wall_ms())
        assert verify(seen.note, known_verifiers(paths), SETTINGS.origin) == seen.checkpoint
        cosigned = cosigners(seen.note, [key_of(NAME, PRIVATE)])
        assert [(one.name, one.time_s) for one in cosigned] == [(NAME, clock.wall_ms() // 1000)]
    assert seen.checkpoint.size == 1351


def fork_of(looking: Witness, other: WorkspacePaths, folder: Path, clock: Clock) -> str:
    looking.look(clock.wall_ms())
    again = witness(other, folder)
    with pytest.raises(Fork) as caught:
        again.look(clock.wall_ms())
    (proof,) = folder.glob("*.fork-*")
    first, second = proof.read_text().split("\n--- and, by the same log ---\n")
    for note in (first, second):  # anyone can see that the log's own key signed both
        verify(note, known_verifiers(other), SETTINGS.origin)
    return str(caught.value)


@pytest.mark.parametrize(("count", "message"), [(300, "does not begin"), (700, "does not begin"), (20, "was cut")])
def test_a_history_rewritten_with_the_logs_own_key_is_found(
    paths: WorkspacePaths, tmp_path: Path, clock: ManualClock, count: int, message: str
) -> None:
    clock.advance(61)
    other = rewritten(paths, tmp_path / "other", count, clock)
    assert message in fork_of(witness(paths, tmp_path / "w"), other, tmp_path / "w", clock)


def test_a_log_that_is_emptied_is_found(paths: WorkspacePaths, tmp_path: Path, clock: ManualClock) -> None:
    clock.advance(61)
    other = rewritten(paths, tmp_path / "other", 0, clock)
    assert "was cut" in fork_of(witness(paths, tmp_path / "w"), other, tmp_path / "w", clock)


def test_a_clock_that_is_set_back_is_found(paths: WorkspacePaths, tmp_path: Path, clock: ManualClock) -> None:
    old = tmp_path / "old"
    shutil.copytree(paths.root, old)
    clock.advance(120)
    seal(paths, clock)  # a heartbeat: the same events, later
    witness(paths, tmp_path / "w").look(clock.wall_ms())
    with pytest.raises(Fork, match="before"):
        witness(WorkspacePaths(old), tmp_path / "w").look(clock.wall_ms())


def test_reordered_events_are_found(paths: WorkspacePaths, tmp_path: Path, clock: ManualClock) -> None:
    reader = open_reader(paths)
    events = [parse(row.data) for row in reader.scan()]
    reader.close()
    events[3], events[4] = events[4], events[3]
    other = WorkspacePaths(tmp_path / "other")
    other.ensure()
    for path in paths.secrets.iterdir():
        shutil.copy(path, other.secrets / path.name)
    append_events(other, events)
    seal(other, clock)
    assert "does not begin" in fork_of(witness(paths, tmp_path / "w"), other, tmp_path / "w", clock)


def test_tiles_that_do_not_lead_to_the_root_are_no_reason_to_accuse(
    paths: WorkspacePaths, tmp_path: Path, clock: ManualClock
) -> None:
    tile = paths.log / "tile/1/000.p/1"
    tile.write_bytes(bytes(32))
    with pytest.raises(BadLog, match="do not lead") as caught:
        witness(paths, tmp_path / "w").look(clock.wall_ms())
    assert not isinstance(caught.value, Fork)
    tile.unlink()
    with pytest.raises(BadLog, match="missing"):
        witness(paths, tmp_path / "w").look(clock.wall_ms())


def test_a_checkpoint_from_the_future_is_not_cosigned(
    paths: WorkspacePaths, tmp_path: Path, clock: ManualClock
) -> None:
    with pytest.raises(BadLog, match="future"):
        witness(paths, tmp_path / "w").look(clock.wall_ms() - FUTURE_MS - 1000)
    assert not list((tmp_path / "w").glob("*.note"))


def test_a_checkpoint_of_another_key_or_log_is_not_cosigned(
    paths: WorkspacePaths, tmp_path: Path, clock: ManualClock
) -> None:
    stranger = WorkspacePaths(tmp_path / "stranger")
    stranger.ensure()
    append(stranger, 1)
    seal(stranger, clock)
    source = FolderLog(TileStore(stranger.log))
    with pytest.raises(BadCheckpoint):
        witness(paths, tmp_path / "w", source).look(clock.wall_ms())
    wrong = Witness(
        FolderLog(TileStore(paths.log)),
        known_verifiers(paths),
        "other/log",
        WitnessFolder(tmp_path / "w"),
        NAME,
        PRIVATE,
    )
    with pytest.raises(BadCheckpoint):
        wrong.look(clock.wall_ms())


# --- cosignatures


def test_k_of_n(paths: WorkspacePaths) -> None:
    note = (paths.log / "checkpoint").read_text()
    privates = {f"w{number}": Ed25519PrivateKey.generate() for number in range(3)}
    known = [key_of(name, private) for name, private in privates.items()]
    both = merged([cosign(note, name, private, 1_800_000_000) for name, private in list(privates.items())[:2]])
    assert {one.name for one in cosigners(both, known)} == {"w0", "w1"}
    assert verify(both, known_verifiers(paths), None).size == 300
    assert cosigners(both, known[2:]) == []
    twice = cosign(cosign(note, "w0", privates["w0"], 1), "w0", privates["w0"], 2)
    assert len(cosigners(twice, known)) == 1  # a witness counts once, however often it signs
    alias = [known[0], WitnessKey("alias", known[0].key)]
    assert len(cosigners(cosign(twice, "alias", privates["w0"], 3), alias)) == 1  # and under whatever name
    assert [WitnessKey.parse(key.vkey) for key in known] == known


def test_notes_of_different_checkpoints_do_not_merge(paths: WorkspacePaths) -> None:
    note = (paths.log / "checkpoint").read_text()
    with pytest.raises(BadCheckpoint):
        merged([note, note.replace("300", "301", 1)])


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_of_a_cosignature_passes(at: int, flip: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    note = f"log\n5\n{base64.b64encode(bytes(32)).decode()}\ngreffier-time-ms 1\n\n\N{EM DASH} log AAAAAAAA\n"
    line = cosign(note, NAME, private, 1_800_000_000).removeprefix(note)
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    raw[at % len(raw)] ^= flip
    changed = f"{note}\N{EM DASH} {NAME} {base64.b64encode(bytes(raw)).decode()}\n"
    try:
        assert cosigners(changed, [key_of(NAME, private)]) == []  # another key's, so it counts for nothing
        assert at % len(raw) < 4
    except BadCheckpoint:
        assert at % len(raw) >= 4


@pytest.mark.parametrize("vkey", ["", "a", "a+b", "a+00000000+BAAA", "a+zz+!!"])
def test_what_is_no_witness_key(vkey: str) -> None:
    with pytest.raises(BadCheckpoint):
        WitnessKey.parse(vkey)


def test_openssl_agrees_with_the_cosignature(paths: WorkspacePaths, tmp_path: Path) -> None:
    note = (paths.log / "checkpoint").read_text()
    text = note.rpartition("\n\n")[0] + "\n"
    line = cosign(note, NAME, PRIVATE, 1_800_000_000).removeprefix(note)
    raw = base64.b64decode(line.split(" ")[2])
    key = key_of(NAME, PRIVATE).key
    assert raw[:4] == hashlib.sha256(NAME.encode() + b"\n\x04" + key).digest()[:4]
    der = bytes.fromhex("302a300506032b6570032100") + key
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "sig").write_bytes(raw[12:])
    (tmp_path / "message").write_text(f"cosignature/v1\ntime 1800000000\n{text}")
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "key.der")]
    command += ["-rawin", "-in", str(tmp_path / "message"), "-sigfile", str(tmp_path / "sig")]
    assert b"Success" in subprocess.run(command, check=True, capture_output=True).stdout


# --- over HTTP


@contextmanager
def serving(folder: Path, *, entries: bool = False) -> Iterator[str]:
    config = uvicorn.Config(LogFiles(folder, entries=entries), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(500):
            if server.started:
                break
            time.sleep(0.01)
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/log"
    finally:
        server.should_exit = True
        thread.join(10)


def test_a_witness_follows_over_http(paths: WorkspacePaths, tmp_path: Path, clock: ManualClock) -> None:
    with serving(paths.log) as address:
        looking = witness(paths, tmp_path / "w", HttpLog(address))
        looking.look(clock.wall_ms())
        clock.advance(61)
        append(paths, 900)
        seal(paths, clock)
        assert looking.look(clock.wall_ms()).checkpoint.size == 1200
    with pytest.raises(BadLog, match="cannot be reached"):
        looking.look(clock.wall_ms())


async def get(
    folder: Path, path: str, method: str = "GET", *, entries: bool = False
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode("latin-1")}
    await LogFiles(folder, entries=entries)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


async def test_what_is_served_and_for_how_long(paths: WorkspacePaths) -> None:
    status, headers, body = await get(paths.log, "/log/checkpoint")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert body == (paths.log / "checkpoint").read_bytes()
    for name in ("tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"):
        status, headers, body = await get(paths.log, f"/log/{name}")
        assert (status, body) == (200, (paths.log / name).read_bytes())
        assert "immutable" in headers["cache-control"]
        assert headers["content-type"] == "application/octet-stream"
    status, headers, body = await get(paths.log, "/log/tile/0/000", "HEAD")
    assert (status, body, headers["content-length"]) == (200, b"", "8192")
    assert (await get(paths.log, "/log/tile/0/000", "POST"))[0] == 405


async def test_records_are_served_only_when_asked_for(paths: WorkspacePaths) -> None:
    assert (await get(paths.log, "/log/tile/entries/000"))[0] == 404
    assert (await get(paths.log, "/log/tile/entries/000", entries=True))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/log/../keys/log-signing.pem",
        "/log/tile/../../keys/log-signing.pem",
        "/log/tile/0/../../../journal.db",
        "/log/%2e%2e/keys/log-signing.pem",
        "/log/tile/0/000%2f..",
        "/log//etc/passwd",
        "/log/.lock",
        "/log/",
        "/log",
        "/log/tile",
        "/log/tile/0",
        "/log/tile/00/000",
        "/log/tile/64/000",
        "/log/tile/0/0000",
        "/log/tile/0/x00/000",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/0/\u0661\u0661\u0661".encode().decode("latin-1"),
        "/log/checkpoints/..",
        "/log/checkpoints/2026-11-24T07.note.pem",
        "/tile/0/000",
        "/log/timestamps/x.tsr",
        "/log/checkpoint\x00",
    ],
)
async def test_nothing_else_can_be_named(paths: WorkspacePaths, path: str) -> None:
    assert (await get(paths.log, path))[0] == 404


@given(st.text(alphabet="x0123456789./p%\\-tileentriescheckpoint", max_size=40))
def test_no_name_leaves_the_folder(text: str) -> None:
    status, _, _ = asyncio.run(get(Path("/nowhere"), f"/log/{text}"))
    assert status == 404


async def test_a_link_in_the_folder_is_not_followed(paths: WorkspacePaths) -> None:
    (paths.log / "tile/0/007").symlink_to(log_key_path(paths))
    assert (await get(paths.log, "/log/tile/0/007"))[0] == 404


class _Hostile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "checkpoint" in self.path:
            self.send_response(302)
            self.send_header("location", "file:///etc/passwd")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 100_000)

    def log_message(self, *_arguments: object) -> None:
        return


def test_a_hostile_server_gets_nowhere() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hostile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        log = HttpLog(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(BadLog, match="302"):
            log.checkpoint()
        with pytest.raises(BadLog, match="more than"):
            log.tile(0, 0, 256)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    with pytest.raises(BadLog, match="not an http"):
        HttpLog("file:///etc").checkpoint()


# --- the command line


def test_the_commands_of_a_witness(tmp_path: Path) -> None:
    clock = ManualClock(SystemClock().wall_ms() - 600_000)
    paths = WorkspacePaths(tmp_path / "log")
    paths.ensure()
    append(paths, 300)
    seal(paths, clock)
    keys = tmp_path / "keys.txt"
    keys.write_text("".join(f"{key.vkey}\n" for key in known_verifiers(paths)))
    state = tmp_path / "w"
    common = ["--keys", str(keys), "--origin", SETTINGS.origin, "--state", str(state), "--name", NAME]
    done = CliRunner().invoke(app, ["witness", "--log", str(paths.log), *common, "--json"])
    assert done.exit_code == 0, done.output
    note = json.loads(done.stdout)["note"]
    shown = CliRunner().invoke(app, ["witness-key", "--state", str(state), "--name", NAME])
    (tmp_path / "witnesses.txt").write_text(shown.stdout)
    check = ["cosigned", note, "--keys", str(keys), "--witnesses", str(tmp_path / "witnesses.txt")]
    assert CliRunner().invoke(app, check).exit_code == 0
    assert CliRunner().invoke(app, [*check, "--need", "2"]).exit_code == 1
    tool = [sys.executable, str(VERIFIER), "witnessed", note, str(keys), "--witnesses", str(tmp_path / "witnesses.txt")]
    assert b"cosigned by 1" in subprocess.run(tool, check=True, capture_output=True).stdout
    assert subprocess.run([*tool, "--need", "2"], check=False, capture_output=True).returncode == 1
    forged = Path(note).read_text().replace("greffier-time-ms 1", "greffier-time-ms 2")
    (tmp_path / "forged.note").write_text(forged)
    tool[3] = str(tmp_path / "forged.note")
    assert subprocess.run(tool, check=False, capture_output=True).returncode == 1
    clock.advance(61)
    other = rewritten(paths, tmp_path / "other", 300, clock)
    forked = CliRunner().invoke(app, ["witness", "--log", str(other.log), *common])
    assert forked.exit_code == 1
    assert "contradicts itself" in forked.stderr
    (state / "witness.pem").chmod(0o644)
    assert CliRunner().invoke(app, ["witness", "--log", str(paths.log), *common]).exit_code == 4
