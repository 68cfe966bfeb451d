# ruff: noqa: ASYNC240 - moving a file away is the fault under test
"""API keys from the store, through the directory, to a context: real store, real background task."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from greffier.core.context import Arrival, Credential, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.identity.authenticators import Authenticators
from greffier.identity.claims import Pseudonyms
from greffier.identity.directory import KeyDirectory
from greffier.identity.jwks import IssuerKeys
from greffier.identity.keys import IssuedKey, issue_key, issue_successor
from greffier.identity.ports import Generation, KeyStoreUnavailable
from greffier.identity.tokens import TokenVerifier
from greffier.storage.keys import SqliteKeyStore
from greffier.testing.clock import ManualClock
from greffier.testing.issuer import MemoryIssuer

HOUR = 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteKeyStore]:
    opened = SqliteKeyStore(path)
    yield opened
    opened.close()


@asynccontextmanager
async def following(store: SqliteKeyStore, clock: ManualClock, **options: float) -> AsyncIterator[KeyDirectory]:
    directory = KeyDirectory(store, clock, **options)
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


@pytest.fixture
async def directory(store: SqliteKeyStore, clock: ManualClock) -> AsyncIterator[KeyDirectory]:
    async with following(store, clock) as started:
        yield started


@pytest.fixture
def authenticators(directory: KeyDirectory) -> Authenticators:
    return by_key(directory)


def by_key(directory: KeyDirectory) -> Authenticators:
    """A gateway of a workspace that trusts no issuer."""
    clock = ManualClock()
    return Authenticators(directory, TokenVerifier({}, IssuerKeys(MemoryIssuer(), clock), Pseudonyms(bytes(32))))


def a_key(clock: ManualClock, **options: object) -> IssuedKey:
    settings: dict[str, object] = {
        "tenant": "acme",
        "use_case": "claims",
        "created_ms": clock.wall_ms(),
        "expires_ms": clock.wall_ms() + HOUR,
    }
    return issue_key(**(settings | options))  # type: ignore[arg-type]


def arriving(secret: str | None, clock: ManualClock) -> Arrival:
    credential = None if secret is None else Credential("bearer", secret)
    return Arrival("req_1", "chat_completions", credential, "127.0.0.1", clock.wall_ms(), clock.monotonic())


async def context_of(authenticators: Authenticators, secret: str, clock: ManualClock) -> RequestContext:
    ruling = await authenticators.authenticate(arriving(secret, clock))
    assert isinstance(ruling, Allow), ruling
    return ruling.value


async def refusal_of(authenticators: Authenticators, secret: str | None, clock: ManualClock) -> Deny:
    ruling = await authenticators.authenticate(arriving(secret, clock))
    assert isinstance(ruling, Deny), ruling
    return ruling


async def until(directory: KeyDirectory, number: int) -> None:
    for _ in range(200):
        if directory.health().generation >= number:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"the directory did not reach generation {number}: {directory.health()}")


async def test_the_context_holds_what_the_key_is_bound_to(
    store: SqliteKeyStore, authenticators: Authenticators, clock: ManualClock
) -> None:
    issued = a_key(
        clock,
        groups=("analysts",),
        roles=("reader",),
        purpose="claims-handling",
        attributes={"department": "claims"},
        principal_type="agent",
    )
    store.create(issued.record)
    context = await context_of(authenticators, issued.key, clock)
    assert (context.tenant, context.use_case, context.purpose) == ("acme", "claims", "claims-handling")
    assert (context.request_id, context.surface) == ("req_1", "chat_completions")
    principal = context.principal
    assert (principal.ref, principal.credential_id) == (f"key:{issued.record.id}", issued.record.id)
    assert (principal.type, principal.authn) == ("agent", "api_key")
    assert (principal.groups, principal.roles) == (("analysts",), ("reader",))
    assert principal.attributes == {"department": "claims"}


async def test_a_key_works_as_soon_as_it_was_created(
    store: SqliteKeyStore, authenticators: Authenticators, clock: ManualClock
) -> None:
    for _ in range(5):
        issued = a_key(clock)
        store.create(issued.record)
        assert (await context_of(authenticators, issued.key, clock)).principal.ref == f"key:{issued.record.id}"


async def test_no_credential(authenticators: Authenticators, clock: ManualClock) -> None:
    assert (await refusal_of(authenticators, None, clock)).code is Code.MISSING_CREDENTIALS
    assert (await refusal_of(authenticators, "", clock)).code is Code.MISSING_CREDENTIALS


@pytest.mark.parametrize(
    "secret",
    [
        "sk-something-else",
        "grf_",
        "grf_0123456789ab_" + "0" * 36,
        "grf_" + "\udc80" * 49,
        "grf_" + "é" * 49,
        "grf_" + "x" * 100_000,
        "' OR 1=1 --",
        "Bearer",
        "\x00",
        "sk-proj-a.b",
        "a.b.c.d.e",
    ],
)
async def test_what_is_not_a_key_is_refused(authenticators: Authenticators, clock: ManualClock, secret: str) -> None:
    assert (await refusal_of(authenticators, secret, clock)).code is Code.INVALID_API_KEY


async def test_refusals_do_not_tell_whether_a_key_exists(
    store: SqliteKeyStore, authenticators: Authenticators, clock: ManualClock
) -> None:
    known, expired, revoked, unknown = (a_key(clock) for _ in range(4))
    store.create(known.record)
    store.create(a_key(clock, expires_ms=clock.wall_ms() - 1).record)
    store.create(expired.record)
    store.create(revoked.record)
    store.revoke(revoked.record.id, at_ms=clock.wall_ms(), reason="")
    # The id of a real key of any state, with a secret that is not its own.
    foreign_secret = unknown.key[17:]
    attempts = [unknown.key, *(f"grf_{key.record.id}_{foreign_secret}" for key in (known, expired, revoked))]
    answers = [await refusal_of(authenticators, attempt, clock) for attempt in attempts]
    assert len(set(map(repr, answers))) == 1
    assert answers[0].code is Code.INVALID_API_KEY


async def test_the_holder_of_the_secret_learns_that_it_expired_or_was_revoked(
    store: SqliteKeyStore, authenticators: Authenticators, clock: ManualClock
) -> None:
    expiring, revoked = a_key(clock, expires_ms=clock.wall_ms() + 600_000), a_key(clock)
    store.create(expiring.record)
    store.create(revoked.record)
    store.revoke(revoked.record.id, at_ms=clock.wall_ms(), reason="left the company")
    clock.advance(599.999)
    await context_of(authenticators, expiring.key, clock)
    clock.advance(0.001)
    assert (await refusal_of(authenticators, expiring.key, clock)).code is Code.EXPIRED_API_KEY
    refusal = await refusal_of(authenticators, revoked.key, clock)
    assert refusal.code is Code.REVOKED_API_KEY
    assert "left the company" not in refusal.reason


async def test_revocation_reaches_every_worker(store: SqliteKeyStore, path: Path, clock: ManualClock) -> None:
    issued = a_key(clock)
    store.create(issued.record)
    own_connections = [SqliteKeyStore(path) for _ in range(2)]
    async with following(own_connections[0], clock) as one, following(own_connections[1], clock) as two:
        for directory in (one, two):
            await context_of(by_key(directory), issued.key, clock)
        store.revoke(issued.record.id, at_ms=clock.wall_ms(), reason="")
        for directory in (one, two):
            await until(directory, store.generation().number)
            assert (await refusal_of(by_key(directory), issued.key, clock)).code is Code.REVOKED_API_KEY
    for connection in own_connections:
        connection.close()


async def test_both_keys_work_during_the_overlap_and_count_as_one(
    store: SqliteKeyStore, directory: KeyDirectory, authenticators: Authenticators, clock: ManualClock
) -> None:
    old = a_key(clock)
    store.create(old.record)
    new = issue_successor(old.record, created_ms=clock.wall_ms(), expires_ms=clock.wall_ms() + 10 * HOUR)
    store.rotate(old.record.id, new.record, clock.wall_ms() + 60_000)
    await until(directory, store.generation().number)
    first = await context_of(authenticators, old.key, clock)
    second = await context_of(authenticators, new.key, clock)
    assert first.principal.ref != second.principal.ref
    assert first.principal.credential_id == second.principal.credential_id
    clock.advance(60)
    assert (await refusal_of(authenticators, old.key, clock)).code is Code.EXPIRED_API_KEY
    await context_of(authenticators, new.key, clock)


async def test_an_outage_of_the_store_is_bridged_then_503_for_everyone(
    store: SqliteKeyStore, path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    known, stranger = a_key(clock, expires_ms=clock.wall_ms() + 9 * HOUR), a_key(clock)
    store.create(known.record)
    async with following(store, clock, outage_s=900) as directory:
        authenticators = by_key(directory)
        path.rename(path.with_suffix(".away"))
        # A key that nobody has seen may be a valid new one: unavailable, not invalid.
        assert (await refusal_of(authenticators, stranger.key, clock)).code is Code.IDENTITY_UNAVAILABLE
        assert directory.health().error
        clock.advance(899)
        await context_of(authenticators, known.key, clock)
        clock.advance(2)
        for key in (known.key, stranger.key):
            refusal = await refusal_of(authenticators, key, clock)
            assert refusal.code is Code.IDENTITY_UNAVAILABLE
            assert refusal.retry_after_s
        assert not directory.health().usable
        path.with_suffix(".away").rename(path)
        await directory.catch_up()
        await context_of(authenticators, known.key, clock)
        assert directory.health().error == ""
        assert (await refusal_of(authenticators, stranger.key, clock)).code is Code.INVALID_API_KEY
    told = [record.getMessage() for record in caplog.records]
    assert ["the last known API keys serve" in told[0], "answers again" in told[1], len(told)] == [True, True, 2]


async def test_a_store_that_hangs_is_an_outage_too(path: Path, clock: ManualClock) -> None:
    class HangingStore(SqliteKeyStore):
        hung = threading.Event()
        released = threading.Event()

        def generation(self) -> Generation:
            if self.hung.is_set():
                self.released.wait(30)
            return super().generation()

    store = HangingStore(path)
    known, stranger = a_key(clock), a_key(clock)
    store.create(known.record)
    async with following(store, clock, outage_s=60) as directory:
        authenticators = by_key(directory)
        store.hung.set()
        # Nobody waits for the store without bound, and known keys do not wait at all.
        assert (await refusal_of(authenticators, stranger.key, clock)).code is Code.IDENTITY_UNAVAILABLE
        await context_of(authenticators, known.key, clock)
        clock.advance(61)
        assert (await refusal_of(authenticators, known.key, clock)).code is Code.IDENTITY_UNAVAILABLE
        store.released.set()
        store.hung.clear()
        assert await directory.catch_up()
        await context_of(authenticators, known.key, clock)
    store.close()


async def test_a_store_that_breaks_its_contract_is_an_outage(path: Path, clock: ManualClock) -> None:
    class BrokenStore(SqliteKeyStore):
        broken = False

        def generation(self) -> Generation:
            if self.broken:
                raise ZeroDivisionError
            return super().generation()

    store = BrokenStore(path)
    async with following(store, clock) as directory:
        store.broken = True
        refusal = await refusal_of(by_key(directory), a_key(clock).key, clock)
        assert refusal.code is Code.IDENTITY_UNAVAILABLE
        assert "ZeroDivisionError" in directory.health().error
        store.broken = False
        assert await directory.catch_up()
    store.close()


async def test_an_answer_that_took_long_is_as_old_as_its_question(path: Path, clock: ManualClock) -> None:
    class SlowStore(SqliteKeyStore):
        def generation(self) -> Generation:
            seen = super().generation()
            clock.advance(30)  # whatever was revoked meanwhile is not in the answer
            return seen

    store = SlowStore(path)
    async with following(store, clock, poll_s=60) as directory:
        assert directory.health().age_s == 30
    store.close()


async def test_a_flood_of_strangers_shares_a_few_looks_at_the_store(path: Path, clock: ManualClock) -> None:
    class CountingStore(SqliteKeyStore):
        looks = 0

        def generation(self) -> Generation:
            self.looks += 1
            return super().generation()

    store = CountingStore(path)
    async with following(store, clock, poll_s=60) as directory:
        authenticators = by_key(directory)
        before = store.looks
        strangers = [a_key(clock).key for _ in range(500)]
        refusals = await asyncio.gather(*(refusal_of(authenticators, key, clock) for key in strangers))
        assert {refusal.code for refusal in refusals} == {Code.INVALID_API_KEY}
        assert store.looks - before <= 2
    store.close()


async def test_looks_at_the_store_keep_their_distance(directory: KeyDirectory) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(6):
        assert await directory.catch_up()
    assert loop.time() - began > 5 * 0.045, "a lower bound: strangers one after another must wait for their turn"


async def test_a_wrong_checksum_never_reaches_the_store(path: Path, clock: ManualClock) -> None:
    store = SqliteKeyStore(path)
    directory = KeyDirectory(store, clock)
    await directory.start()
    await directory.close()  # from here on, waiting for the store would mean "unavailable"
    key = a_key(clock).key
    broken = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert (await refusal_of(by_key(directory), broken, clock)).code is Code.INVALID_API_KEY
    assert (await refusal_of(by_key(directory), key, clock)).code is Code.IDENTITY_UNAVAILABLE
    store.close()


async def test_a_restored_database_replaces_the_directory(
    store: SqliteKeyStore, path: Path, clock: ManualClock, tmp_path: Path
) -> None:
    gone, restored = a_key(clock), a_key(clock)
    store.create(gone.record)
    backup = SqliteKeyStore(tmp_path / "backup.db")
    backup.create(restored.record)
    backup.close()
    async with following(store, clock) as directory:
        authenticators = by_key(directory)
        await context_of(authenticators, gone.key, clock)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        (tmp_path / "backup.db").rename(path)
        await context_of(authenticators, restored.key, clock)
        assert (await refusal_of(authenticators, gone.key, clock)).code is Code.INVALID_API_KEY


async def test_a_store_that_cannot_be_read_stops_the_start(
    store: SqliteKeyStore, path: Path, clock: ManualClock
) -> None:
    path.unlink()
    directory = KeyDirectory(store, clock)
    with pytest.raises(KeyStoreUnavailable):
        await directory.start()
    await directory.close()


async def test_before_the_start_nobody_is_refused_as_invalid(store: SqliteKeyStore, clock: ManualClock) -> None:
    issued = a_key(clock)
    store.create(issued.record)
    directory = KeyDirectory(store, clock)
    assert (await refusal_of(by_key(directory), issued.key, clock)).code is Code.IDENTITY_UNAVAILABLE
    await directory.close()


async def test_closing_twice_is_harmless(store: SqliteKeyStore, clock: ManualClock) -> None:
    directory = KeyDirectory(store, clock)
    await directory.start()
    await directory.close()
    await directory.close()


async def test_a_token_in_a_workspace_without_issuers(authenticators: Authenticators, clock: ManualClock) -> None:
    token = MemoryIssuer().token(MemoryIssuer().claims(clock.wall_ms() / 1000))
    assert (await refusal_of(authenticators, token, clock)).rule == "identity.token.issuer"
