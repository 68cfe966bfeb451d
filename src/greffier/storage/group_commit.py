"""What journals with group commit share: the event loop's side, and how long to gather before a commit.

Callers append on the event loop; a writer thread, which each store brings, takes what is queued and commits it at once.
"""

import asyncio
import contextlib
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque

from greffier.audit.ports import JournalState, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.context import RiskClass
from greffier.core.events import AnyEvent, Outcome, canonical
from greffier.core.threads import COMMITTING, give_way

MAX_EVENT_BYTES = 65_535  # the Merkle log's entry bundles prefix each entry with its length as uint16
MAX_QUEUED = 20_000
_SWEEP_S = 0.25  # what was answered is forgotten after that long at most, however long a caller may wait

Row = tuple[str, int, str, str, str, bytes]
"""Identifier, time, tenant, kind, request and canonical bytes of an event."""


class Pending:
    """One append on its way. ``withdrawn`` is set when its waiter was refused, and read as a batch is put together."""

    __slots__ = ("deadline", "follows", "future", "risk", "row", "withdrawn")

    def __init__(
        self, row: Row, future: "asyncio.Future[None]", deadline: float, risk: RiskClass, *, follows: bool
    ) -> None:
        self.row = row
        self.future = future
        self.deadline = deadline
        self.risk: RiskClass = risk
        self.follows = follows
        self.withdrawn = False


class Pace:
    """How long to gather events before a commit, from the rate of the last 50 ms. Seconds.

    Each commit costs the processor a few hundred microseconds, most of them for handing the interpreter lock to the
    writer and back, so a busy worker is quicker when it commits less often. On one pinned core with 32 callers a
    request costs 2.1 ms of CPU without gathering and 1.8 ms with it. Below 1,000 events/s the processor has time to
    spare and the latency matters more.
    """

    _WINDOW = 0.05
    _QUIET_RATE = 1000.0
    _FULL_RATE = 2000.0
    _MOST = 0.005

    def __init__(self, fixed: float) -> None:
        self._fixed = fixed
        self._since = time.monotonic()
        self._count = 0
        self.delay = fixed

    def committed(self, count: int) -> None:
        """Note a commit of ``count`` events."""
        self._count += count
        now = time.monotonic()
        if self._fixed or now - self._since < self._WINDOW:
            return
        rate = self._count / (now - self._since)
        share = (rate - self._QUIET_RATE) / (self._FULL_RATE - self._QUIET_RATE)
        self.delay = self._MOST * min(max(share, 0.0), 1.0)
        self._since, self._count = now, 0


class GroupCommit(ABC):
    """Journal port, without the store. One object per worker and event loop.

    A wait is bounded by ``append_timeout_ms``: an event still queued by then is withdrawn, so it will not become
    durable later. Only when storage hangs inside the commit itself is the outcome unknown: the waiter is refused, and
    the record may turn up without its effect, never the other way round.
    """

    _STORE = "the disk"

    def __init__(self, settings: AuditSettings) -> None:
        self._timeout = settings.append_timeout_ms / 1000
        self._every = min(self._timeout / 8, _SWEEP_S)
        self._pace = Pace(settings.commit_interval_ms / 1000)
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._waiting: deque[Pending] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    async def append(self, event: AnyEvent, *, risk: RiskClass = "high") -> None:
        """Return once the event is on stable storage; see the port.

        Raises:
            JournalUnavailable: Not durable: storage failed, the wait was too long, or too many are waiting already.
        """
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._queue.qsize() >= MAX_QUEUED:
            raise JournalUnavailable(f"{MAX_QUEUED} events are waiting for {self._STORE} already")
        data = canonical(event)
        if len(data) > MAX_EVENT_BYTES:
            raise JournalUnavailable(f"the event has {len(data)} bytes; the log takes {MAX_EVENT_BYTES}")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        kind = type(event).__struct_config__.tag
        row = (event.id, event.ts, event.tenant, str(kind), event.request_id, data)
        follows = type(event) is Outcome and event.facts is None
        deadline = self._loop.time() + self._timeout
        pending = Pending(row, self._loop.create_future(), deadline, risk, follows=follows)
        self._waiting.append(pending)
        self._queue.put(pending)
        if self._watch is None:
            self._watch = self._loop.call_later(self._every, self._sweep, self._loop)
        await pending.future

    @property
    def queued(self) -> int:
        """Events waiting for their commit: the journal's lag, for metrics."""
        return self._queue.qsize()

    def state(self) -> JournalState:
        """See the port: without a spool nothing waits, and a store that fails answers each caller itself."""
        return JournalState()

    async def close(self) -> None:
        """Commit what is queued, then release; appends from now on are refused."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._writer.join, self._timeout + 1)
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            self._refuse(self._waiting.popleft(), f"the journal was closed before {self._STORE} answered")

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        # One timer for all waiters instead of one each: they queue in the order of their deadlines.
        now = loop.time()
        while self._waiting and (self._waiting[0].future.done() or self._waiting[0].deadline <= now):
            self._refuse(self._waiting.popleft(), f"{self._STORE} did not answer within {self._timeout:g} s")
        self._watched()
        self._watch = loop.call_later(self._every, self._sweep, loop) if self._waiting else None

    def _watched(self) -> None:  # noqa: B027 - a hook for stores that can hang, not a duty
        """Called from time to time while anyone waits, on the event loop."""

    def _refuse(self, pending: Pending, reason: str) -> None:
        if pending.future.done():  # a caller who hung up is recorded all the same
            return
        pending.withdrawn = True
        pending.future.set_exception(JournalUnavailable(reason))

    def _run(self) -> None:
        give_way(COMMITTING)
        self._write()

    @abstractmethod
    def _write(self) -> None:
        """The writer thread: commit what is queued until None was taken from the queue, then release everything."""

    def _drain(self, backlog: list[Pending]) -> bool:
        """Take all that is queued; True when the journal is being closed."""
        for _ in range(self._queue.qsize()):
            pending = self._queue.get()
            if pending is None:
                return True
            backlog.append(pending)
        return False

    def _answer(self, batch: list[Pending], error: JournalUnavailable | None) -> None:
        """Wake the waiters of a batch, from the writer thread."""
        if self._loop is not None and batch:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake, batch, error)

    @staticmethod
    def _wake(batch: list[Pending], error: JournalUnavailable | None) -> None:
        for pending in batch:
            if pending.future.done():
                continue
            if error is None:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(JournalUnavailable(*error.args))
