"""A superuser of the database, who may also write the log's files, changes evidence: found in every variant tried."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.checkpoint import sign, unverified
from greffier.audit.merkle import leaf_hash
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.audit.verification import Report, Verification
from greffier.config.paths import WorkspacePaths
from greffier.storage.postgres.database import Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.journal import make_admission
from greffier.testing.postgres_server import PostgresServer

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
SETTINGS = AuditSettings(append_timeout_ms=20_000)
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SEALED, UNSEALED = 560, 20
TODAY = f"event_{datetime.now(UTC):%Y%m%d}"


class Evidence:
    """A journal in a database of its own, and the log in a folder of its own."""

    def __init__(self, server: PostgresServer, name: str, root: Path) -> None:
        self.server = server
        self.name = name
        self.paths = WorkspacePaths(root)
        self.paths.ensure()

    def append(self, count: int) -> None:
        async def run() -> None:
            journal = PostgresJournal(Database(self.server.url(self.name, "gateway")), SETTINGS, self.paths.spool)
            await asyncio.gather(*(journal.append(make_admission(ts=START_MS)) for _ in range(count)))
            await journal.close()

        asyncio.run(run())

    def sql(self, *statements: str) -> None:
        """As the superuser, past every right and trigger."""
        with psycopg.connect(self.server.url(self.name)) as owner:
            owner.execute("SET session_replication_role = replica")
            for statement in statements:
                owner.execute(statement.encode())

    def sealer(self, now_ms: int) -> Sealer:
        signer = FileCheckpointSigner(log_key_path(self.paths), SETTINGS.key_name)
        clock = ManualClock(now_ms)
        verifiers = known_verifiers(self.paths)
        return Sealer(self.reader(), TileStore(self.paths.log), signer, verifiers, SETTINGS, clock)

    def seal(self, now_ms: int) -> None:
        sealer = self.sealer(now_ms)
        assert sealer.seal_once() is not None
        sealer.close()

    def reader(self) -> PostgresJournalReader:
        return PostgresJournalReader(Database(self.server.url(self.name, "gateway")))

    def verify(self, *kept: Path) -> Report:
        notes = [(path.name, path.read_text()) for path in kept]
        reader = self.reader()
        try:
            log = TileStore(self.paths.log)
            return Verification(reader, log, known_verifiers(self.paths), SETTINGS.origin, notes).run()
        finally:
            reader.close()

    def verified_by_others(self, folder: Path) -> int:
        """The exit code of the verifier that is not ours, over an export of the journal as it is now."""
        reader = self.reader()
        exported = folder / "export.jsonl"
        exported.write_bytes(b"".join(b'{"event":%b,"seq":%d}\n' % (row.data, row.seq) for row in reader.scan()))
        reader.close()
        keys = self.paths.secrets / "log-signing.pem.public"
        command = [sys.executable, "-I", str(VERIFIER), "log", str(self.paths.log), str(keys)]
        return subprocess.run([*command, "--export", str(exported)], capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def original(server: PostgresServer, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Two days: 300 events of the first, and 280 of today, of which 20 are not sealed yet."""
    made = Evidence(server, server.database(template=migrated), tmp_path_factory.mktemp("original"))
    made.append(300)
    made.sql(
        f"ALTER TABLE event DETACH PARTITION {TODAY}",
        f"UPDATE {TODAY} SET day = '2026-01-01'",  # noqa: S608 - a test's own names
        f"ALTER TABLE {TODAY} RENAME TO event_20260101",
        "ALTER TABLE event ATTACH PARTITION event_20260101 FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')",
        "UPDATE journal_day SET day = '2026-01-01'",
    )
    made.seal(START_MS + HOUR_MS)
    made.append(SEALED - 300)
    made.seal(START_MS + 2 * HOUR_MS)
    made.append(UNSEALED)
    return made


@pytest.fixture
def evidence(original: Evidence, tmp_path: Path) -> Evidence:
    root = tmp_path / "log"
    shutil.copytree(original.paths.root, root)
    return Evidence(original.server, original.server.database(template=original.name), root)


def test_untouched_evidence_holds(evidence: Evidence, tmp_path: Path) -> None:
    report = evidence.verify()
    assert report.findings == ()
    assert (report.events, report.unsealed, report.checkpoints) == (SEALED + UNSEALED, UNSEALED, 2)
    assert evidence.verified_by_others(tmp_path) == 0
    evidence.seal(START_MS + 3 * HOUR_MS)


# --- rows


def update_a_record(evidence: Evidence) -> None:
    change = "replace(convert_from(data, 'UTF8'), 'key:k1', 'key:k2')"
    evidence.sql(f"UPDATE event SET data = convert_to({change}, 'UTF8') WHERE seq = 17")  # noqa: S608 - a test's attack


def update_a_look_up_column(evidence: Evidence) -> None:
    evidence.sql("UPDATE event SET request_id = 'req_other', tenant = 'other' WHERE seq = 17")


