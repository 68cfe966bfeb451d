"""Whatever is done to the journal or the log behind our back, both verifiers find it, and they agree."""

import asyncio
import base64
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.verification import Report, Verification
from greffier.config.paths import WorkspacePaths
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.journal import make_admission, make_outcome

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SETTINGS = AuditSettings()
SEALED = 700
UNSEALED = 20


async def append(paths: WorkspacePaths, count: int, ts: int) -> None:
    journal = open_journal(paths, SETTINGS)
    for number in range(count // 2):
        admission = make_admission(ts=ts + number)
        await journal.append(admission)
        await journal.append(make_outcome(admission.request_id, ts=ts + number))
    await journal.close()


def sealer(paths: WorkspacePaths, now_ms: int) -> Sealer:
    signer = FileCheckpointSigner(log_key_path(paths), SETTINGS.key_name)
    clock = ManualClock(now_ms)
    return Sealer(open_reader(paths), TileStore(paths.log), signer, known_verifiers(paths), SETTINGS, clock)


def seal(paths: WorkspacePaths, now_ms: int) -> None:
    working = sealer(paths, now_ms)
    assert working.seal_once() is not None
    working.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WorkspacePaths:
    """700 sealed events under three checkpoints of different hours, and 20 unsealed ones."""
    paths = WorkspacePaths(tmp_path_factory.mktemp("original"))
    paths.ensure()
    for step, count in enumerate((100, 256, 344)):
        asyncio.run(append(paths, count, START_MS + step * HOUR_MS))
        seal(paths, START_MS + step * HOUR_MS + 60_000)
    asyncio.run(append(paths, UNSEALED, START_MS + 3 * HOUR_MS))
    return paths


@pytest.fixture
def paths(original: WorkspacePaths, tmp_path: Path) -> WorkspacePaths:
    shutil.copytree(original.root, tmp_path / "copy")
    return WorkspacePaths(tmp_path / "copy")


def ours(paths: WorkspacePaths, *kept: Path) -> Report:
    notes = [(path.name, path.read_text()) for path in kept]
    return Verification(open_reader(paths), TileStore(paths.log), known_verifiers(paths), SETTINGS.origin, notes).run()


def theirs(paths: WorkspacePaths, *kept: Path) -> tuple[int, str]:
    keys = log_key_path(paths).with_name("log-signing.pem.public")
    command = [sys.executable, "-I", str(VERIFIER), "log", str(paths.log), str(keys)]
    command += ["--journal", str(paths.journal_db), "--kept", *map(str, kept)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def sql(paths: WorkspacePaths, *statements: str) -> None:
    with sqlite3.connect(paths.journal_db) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_an_untouched_log_verifies_in_both(paths: WorkspacePaths) -> None:
    report = ours(paths)
    assert report.findings == ()
    assert report.checkpoint is not None
    assert (report.checkpoint.size, report.events, report.unsealed) == (SEALED, SEALED + UNSEALED, UNSEALED)
    assert report.checkpoints == 3
    status, said = theirs(paths)
    assert status == 0
    assert f"size {SEALED}" in said
    assert f"unsealed {UNSEALED}" in said


def change_a_row(paths: WorkspacePaths) -> None:
    sql(paths, "UPDATE event SET data = replace(CAST(data AS TEXT), 'key:k1', 'key:k2') WHERE seq = 301")


def change_one_bit(paths: WorkspacePaths) -> None:
    sql(paths, "UPDATE event SET data = CAST(substr(data, 1, length(data) - 1) || ' }' AS BLOB) WHERE seq = 2")


def delete_the_last_rows(paths: WorkspacePaths) -> None:
    sql(paths, "DELETE FROM event WHERE seq > 690")


def delete_from_the_middle(paths: WorkspacePaths) -> None:
    sql(paths, "DELETE FROM event WHERE seq BETWEEN 255 AND 258")


def delete_and_close_the_gap(paths: WorkspacePaths) -> None:
    sql(paths, "DELETE FROM event WHERE seq = 10", "UPDATE event SET seq = seq - 1 WHERE seq > 10")


def delete_everything(paths: WorkspacePaths) -> None:
    sql(paths, "DELETE FROM event")


def swap_two_rows(paths: WorkspacePaths) -> None:
    sql(
        paths,
        "UPDATE event SET seq = -1 WHERE seq = 5",
        "UPDATE event SET seq = 5 WHERE seq = 6",
        "UPDATE event SET seq = 6 WHERE seq = -1",
    )


def insert_in_between(paths: WorkspacePaths) -> None:
    sql(
        paths,
        "CREATE TABLE moved AS SELECT * FROM event WHERE seq > 500",
        "DELETE FROM event WHERE seq > 500",
        "INSERT INTO event SELECT seq + 1, id, ts, tenant, kind, request_id, data FROM moved",
        "INSERT INTO event SELECT 501, id, ts, tenant, kind, request_id, data FROM event WHERE seq = 500",
        "DROP TABLE moved",
    )


def leave_a_gap_in_the_unsealed_tail(paths: WorkspacePaths) -> None:
    sql(paths, "DELETE FROM event WHERE seq = 705")


def cut_a_tile(paths: WorkspacePaths) -> None:
    tile = paths.log / "tile/0/001"
    tile.write_bytes(tile.read_bytes()[:-32])


def change_a_tile(paths: WorkspacePaths) -> None:
    tile = paths.log / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])


