"""All API keys of the installation in memory, a fraction of a second behind the store.

Every worker polls the store's generation number and reads what changed, so a revocation acts on all of them within a
second without any message between them. Requests only ever read a dictionary.

When the store fails, the last good directory serves for a bounded time; after that nobody is let in by key, because a
revocation might have been missed. The answer is then "unavailable" for everyone and never "invalid" for a valid key
(BerriAI/litellm#29986: a database outage there meant 401 for valid keys, for hours).
"""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor

import msgspec

from greffier.core.clock import Clock
from greffier.core.context import Principal
from greffier.identity.keys import KeyRecord
from greffier.identity.ports import Generation, KeyStore, KeyStoreUnavailable

_LOG = logging.getLogger(__name__)

POLL_S = 0.2
OUTAGE_S = 900.0
_EARLY_GAP_S = 0.05  # strangers' keys can raise the store's load from 5 to at most 20 small reads a second
_EARLY_WAIT_S = 2.0


class KeyHolder(msgspec.Struct, frozen=True):
    """A key as requests need it, computed once when the key is read from the store."""

    principal: Principal
    tenant: str
    use_case: str
    purpose: str | None
    expires_ms: int
    revoked: bool


class DirectoryHealth(msgspec.Struct, frozen=True):
    """For ``/healthz`` and metrics.

    Attributes:
        keys: Number of keys known, revoked and expired ones included.
        generation: Generation number of the store that was last read.
        age_s: Seconds since the store last answered; infinite before it ever did.
        usable: Whether keys are still accepted.
        error: Why the last read failed; empty when it did not.
    """

    keys: int
    generation: int
    age_s: float
    usable: bool
    error: str


class KeyDirectory:
    """Finds the holder of a key by the key's SHA-256 digest.

    Looking up a digest in a dictionary is not constant-time, and need not be: what an attacker could learn from timing
    is a prefix of the *digest* of some stored key. To use it, he would have to find keys whose SHA-256 begins with
    chosen bits, and the search for the whole digest is still a preimage search over 178 random bits. The secret itself
    is compared with nothing.
    """

    def __init__(self, store: KeyStore, clock: Clock, *, poll_s: float = POLL_S, outage_s: float = OUTAGE_S) -> None:
        """Prepare; `start` reads the keys.

        Args:
            store: Where the keys are kept.
            clock: Source of time.
            poll_s: Seconds between two looks at the store.
            outage_s: Seconds for which the last good directory serves when the store fails.
        """
        self._store = store
        self._clock = clock
        self._poll_s = poll_s
        self._outage_s = outage_s
        self._holders: dict[bytes, KeyHolder] = {}
        self._generation = Generation("", 0)
        self._confirmed = float("-inf")
        self._error = "the keys have not been read yet"
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[bool]] = []
        self._task: asyncio.Task[None] | None = None
        # One thread of its own: a store that hangs must not take the loop's shared threads with it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="api-keys")

    async def start(self) -> None:
        """Read all keys, then keep up with the store in the background.

        Raises:
            KeyStoreUnavailable: The store cannot be read; the process should not start.
        """
        await self._read()
        self._task = asyncio.create_task(self._follow(), name="api-key-directory")

    async def close(self) -> None:
        """Stop following the store."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        _answer(self._waiting, answered=False)
        self._waiting = []
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def usable(self) -> bool:
        """Whether the store answered recently enough for the directory to be believed."""
        return self._clock.monotonic() - self._confirmed <= self._outage_s

    def find(self, digest: bytes) -> KeyHolder | None:
        """The holder of the key with this SHA-256 digest, revoked and expired ones included."""
        return self._holders.get(digest)

    def health(self) -> DirectoryHealth:
        """How the directory stands."""
        age_s = self._clock.monotonic() - self._confirmed
        return DirectoryHealth(len(self._holders), self._generation.number, age_s, self.usable, self._error)

    async def catch_up(self) -> bool:
        """Wait until a look at the store that began after this call has ended; False if the store did not answer.

        All callers that wait share one look, and looks keep a minimum distance, so callers cannot load the store.
        """
        if self._task is None:
            return False
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake.set()
        try:
            return await asyncio.wait_for(waiter, _EARLY_WAIT_S)
        except TimeoutError:
            return False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_EARLY_GAP_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(self._poll_s - _EARLY_GAP_S, 0.0))
            self._wake.clear()
            served, self._waiting = self._waiting, []
            try:
                await self._read()
            except KeyStoreUnavailable as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001 - a plugin's store may raise anything; we must go on asking it
                self._failed(f"the key store failed: {type(error).__name__}")
            _answer(served, answered=not self._error)

    def _failed(self, error: str) -> None:
        if not self._error:  # told once per outage, not five times a second
            _LOG.warning("the last known API keys serve for %.0f s at most: %s", self._outage_s, error)
        self._error = error

    async def _read(self) -> None:
        asked = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        fresh = await loop.run_in_executor(self._thread, self._changes)
        if fresh is not None:
            self._generation, self._holders = fresh
        # The answer describes the store as it was when we asked, not when the answer came.
        self._confirmed = asked
        if self._error and self._task is not None:
            _LOG.warning("the store of API keys answers again")
        self._error = ""

    def _changes(self) -> tuple[Generation, dict[bytes, KeyHolder]] | None:
        """Runs in the thread. The dictionary is replaced whole, so that requests never see a half-applied change."""
        seen = self._generation
        now = self._store.generation()
        if now == seen:
            return None
        same_store = now.store == seen.store and now.number > seen.number
        changes = self._store.changes(seen.number if same_store else 0)
        if same_store and changes.generation.store != seen.store:
            return None  # replaced between the two reads; the next look starts over
        holders = dict(self._holders) if same_store else {}
        holders.update((record.digest, _holder(record)) for record in changes.records)
        return changes.generation, holders


def _answer(waiting: list[asyncio.Future[bool]], *, answered: bool) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(answered)


def _holder(record: KeyRecord) -> KeyHolder:
    principal = Principal(
        ref=f"key:{record.id}",
        type=record.principal_type,
        authn="api_key",
        credential_id=record.family,
        groups=record.groups,
        roles=record.roles,
        attributes=record.attributes,
    )
    return KeyHolder(
        principal,
        record.tenant,
        record.use_case,
        record.purpose,
        record.expires_ms,
        record.revoked_ms is not None,
    )