def delete_a_record(evidence: Evidence) -> None:
    evidence.sql("DELETE FROM event WHERE seq = 17")


def delete_the_end(evidence: Evidence) -> None:
    evidence.sql("DELETE FROM event WHERE seq > 500", "UPDATE journal_head SET seq = 500")


def delete_and_close_the_gap(evidence: Evidence) -> None:
    evidence.sql(
        "DELETE FROM event WHERE seq = 400",
        "UPDATE event SET seq = seq - 1 WHERE seq > 400",
        "UPDATE journal_head SET seq = seq - 1",
    )


def insert_a_record(evidence: Evidence) -> None:
    evidence.sql(
        "CREATE TABLE later AS SELECT * FROM event WHERE seq >= 400",
        "DELETE FROM event WHERE seq >= 400",
        "INSERT INTO event SELECT day, seq + 1, id, ts, tenant, kind, request_id, data FROM later",
        "INSERT INTO event SELECT day, 400, id, ts, tenant, kind, request_id, data FROM event WHERE seq = 399",
        "UPDATE journal_head SET seq = seq + 1",
        "DROP TABLE later",
    )


def insert_a_second_of_the_same_number(evidence: Evidence) -> None:
    evidence.sql("INSERT INTO event SELECT '2026-01-01', 301, id, ts, tenant, kind, request_id, data FROM event "
                 "WHERE seq = 5")  # fmt: skip


def insert_behind_the_end(evidence: Evidence) -> None:
    """Past the counter and with a hole before it."""
    evidence.sql("INSERT INTO event SELECT day, 590, id, ts, tenant, kind, request_id, data FROM event WHERE seq = 560")


def swap_two_records(evidence: Evidence) -> None:
    evidence.sql(
        "UPDATE event SET seq = -1 WHERE seq = 5",
        "UPDATE event SET seq = 5 WHERE seq = 6",
        "UPDATE event SET seq = 6 WHERE seq = -1",
    )


def swap_records_of_two_days(evidence: Evidence) -> None:
    evidence.sql(
        "CREATE TABLE pair AS SELECT * FROM event WHERE seq IN (300, 301)",
        "UPDATE event e SET (id, ts, tenant, kind, request_id, data) = (SELECT id, ts, tenant, kind, request_id, data "
        "FROM pair p WHERE p.seq = 601 - e.seq) WHERE seq IN (300, 301)",
        "DROP TABLE pair",
    )


def move_a_record_to_another_day(evidence: Evidence) -> None:
    evidence.sql(f"UPDATE event SET day = '{datetime.now(UTC):%Y-%m-%d}' WHERE seq = 17")  # noqa: S608 - a test's attack


def empty_the_journal(evidence: Evidence) -> None:
    evidence.sql("TRUNCATE event", "UPDATE journal_head SET seq = 0", "DELETE FROM journal_day")


def delete_from_the_unsealed(evidence: Evidence) -> None:
    evidence.sql("DELETE FROM event WHERE seq = 570")


def lower_the_counter(evidence: Evidence) -> None:
    evidence.sql("UPDATE journal_head SET seq = 550")


# --- days


def drop_a_day(evidence: Evidence) -> None:
    evidence.sql("DROP TABLE event_20260101")


def drop_a_day_as_retention_would(evidence: Evidence) -> None:
    evidence.sql("DROP TABLE event_20260101", "DELETE FROM journal_day WHERE day = '2026-01-01'")


def detach_a_day(evidence: Evidence) -> None:
    evidence.sql("ALTER TABLE event DETACH PARTITION event_20260101")


def hide_a_day(evidence: Evidence) -> None:
    """Leave the records, and tell readers that they begin later."""
    evidence.sql("DELETE FROM journal_day WHERE day = '2026-01-01'")


# --- files


def edit_a_tile(evidence: Evidence) -> None:
    tile = evidence.paths.log / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])


def edit_a_bundle(evidence: Evidence) -> None:
    bundle = evidence.paths.log / "tile/entries/001"
    bundle.write_bytes(bundle.read_bytes().replace(b"key:k1", b"key:k2", 1))


def edit_record_tile_and_bundle_alike(evidence: Evidence) -> None:
    update_a_record(evidence)
    reader = evidence.reader()
    rows = reader.read(1, 256)
    reader.close()
    bundle = evidence.paths.log / "tile/entries/000"
    bundle.write_bytes(b"".join(len(row.data).to_bytes(2, "big") + row.data for row in rows))
    (evidence.paths.log / "tile/0/000").write_bytes(b"".join(leaf_hash(row.data) for row in rows))


def edit_the_checkpoint(evidence: Evidence) -> None:
    note = evidence.paths.log / "checkpoint"
    note.write_text(note.read_text().replace(f"\n{SEALED}\n", "\n559\n"))


def sign_a_checkpoint_with_another_key(evidence: Evidence) -> None:
    note = evidence.paths.log / "checkpoint"
    stranger = FileCheckpointSigner(evidence.paths.root / "stranger.pem", SETTINGS.key_name)
    note.write_text(sign(unverified(note.read_text()), stranger))