def change_an_upper_tile(paths: WorkspacePaths) -> None:
    tile = paths.log / "tile/1/000.p/2"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])


def remove_a_tile(paths: WorkspacePaths) -> None:
    (paths.log / "tile/0/001").unlink()


def change_a_bundle(paths: WorkspacePaths) -> None:
    bundle = paths.log / "tile/entries/001"
    bundle.write_bytes(bundle.read_bytes().replace(b"key:k1", b"key:k2", 1))


def cut_a_bundle(paths: WorkspacePaths) -> None:
    bundle = paths.log / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes()[:-7])


def change_row_tile_and_bundle_alike(paths: WorkspacePaths) -> None:
    """A full rewrite of one event, without the signing key."""
    data = sqlite3.connect(paths.journal_db).execute("SELECT data FROM event WHERE seq = 1").fetchone()[0]
    change = (data, data.replace(b"key:k1", b"key:k2"))
    bundle = paths.log / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(*change))
    tile = paths.log / "tile/0/000"
    tile.write_bytes(hashlib.sha256(b"\0" + change[1]).digest() + tile.read_bytes()[32:])
    with sqlite3.connect(paths.journal_db) as database:
        database.execute("UPDATE event SET data = ? WHERE seq = 1", (change[1],))


def forge_the_checkpoint(paths: WorkspacePaths) -> None:
    note = paths.log / "checkpoint"
    origin, _, *rest = note.read_text().split("\n")
    note.write_text("\n".join([origin, "600", *rest]))


def remove_the_checkpoint(paths: WorkspacePaths) -> None:
    (paths.log / "checkpoint").unlink()


def sign_with_another_key(paths: WorkspacePaths) -> None:
    note = paths.log / "checkpoint"
    text = note.read_text().rpartition("\n\n")[0] + "\n"
    stranger = FileCheckpointSigner(paths.root / "stranger.pem", "greffier-log")
    raw = hashlib.sha256(stranger.public_key_der()).digest()[:4] + stranger.sign(text.encode())
    note.write_text(f"{text}\n— greffier-log {base64.b64encode(raw).decode()}\n")


def put_an_old_checkpoint_back(paths: WorkspacePaths) -> None:
    """Roll the log back to its first hour: everything after it would look unsealed."""
    shutil.copy(min((paths.log / "checkpoints").iterdir()), paths.log / "checkpoint")


