"""Budgets survive a restart: what was spent is summed up in the background, and counted again at a worker's start.

The journal is the only source. A thread of the supervisor follows it and keeps sums per day; a starting worker takes
this month's sums and the few events after them, so that the start costs the same with a hundred million records.
"""

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from greffier.app.stores import open_reader, open_spend
from greffier.audit.ports import JournalReader, JournalUnavailable, Sequenced
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import Clock, SystemClock
from greffier.core.threads import BOOKKEEPING, give_way
from greffier.limits.service import SpendEntry
from greffier.storage.spend import Account, SpendUnavailable

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_CHUNK = 2000
_MAX_OPEN = 20_000  # admissions remembered until their outcome; an older one is looked up in the journal instead
_LAST_LOOK_S = 10.0
_DAY_MS = 86_400_000


class _Facts(msgspec.Struct, frozen=True):
    credential: str = ""
    use_case: str = ""
    model: str = ""


class _Line(msgspec.Struct, frozen=True):
    """The few fields of a record that money needs; the rest is skipped unread."""

    kind: str
    ts: int
    tenant: str = ""
    request_id: str = ""
    cost_micro: int = 0
    charged_micro: int | None = None
    facts: _Facts | None = None


_LINE = msgspec.json.Decoder(_Line)
_DAMAGED = _Line("damaged", 0)  # tells nothing about money; verification is what reports it


def _line(event: Sequenced) -> _Line:
    try:
        return _LINE.decode(event.data)
    except msgspec.MsgspecError:
        return _DAMAGED


class Ledger:
    """Adds up what events say was spent. Feed them in order; an outcome is charged to the day of its admission."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._open: OrderedDict[str, Account] = OrderedDict()

    def add_up(self, events: Iterable[Sequenced]) -> dict[Account, int]:
        """Micro-units per account.

        Raises:
            JournalUnavailable: An admission had to be looked up and could not be.
        """
        sums: dict[Account, int] = {}
        for event in events:
            line = _line(event)
            if line.kind == "admission":
                self._remember(line)
            elif line.kind == "outcome":
                account = self._open.pop(line.request_id, None)
                micro = line.cost_micro if line.charged_micro is None else line.charged_micro
                if micro and (account := account or self._look_up(line)):
                    sums[account] = sums.get(account, 0) + micro
        return sums

    def _remember(self, line: _Line) -> None:
        self._open[line.request_id] = _account(line)
        if len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)

    def _look_up(self, outcome: _Line) -> Account | None:
        found = map(_line, self._reader.find(outcome.request_id))
        return next((_account(line) for line in found if line.kind == "admission"), None)


def _account(admission: _Line) -> Account:
    facts = admission.facts or _Facts()
    return Account(admission.ts // _DAY_MS, admission.tenant, facts.credential, facts.use_case, facts.model)


class Bookkeeper:
    """Keeps the sums up with the journal. One per platform; a second one does no harm."""

    def __init__(self, paths: WorkspacePaths, clock: Clock) -> None:
        """Open journal and sums.

        Raises:
            SpendUnavailable: The sums cannot be opened.
            JournalUnavailable: There is no journal.
        """
        self._clock = clock
        self._book = open_spend(paths)
        self._reader = open_reader(paths)
        self._ledger = Ledger(self._reader)
        self._problem = ""

    def catch_up(self, stop: threading.Event | None = None) -> None:
        """Count every event not counted yet, a chunk at a time.

        Raises:
            SpendUnavailable: The sums cannot be written.
            JournalUnavailable: The journal cannot be read.
        """
        while stop is None or not stop.is_set():
            seen = self._book.cursor()
            cursor = start_of(seen, self._reader, self._clock)
            events = self._reader.read(cursor + 1, _CHUNK)
            if not events and cursor == seen:
                return
            sums = self._ledger.add_up(events)
            last = events[-1].seq if events else cursor
            if not self._book.advance(seen, last, sums):
                return  # another process counts them
            if len(events) < _CHUNK:
                return

    def run(self, stop: threading.Event) -> None:
        """Catch up every second until told to stop, then once more. For a thread of its own.

        An outage is logged once and tried again every second: budgets in force do not depend on it.
        """
        give_way(BOOKKEEPING)
        while not stop.wait(_EVERY_S):
            self._attempt(stop)
        self._attempt(None)
        self._book.close()
        self._reader.close()

    def _attempt(self, stop: threading.Event | None) -> None:
        try:
            self.catch_up(stop)
        except (SpendUnavailable, JournalUnavailable) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("spend is not being summed up: %s", error)  # noqa: TRY400 - the message says it all
            return
        if self._problem:
            log.warning("spend is being summed up again")
            self._problem = ""


@asynccontextmanager
async def bookkeeping(paths: WorkspacePaths) -> AsyncIterator[None]:
    """Keep the sums while inside; they are up to date on entry, so that workers find little left to read.

    Raises:
        SpendUnavailable: The sums cannot be opened or written.
        JournalUnavailable: The journal cannot be read.
    """
    keeper = Bookkeeper(paths, SystemClock())
    await asyncio.to_thread(keeper.catch_up)
    stop = threading.Event()
    thread = threading.Thread(target=keeper.run, args=(stop,), name="bookkeeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, _LAST_LOOK_S)


def spent_this_month(paths: WorkspacePaths, clock: Clock) -> list[SpendEntry]:
    """What was spent since the first of the month, UTC, up to the last durable record. Blocking.

    Raises:
        SpendUnavailable: The sums cannot be read.
        JournalUnavailable: The journal cannot be read.
    """
    book = open_spend(paths)
    try:
        cursor, entries = book.since(_month_start_ms(clock) // _DAY_MS, clock.wall_ms() // _DAY_MS)
    finally:
        book.close()
    reader = open_reader(paths)
    ledger = Ledger(reader)
    try:
        position = start_of(cursor, reader, clock)
        while events := reader.read(position + 1, _CHUNK):
            position = events[-1].seq
            entries += [_entry(account, micro) for account, micro in ledger.add_up(events).items()]
    finally:
        reader.close()
    return entries


def start_of(cursor: int | None, reader: JournalReader, clock: Clock) -> int:
    """The last event that need not be counted any more.

    Without sums, that is the last one before this month, found by halving: times hardly ever run backwards from one
    event to the next. When the journal is shorter than the sums cover, it was replaced by an older one; what was
    spent stays spent, and counting goes on at its end.
    """
    if cursor is not None:
        return min(cursor, reader.size())
    month = _month_start_ms(clock)
    low, high = 0, reader.size()
    while low < high:
        middle = (low + high + 1) // 2
        if _line(reader.read(middle, 1)[0]).ts < month:
            low = middle
        else:
            high = middle - 1
    return low


def _month_start_ms(clock: Clock) -> int:
    now = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()) * 1000


def _entry(account: Account, micro: int) -> SpendEntry:
    return SpendEntry(account.tenant, account.credential, account.use_case, account.model, account.day * _DAY_MS, micro)
