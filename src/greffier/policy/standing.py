"""What people have said about the processing of their data, in memory: consents, objections, restrictions.

Every worker polls the ledger's generation number and reads what was entered since, so an objection acts on all of them
within a second or two. A request costs one look into a dictionary per person. When the ledger cannot be read for a
minute, personal data is refused for everyone: an objection might have been missed.
"""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import msgspec

from greffier.core.clock import Clock
from greffier.core.errors import Code
from greffier.core.rulings import Deny

log = logging.getLogger(__name__)

POLL_S = 1.0
STALE_S = 60.0
EVERY_PURPOSE = ""

Kind = Literal["consent", "objection", "restriction"]

OBJECTION = "builtin:objection"
RESTRICTION = "builtin:restriction"
CONSENT = "builtin:consent"
LEDGER = "builtin:privacy-ledger"


class Entry(msgspec.Struct, frozen=True):
    """One line of the ledger, as requests need it.

    Attributes:
        number: Grows with every line.
        purpose: The purpose it is about; empty for every purpose.
        active: True when entered or given, False when lifted or withdrawn.
        origin: Who keeps it up; entries of two origins do not lift each other.
    """

    number: int
    tenant: str
    subject: str
    purpose: str
    kind: Kind
    active: bool
    origin: str = ""


class LedgerState(msgspec.Struct, frozen=True):
    """Which state of which ledger was read; another store name means another ledger (restored or new)."""

    store: str
    number: int


class LedgerUnavailable(Exception):  # noqa: N818 - named for the condition
    """The ledger cannot be read or written now."""


class Ledger(Protocol):
    """Where entries are kept. Blocking; never on the request path. Every method raises `LedgerUnavailable`."""

    def state(self) -> LedgerState:
        """Cheap enough to ask once a second."""
        ...

    def entries(self, after: int) -> list[Entry]:
        """Entries with a higher number, in order."""
        ...


_Key = tuple[str, str]


class Standing:
    """The sum of the ledger. One per worker; outlives snapshots."""

    def __init__(self, ledger: Ledger, clock: Clock, *, poll_s: float = POLL_S, stale_s: float = STALE_S) -> None:
        """Prepare; `start` reads the ledger.

        Args:
            ledger: Where entries are kept.
            clock: Source of time.
            poll_s: Seconds between two looks.
            stale_s: Seconds after which an unreadable ledger refuses personal data.
        """
        self._ledger = ledger
        self._clock = clock
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._barred: dict[_Key, dict[tuple[Kind, str], set[str]]] = {}
        self._consents: dict[_Key, set[str]] = {}
        self._seen = LedgerState("", 0)
        self._confirmed = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="privacy-ledger")

    async def start(self) -> None:
        """Read the ledger, then keep up with it in the background.

        Raises:
            LedgerUnavailable: It cannot be read; the process should not start.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="privacy-standing")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def refresh(self) -> None:
        """Take in what was entered since the last look.

        Raises:
            LedgerUnavailable: The ledger cannot be read.
        """
        began = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._thread, self._ledger.state)
        if state != self._seen:
            whole = state.store != self._seen.store or state.number < self._seen.number
            after = 0 if whole else self._seen.number
            entries = await loop.run_in_executor(self._thread, self._ledger.entries, after)
            if whole:
                self._barred, self._consents = {}, {}
            for entry in entries:
                self._take(entry)
            self._seen = LedgerState(state.store, max([after, *(entry.number for entry in entries)]))
        self._confirmed = began

    def ruling(
        self, tenant: str, subjects: tuple[str, ...], purpose: str, *, personal: bool, needs_consent: bool
    ) -> Deny | None:
        """Whether processing is barred for any of these people; None lets it go on. Two look-ups at most per person."""
        if personal and self._clock.monotonic() - self._confirmed > self._stale_s:
            return Deny(Code.PRIVACY_UNAVAILABLE, LEDGER, "Objections and consents could not be read for too long.")
        if self._barred:
            for subject in subjects:
                barred = self._barred.get((tenant, subject))
                if barred:
                    found = _barred(barred, purpose)
                    if found is not None:
                        return found
        if not needs_consent:
            return None
        for subject in subjects:
            given = self._consents.get((tenant, subject))
            if given and purpose in given:
                return None
        who = "no consent of the end user is in effect" if subjects else "the request does not name its end user"
        return Deny(Code.CONSENT_MISSING, CONSENT, f"This purpose needs consent (GDPR Art. 6(1)(a)), and {who}.")

    def _take(self, entry: Entry) -> None:
        key = (entry.tenant, entry.subject)
        if entry.kind == "consent":
            given = self._consents.setdefault(key, set())
            if entry.active:
                given.add(entry.purpose)
            else:
                given.discard(entry.purpose)
            if not given:
                del self._consents[key]
            return
        barred = self._barred.setdefault(key, {})
        origins = barred.setdefault((entry.kind, entry.purpose), set())
        if entry.active:
            origins.add(entry.origin)
        else:
            origins.discard(entry.origin)
        if not origins:
            del barred[entry.kind, entry.purpose]
        if not barred:
            del self._barred[key]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except LedgerUnavailable as error:
                log.warning("objections and consents may be behind: %s", error)


def _barred(barred: dict[tuple[Kind, str], set[str]], purpose: str) -> Deny | None:
    if ("restriction", EVERY_PURPOSE) in barred or ("restriction", purpose) in barred:
        return Deny(
            Code.PROCESSING_RESTRICTED, RESTRICTION, "Processing of this person's data is restricted (GDPR Art. 18)."
        )
    if ("objection", EVERY_PURPOSE) in barred or ("objection", purpose) in barred:
        return Deny(
            Code.PROCESSING_OBJECTED, OBJECTION, "The person objected to processing for this purpose (GDPR Art. 21)."
        )
    return None
