"""Copies in a real bucket under object lock: they cannot be taken back, and what is done to the log shows there."""

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError

from greffier.adapters.http import HttpClient, Origin
from greffier.adapters.objects.s3 import Bucket, S3Store
from greffier.adapters.objects.sigv4 import Credentials
from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path
from greffier.audit.copies import BadCopy, CopiedFile, Copier, CopyUnavailable, LockedStore
from greffier.audit.copy_check import CopyCheck, CopyReport
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import BadLog, TileStore
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.deployment import Timeouts
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.journal import make_admission
from greffier.testing.object_storage import BUCKET, ObjectStorage

VERIFIER = Path(__file__).parents[3] / "tools" / "verify_log.py"
SETTINGS = AuditSettings()
HOUR_MS = 3_600_000
SIZES = (300, 700)
T = TypeVar("T")


def append(paths: WorkspacePaths, count: int, tag: str = "k1") -> None:
    async def run() -> None:
        journal = open_journal(paths, SETTINGS)
        await asyncio.gather(*(journal.append(make_admission(request_id=f"req_{tag}_{n}")) for n in range(count)))
        await journal.close()

    asyncio.run(run())


def seal(paths: WorkspacePaths, now_ms: int) -> None:
    signer = FileCheckpointSigner(log_key_path(paths), SETTINGS.key_name)
    clock = ManualClock(now_ms)
    sealer = Sealer(open_reader(paths), TileStore(paths.log), signer, known_verifiers(paths), SETTINGS, clock)
    assert sealer.seal_once() is not None
    sealer.close()


class Place:
    """One log's place in the bucket."""

    def __init__(self, storage: ObjectStorage, bucket: str = BUCKET, secret: str = "", page: int = 1000) -> None:
        self.storage = storage
        self.bucket = Bucket(bucket, f"log/{uuid.uuid4().hex}", "us-east-1", "compliance")
        self._secret = secret or storage.secret_key
        self._page = page

    def run(self, work: Callable[[LockedStore], Coroutine[Any, Any, T]]) -> T:
        async def inside() -> T:
            client = HttpClient(Origin.parse(self.storage.url), timeouts=Timeouts(total_s=60.0), max_connections=8)
            credentials = Credentials(self.storage.access_key, self._secret)
            store = S3Store(client, self.bucket, lambda: credentials, SystemClock().wall_ms, self._page)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(inside())

    def copy(self, paths: WorkspacePaths, now_ms: int, *, records: bool = False) -> None:
        async def work(store: LockedStore) -> None:
            copier = Copier(
                TileStore(paths.log), store, CopiedFile(paths.copies, "vault"), known_verifiers(paths),
                SETTINGS.origin, 30, records=records,
            )  # fmt: skip
            assert await copier.round(now_ms) is not None

        self.run(work)

    def check(self, paths: WorkspacePaths, now_ms: int) -> CopyReport:
        async def work(store: LockedStore) -> CopyReport:
            log = TileStore(paths.log)
            return await CopyCheck(log, store, known_verifiers(paths), SETTINGS.origin, HOUR_MS).run(now_ms)

        return self.run(work)

    def versions(self) -> list[dict[str, Any]]:
        listed = self.storage.client().list_object_versions(Bucket=self.bucket.name, Prefix=self.bucket.prefix)
        return list(listed["Versions"])


@pytest.fixture(scope="module")
def now_ms() -> int:
    return SystemClock().wall_ms()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, storage: ObjectStorage, now_ms: int) -> tuple[Path, Place]:
    """A log of 700 events, copied when it had 300 and when it had 700."""
    paths = WorkspacePaths(tmp_path_factory.mktemp("original"))
    paths.ensure()
    place = Place(storage)
    for step, size in enumerate(SIZES):
        append(paths, size - (SIZES[step - 1] if step else 0))
        seal(paths, now_ms - (2 - step) * 60_000)
        place.copy(paths, now_ms, records=True)
    return paths.root, place


@pytest.fixture
def paths(original: tuple[Path, Place], tmp_path: Path) -> WorkspacePaths:
    shutil.copytree(original[0], tmp_path / "log")
    return WorkspacePaths(tmp_path / "log")


@pytest.fixture
def place(original: tuple[Path, Place]) -> Place:
    return original[1]