TAMPERING = [
    change_a_row, change_one_bit, delete_the_last_rows, delete_from_the_middle, delete_and_close_the_gap,
    delete_everything, swap_two_rows, insert_in_between, leave_a_gap_in_the_unsealed_tail, cut_a_tile, change_a_tile,
    change_an_upper_tile, remove_a_tile, change_a_bundle, cut_a_bundle, change_row_tile_and_bundle_alike,
    forge_the_checkpoint, remove_the_checkpoint, sign_with_another_key, put_an_old_checkpoint_back,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_tampering_is_found_by_both_verifiers(paths: WorkspacePaths, tamper: Callable[[WorkspacePaths], None]) -> None:
    tamper(paths)
    report = ours(paths)
    assert not report.ok
    status, said = theirs(paths)
    assert status == 1, said
    named = {finding.seq for finding in report.findings if finding.seq and finding.kind in {"changed", "missing"}}
    for seq in named:
        assert f"event {seq} " in said


@pytest.mark.parametrize(
    ("tamper", "kind", "seq"),
    [(change_a_row, "changed", 301), (delete_the_last_rows, "missing", 691), (swap_two_rows, "changed", 5)],
)
def test_the_finding_names_the_place(
    paths: WorkspacePaths, tamper: Callable[[WorkspacePaths], None], kind: str, seq: int
) -> None:
    tamper(paths)
    first = next(finding for finding in ours(paths).findings if finding.severity == "error")
    assert (first.kind, first.seq) == (kind, seq)


def test_hiding_a_record_from_look_ups_is_found(paths: WorkspacePaths) -> None:
    sql(paths, "UPDATE event SET request_id = 'req_other' WHERE seq = 42")
    assert [(finding.kind, finding.seq) for finding in ours(paths).findings] == [("misfiled", 42)]


def test_a_rewrite_with_the_stolen_key_is_found_by_a_checkpoint_kept_elsewhere(
    paths: WorkspacePaths, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.note"
    shutil.copy(min((paths.log / "checkpoints").iterdir()), kept)
    change_a_row(paths)
    sql(paths, "UPDATE event SET data = replace(CAST(data AS TEXT), 'key:k1', 'key:k2') WHERE seq = 1")
    shutil.rmtree(paths.log)
    seal(paths, START_MS + 3 * HOUR_MS)
    assert ours(paths).ok  # nothing inside the installation betrays it ...
    assert not ours(paths, kept).ok
    assert theirs(paths)[0] == 0
    assert theirs(paths, kept)[0] == 1


def test_a_rollback_of_journal_and_log_together_is_found_by_a_newer_checkpoint_kept_elsewhere(
    paths: WorkspacePaths, tmp_path: Path
) -> None:
    shutil.copytree(paths.root, tmp_path / "backup")
    asyncio.run(append(paths, 10, START_MS + 3 * HOUR_MS))
    seal(paths, START_MS + 3 * HOUR_MS)
    restored = WorkspacePaths(tmp_path / "backup")
    assert ours(restored).ok
    assert not ours(restored, paths.log / "checkpoint").ok
    assert theirs(restored, paths.log / "checkpoint")[0] == 1


def test_an_honest_log_is_consistent_with_every_checkpoint_kept_elsewhere(paths: WorkspacePaths) -> None:
    kept = sorted((paths.log / "checkpoints").iterdir())
    assert ours(paths, *kept).ok
    assert theirs(paths, *kept)[0] == 0


def test_a_clock_that_was_set_back_is_pointed_out_by_both(paths: WorkspacePaths) -> None:
    asyncio.run(append(paths, 4, START_MS))
    report = ours(paths)
    assert report.ok
    assert [(finding.kind, finding.severity, finding.seq) for finding in report.findings] == [("clock", "warning", 721)]
    status, said = theirs(paths)
    assert status == 0
    assert "WARNING event 721" in said


# --- the sealer refuses to put its signature under any of it


@pytest.mark.parametrize(
    "tamper",
    [
        change_one_bit, change_a_row, delete_the_last_rows, delete_everything, swap_two_rows, insert_in_between,
        leave_a_gap_in_the_unsealed_tail, change_row_tile_and_bundle_alike, forge_the_checkpoint,
        remove_the_checkpoint, sign_with_another_key, put_an_old_checkpoint_back,
    ],
    ids=lambda tamper: tamper.__name__,
)  # fmt: skip
@pytest.mark.parametrize("restarted", [True, False])
def test_the_sealer_refuses_to_sign(
    paths: WorkspacePaths, tamper: Callable[[WorkspacePaths], None], restarted: bool
) -> None:
    working = sealer(paths, START_MS + 4 * HOUR_MS)
    clock = working._clock
    assert isinstance(clock, ManualClock)
    if not restarted:
        working.seal_once()
        asyncio.run(append(paths, 4, START_MS + 4 * HOUR_MS))
    before = (paths.log / "checkpoint").read_bytes()
    tamper(paths)
    if (paths.log / "checkpoint").exists() and before == (paths.log / "checkpoint").read_bytes():
        for _ in range(5):  # older events are compared in rotation
            clock.advance(61)
            try:
                working.seal_once()
            except BadLog:
                break
        else:
            pytest.fail("sealed over it")
    else:
        with pytest.raises(BadLog):
            working.seal_once()
    working.close()


def test_the_sealer_refuses_while_the_clock_is_behind_and_goes_on_afterwards(paths: WorkspacePaths) -> None:
    working = sealer(paths, START_MS)
    with pytest.raises(BadLog, match="clock is 7260 s behind"):
        working.seal_once()
    working._clock.advance(7_257)  # type: ignore[attr-defined]  # three seconds behind: a time daemon at work
    sealed = working.seal_once()
    assert sealed is not None
    assert sealed.time_ms == START_MS + 2 * HOUR_MS + 60_000
    working.close()
    assert ours(paths).ok