def remove_the_checkpoint(evidence: Evidence) -> None:
    (evidence.paths.log / "checkpoint").unlink()


Tamper = Callable[[Evidence], None]
ROWS: list[Tamper] = [
    update_a_record, update_a_look_up_column, delete_a_record, delete_the_end, delete_and_close_the_gap,
    insert_a_record, insert_a_second_of_the_same_number, insert_behind_the_end, swap_two_records,
    swap_records_of_two_days, move_a_record_to_another_day, empty_the_journal, delete_from_the_unsealed,
    lower_the_counter, drop_a_day, drop_a_day_as_retention_would, detach_a_day, hide_a_day,
]  # fmt: skip
FILES: list[Tamper] = [
    edit_a_tile, edit_a_bundle, edit_record_tile_and_bundle_alike, edit_the_checkpoint,
    sign_a_checkpoint_with_another_key, remove_the_checkpoint,
]  # fmt: skip


@pytest.mark.parametrize("tamper", [*ROWS, *FILES], ids=lambda tamper: tamper.__name__)
def test_the_verification_finds_it(evidence: Evidence, tamper: Tamper) -> None:
    tamper(evidence)
    assert not evidence.verify().ok


@pytest.mark.parametrize(
    "tamper",
    [update_a_record, delete_and_close_the_gap, insert_a_record, swap_two_records, swap_records_of_two_days, *FILES],
    ids=lambda tamper: tamper.__name__,
)
def test_the_verifier_that_is_not_ours_finds_it(evidence: Evidence, tmp_path: Path, tamper: Tamper) -> None:
    tamper(evidence)
    assert evidence.verified_by_others(tmp_path) == 1


@pytest.mark.parametrize(
    "tamper",
    [
        update_a_record, delete_a_record, delete_the_end, delete_and_close_the_gap, insert_a_record, swap_two_records,
        swap_records_of_two_days, empty_the_journal, delete_from_the_unsealed, lower_the_counter, drop_a_day,
        detach_a_day, edit_a_tile, edit_record_tile_and_bundle_alike, edit_the_checkpoint,
        sign_a_checkpoint_with_another_key, remove_the_checkpoint,
    ],
    ids=lambda tamper: tamper.__name__,
)  # fmt: skip
def test_the_sealer_does_not_sign_over_it(evidence: Evidence, tamper: Tamper) -> None:
    sealer = evidence.sealer(START_MS + 3 * HOUR_MS)
    tamper(evidence)
    with pytest.raises(BadLog):  # noqa: PT012 - older events are compared in rotation
        for _ in range(5):
            sealer.seal_once()
            sealer._clock.advance(61)  # type: ignore[attr-defined]
    sealer.close()


# --- with the log's key stolen, what others keep still tells


@pytest.mark.parametrize(
    "tamper", [update_a_record, delete_the_end, swap_two_records, insert_a_record], ids=lambda tamper: tamper.__name__
)
def test_a_rewrite_with_the_logs_own_key_contradicts_a_kept_checkpoint(
    evidence: Evidence, tmp_path: Path, tamper: Tamper
) -> None:
    kept = tmp_path / "kept.note"
    shutil.copy(evidence.paths.log / "checkpoint", kept)
    tamper(evidence)
    shutil.rmtree(evidence.paths.log)
    evidence.seal(START_MS + 3 * HOUR_MS)
    assert evidence.verify().ok  # nothing inside the installation betrays it
    assert not evidence.verify(kept).ok


def test_a_fork_contradicts_a_kept_checkpoint(evidence: Evidence, tmp_path: Path) -> None:
    """The log goes on from its first checkpoint in another direction, signed all along."""
    kept = tmp_path / "kept.note"
    shutil.copy(evidence.paths.log / "checkpoint", kept)
    evidence.sql("DELETE FROM event WHERE seq > 300", "UPDATE journal_head SET seq = 300")
    shutil.rmtree(evidence.paths.log)
    evidence.seal(START_MS + HOUR_MS)
    evidence.append(300)
    evidence.seal(START_MS + 3 * HOUR_MS)
    assert evidence.verify().ok
    assert [finding.kind for finding in evidence.verify(kept).findings] == ["root"]


def test_a_clock_set_back_stops_the_sealing_and_shows_in_a_kept_checkpoint(evidence: Evidence, tmp_path: Path) -> None:
    sealer = evidence.sealer(START_MS)
    with pytest.raises(BadLog, match="the clock is 7200 s behind"):
        sealer.seal_once()
    sealer.close()
    kept = tmp_path / "kept.note"
    shutil.copy(evidence.paths.log / "checkpoint", kept)
    shutil.rmtree(evidence.paths.log)
    evidence.seal(START_MS)
    assert evidence.verify().ok
    assert "clock" in {finding.kind for finding in evidence.verify(kept).findings}