def test_an_honest_log_agrees_with_its_copies(paths: WorkspacePaths, place: Place, now_ms: int) -> None:
    report = place.check(paths, now_ms)
    assert report.findings == ()
    assert report.checkpoints == 2
    assert report.newest is not None
    assert report.newest.size == 700
    assert report.locked_until_ms > now_ms + 29 * 86_400_000


def test_growing_on_is_no_contradiction(paths: WorkspacePaths, place: Place, now_ms: int) -> None:
    append(paths, 500, "more")
    seal(paths, now_ms)
    assert place.check(paths, now_ms).findings == ()


def test_nobody_deletes_a_copy_before_its_time(place: Place) -> None:
    s3 = place.storage.client()
    versions = place.versions()
    assert len(versions) > 4
    for version in versions:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    assert len(place.versions()) == len(versions)


def test_the_bucket_is_a_whole_log_for_tools_that_are_not_ours(
    paths: WorkspacePaths, place: Place, tmp_path: Path
) -> None:
    s3 = place.storage.client()
    folder = tmp_path / "fetched"
    for version in place.versions():
        file = folder / version["Key"].removeprefix(f"{place.bucket.prefix}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(BUCKET, version["Key"], str(file))
    shutil.copy(max((folder / "checkpoints").iterdir()), folder / "checkpoint")
    keys = log_key_path(paths).with_name("log-signing.pem.public")
    command = [sys.executable, "-I", str(VERIFIER), "log", str(folder), str(keys), "--journal", str(paths.journal_db)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "size 700" in done.stdout


# --- what is done to the log shows in the copies, even with the log's own key


def rewritten(paths: WorkspacePaths, now_ms: int, statement: str) -> None:
    """Change the journal, throw the log away, and sign a new one with the stolen key."""
    import sqlite3  # noqa: PLC0415 - only this attacker needs it

    with sqlite3.connect(paths.journal_db) as database:
        database.execute(statement)
    database.close()
    shutil.rmtree(paths.log)
    seal(paths, now_ms)


def rewrite(paths: WorkspacePaths, now_ms: int) -> None:
    rewritten(paths, now_ms, "UPDATE event SET data = replace(CAST(data AS TEXT), 'key:k1', 'key:k2') WHERE seq = 301")


def rewrite_an_early_event(paths: WorkspacePaths, now_ms: int) -> None:
    rewritten(paths, now_ms, "UPDATE event SET data = replace(CAST(data AS TEXT), 'key:k1', 'key:k2') WHERE seq = 7")


def truncate(paths: WorkspacePaths, now_ms: int) -> None:
    rewritten(paths, now_ms, "DELETE FROM event WHERE seq > 650")


def reorder(paths: WorkspacePaths, now_ms: int) -> None:
    swap = "(SELECT b.data FROM event b WHERE b.seq = 603 - event.seq)"
    rewritten(paths, now_ms, f"UPDATE event SET data = {swap} WHERE seq IN (301, 302)")  # noqa: S608 - a test's attack


def fork(paths: WorkspacePaths, now_ms: int) -> None:
    """Go on from an earlier point of the log in another direction."""
    rewritten(paths, now_ms - 90_000, "DELETE FROM event WHERE seq > 300")
    append(paths, 450, "other")
    seal(paths, now_ms)


def roll_back(paths: WorkspacePaths, now_ms: int) -> None:
    """Journal, log and clock as they were before."""
    rewritten(paths, now_ms - HOUR_MS, "DELETE FROM event WHERE seq > 300")


def remove(paths: WorkspacePaths, now_ms: int) -> None:
    shutil.rmtree(paths.log)


def damage(paths: WorkspacePaths, now_ms: int) -> None:
    (paths.log / "tile/1/000.p/2").write_bytes(bytes(64))


@pytest.mark.parametrize(
    ("tamper", "kinds", "seq"),
    [
        (rewrite, {"rewritten"}, 301), (rewrite_an_early_event, {"rewritten"}, 7), (truncate, {"cut"}, 0),
        (reorder, {"rewritten"}, 301), (fork, {"rewritten"}, 301), (roll_back, {"cut", "rolled_back"}, 0),
        (remove, {"cut"}, 0), (damage, {"damaged"}, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_it_is_found(
    paths: WorkspacePaths, place: Place, now_ms: int,
    tamper: Callable[[WorkspacePaths, int], None], kinds: set[str], seq: int,
) -> None:  # fmt: skip
    tamper(paths, now_ms)
    findings = place.check(paths, now_ms).findings
    assert {finding.kind for finding in findings} == kinds
    assert max(finding.seq for finding in findings) == seq


@pytest.mark.parametrize("tamper", [rewrite, truncate, reorder, fork, roll_back, remove])
def test_nothing_is_copied_over_it(
    paths: WorkspacePaths, place: Place, now_ms: int, tamper: Callable[[WorkspacePaths, int], None]
) -> None:
    before = len(place.versions())
    tamper(paths, now_ms)
    with pytest.raises(BadLog):
        place.copy(paths, now_ms, records=True)
    assert len(place.versions()) == before


@pytest.mark.parametrize("tamper", [rewrite_an_early_event, fork])
def test_not_even_where_the_state_is_lost_too(
    paths: WorkspacePaths, place: Place, now_ms: int, tamper: Callable[[WorkspacePaths, int], None]
) -> None:
    tamper(paths, now_ms)
    shutil.rmtree(paths.copies)
    with pytest.raises(BadCopy, match="was copied before"):
        place.copy(paths, now_ms, records=True)


# --- what is done to the copies shows as well


@pytest.fixture
def fresh(storage: ObjectStorage, tmp_path: Path, now_ms: int) -> tuple[WorkspacePaths, Place]:
    paths = WorkspacePaths(tmp_path / "fresh")
    paths.ensure()
    append(paths, 20)
    seal(paths, now_ms)
    place = Place(storage, page=2)
    place.copy(paths, now_ms)
    return paths, place


def newest_key(place: Place) -> str:
    return max(str(version["Key"]) for version in place.versions() if "/checkpoints/" in version["Key"])


def test_a_deletion_that_only_hides_is_told(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    place.storage.client().delete_object(Bucket=BUCKET, Key=newest_key(place))
    report = place.check(paths, now_ms)
    assert [finding.kind for finding in report.findings] == ["hidden"]
    assert report.newest is not None  # and the locked copy still counts


def test_a_forged_checkpoint_over_a_copy_is_told(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    place.storage.client().put_object(Bucket=BUCKET, Key=newest_key(place), Body=b"forged")
    assert [finding.kind for finding in place.check(paths, now_ms).findings] == ["foreign"]


def test_another_checkpoint_of_the_log_over_a_copy_is_told(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    append(paths, 3)
    seal(paths, now_ms + 1000)
    place.storage.client().put_object(
        Bucket=BUCKET, Key=newest_key(place), Body=(paths.log / "checkpoint").read_bytes()
    )
    assert [finding.kind for finding in place.check(paths, now_ms).findings] == ["overwritten"]


def test_copies_that_stopped_or_lost_their_lock_are_told(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    later = now_ms + 31 * 86_400_000
    assert {finding.kind for finding in place.check(paths, later).findings} == {"unlocked", "stale"}


def test_long_listings_are_read_to_their_end(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    for step in range(1, 6):
        append(paths, 2)
        seal(paths, now_ms + step * 1000)
        place.copy(paths, now_ms)
    report = place.check(paths, now_ms)
    assert (report.checkpoints, report.findings) == (6, ())
    assert len(report.notes) == 6


def test_nothing_new_is_nothing_to_copy(fresh: tuple[WorkspacePaths, Place], now_ms: int) -> None:
    paths, place = fresh
    before = len(place.versions())
    shutil.rmtree(paths.copies)  # even who forgot everything writes nothing twice
    place.copy(paths, now_ms)
    assert len(place.versions()) == before


# --- places that do not lock, are not there, or do not know us


def probed(place: Place) -> str:
    with pytest.raises(CopyUnavailable) as caught:
        place.run(lambda store: store.probe())
    return str(caught.value)


def test_a_bucket_without_lock_is_refused(storage: ObjectStorage) -> None:
    assert "without object lock" in probed(Place(storage, "unlocked"))


def test_a_bucket_that_is_not_there_is_refused(storage: ObjectStorage) -> None:
    assert "no bucket 'absent'" in probed(Place(storage, "absent"))


def test_a_wrong_secret_is_refused(storage: ObjectStorage) -> None:
    assert "403 SignatureDoesNotMatch" in probed(Place(storage, secret="wrong"))


def test_the_right_place_passes(storage: ObjectStorage) -> None:
    Place(storage).run(lambda store: store.probe())


def test_a_place_that_is_away(storage: ObjectStorage) -> None:
    away = ObjectStorage("http://127.0.0.1:9", storage.access_key, storage.secret_key)
    assert "127.0.0.1:9" in probed(Place(away))
