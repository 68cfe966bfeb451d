"""What a worker's journal does while its store cannot be written: the first row of the fail-closed matrix.

Events of the lower risk classes go to the worker's spool and are acknowledged from there, for as long as their class
allows; the others are refused at once. When the store is back, the spool is sent in its order before anything of the
same requests goes there directly, and the failure itself is put on record. Only the journal's writer thread calls this.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from greffier.audit.ports import JournalState, JournalUnavailable
from greffier.audit.settings import AuditSettings
from greffier.core.context import RiskClass
from greffier.core.events import Act, canonical, parse
from greffier.core.ids import new_id
from greffier.storage.group_commit import Pending, Row
from greffier.storage.spool import Kept, Spool

log = logging.getLogger(__name__)

LOOK_S = 0.1
"""How often to see whether the store is back."""

Answer = Callable[[list[Pending], JournalUnavailable | None], None]
"""Wakes those who wait for a batch."""

Send = Callable[[list[Kept]], str | None]
"""Writes events of one writer to the store, leaving out what it has; why it could not, or None."""


class Outage(msgspec.Struct):
    """A time during which the store could not be written, as this worker saw it.

    Attributes:
        since: Monotonic seconds.
        began_ms: Wall clock.
        why: What the store said first.
        spooled: Events acknowledged from the spool.
        refused: Events refused.
        ended: Monotonic seconds when it was reached again; None while it is not.
    """

    since: float
    began_ms: int
    why: str
    spooled: int = 0
    refused: int = 0
    ended: float | None = None


class Bridge:
    """The spools of one worker, and the outage they bridge."""

    def __init__(
        self, store: str, settings: AuditSettings, spools: Path | None, spool_bytes: int, answer: Answer
    ) -> None:
        """Take over what dead workers spooled.

        Args:
            store: What cannot be written, for people.
            settings: How long each risk class may go on.
            spools: Folder on a local disk; None refuses everything.
            spool_bytes: How large this worker's spool may grow.
            answer: Wakes those who wait for a batch.

        Raises:
            JournalUnavailable: The folder cannot be used.
        """
        self._store = store
        self._answer = answer
        self._bounds: dict[RiskClass, float] = {
            "minimal": settings.spool_minimal_s,
            "limited": settings.spool_limited_s,
            "high": 0.0,
        }
        self._name = f"{socket.gethostname()}-{os.getpid()}-{new_id('w')}"
        self._orphans: deque[Spool] = deque()
        for left in Spool.adopt(spools) if spools else ():
            if left.empty:  # its worker was killed while all was well
                left.close()
            else:
                self._orphans.append(left)
        self._spool = Spool.create(spools, self._name, spool_bytes) if spools else None
        self._number = 0
        self._next_look = 0.0
        self.outage: Outage | None = None

    @property
    def busy(self) -> bool:
        """Whether anything waits to be sent, or the store cannot be written."""
        return self.outage is not None or bool(self._orphans)

    @property
    def spools(self) -> bool:
        """Whether there is a spool at all."""
        return self._spool is not None

    def state(self) -> JournalState:
        """How it is going; what a dead worker left and this one sends counts as waiting too. From any thread."""
        outage = self.outage
        spools = [spool for spool in (self._spool, *tuple(self._orphans)) if spool is not None]
        return JournalState(
            why=outage.why if outage else "",
            out_s=time.monotonic() - outage.since if outage else 0.0,
            waiting=sum(spool.waiting for spool in spools),
            waiting_bytes=sum(spool.waiting_bytes for spool in spools),
            refused=outage.refused if outage else 0,
        )

    def begin(self, why: str) -> None:
        """The store cannot be written, from now on or still."""
        if self.outage is None:
            self.outage = Outage(time.monotonic(), time.time_ns() // 1_000_000, why)
            log.critical("%s cannot be written: %s", self._store, why)
        self.outage.ended = None
        self._next_look = time.monotonic() + LOOK_S

    def reached(self) -> None:
        """The store can be written again; the outage is over when nothing waits any more."""
        if self.outage is not None and self.outage.ended is None:
            self.outage.ended = time.monotonic()

    def span(self, batch: list[Pending], send: Callable[[list[Pending]], str | None] | None) -> None:
        """Answer a batch during an outage, or while the spool is being sent.

        Args:
            batch: What waits.
            send: Writes events that were not sent before, and says why it could not; None while the store is away.
        """
        high = [pending for pending in batch if pending.risk == "high"]
        if send is not None and high:  # nothing of their requests is in the spool, so they may go ahead of it
            why = send(high)
            if why is None:
                self._answer(high, None)
            else:
                self.begin(why)
                self.refuse(high, why)
            batch = [pending for pending in batch if pending.risk != "high"]
        self.keep(batch)

    def keep(self, batch: list[Pending]) -> None:
        """Answer a batch that was never sent to the store: spool what may be spooled, refuse the rest."""
        kept = [Kept(self._name, self._number + n, pending.row[5]) for n, pending in enumerate(batch, 1)]
        self._number += len(batch)
        self.keep_as(batch, kept)

    def keep_as(self, batch: list[Pending], kept: list[Kept]) -> None:
        """Answer a batch that may have reached the store under the numbers given."""
        allowed = [self._allowed(pending) for pending in batch]
        taken = [pending for pending, may in zip(batch, allowed, strict=True) if may]
        refused = [pending for pending, may in zip(batch, allowed, strict=True) if not may]
        outage = self.outage
        if taken and self._spool is not None:
            try:
                self._spool.append([event for event, may in zip(kept, allowed, strict=True) if may])
            except JournalUnavailable as error:
                self.refuse(taken, str(error))
            else:
                if outage is not None:
                    outage.spooled += len(taken)
                self._answer(taken, None)
        if refused and outage is not None:
            self.refuse(refused, outage.why)

    def refuse(self, batch: list[Pending], why: str) -> None:
        """Tell callers that their events are not durable."""
        if self.outage is not None:
            self.outage.refused += len(batch)
        self._answer(batch, JournalUnavailable(f"{self._store} cannot be written: {why}"))

    def _allowed(self, pending: Pending) -> bool:
        if self._spool is None or pending.risk == "high" or self.outage is None:
            return False
        if pending.follows:  # the prompt has left under the same rule: its ending is on record too, however late
            return True
        passed = (self.outage.ended or time.monotonic()) - self.outage.since
        return passed <= self._bounds[pending.risk]

    def catch_up(self, most: int, send: Send, conclude: Send) -> None:
        """Send one chunk of what is spooled; when nothing is left, the outage is over.

        Args:
            most: Events in a chunk.
            send: Sends events that the store may have already.
            conclude: Sends one event that it does not have.
        """
        if time.monotonic() < self._next_look:
            return
        while self._orphans and self._orphans[0].empty:
            self._finish_orphan(self._orphans[0])
        spool = self._spool if self._spool is not None and not self._spool.empty else next(iter(self._orphans), None)
        try:
            if spool is not None:
                chunk = spool.first(most)
                why = send(chunk) if chunk else None
                if why is not None:
                    self.begin(why)
                    return
                self.reached()
                spool.sent()
            if self.outage is not None and (self._spool is None or self._spool.empty):
                self._conclude(self.outage, conclude)
        except JournalUnavailable as error:
            log.critical("the spool is not being sent: %s", error)
            time.sleep(LOOK_S)

    def _conclude(self, outage: Outage, send: Send) -> None:
        lasted_ms = int(((outage.ended or time.monotonic()) - outage.since) * 1000)
        act = Act(
            id=new_id("evt"),
            ts=time.time_ns() // 1_000_000,
            action="journal.outage",
            actor="platform:journal",
            target=f"worker:{self._name}",
            reason=outage.why,
            details={
                "began_ms": outage.began_ms,
                "lasted_ms": lasted_ms,
                "spooled": outage.spooled,
                "refused": outage.refused,
            },
        )
        why = send([Kept(self._name, 0, canonical(act))])
        if why is not None:
            self.begin(why)
            return
        self.outage = None
        log.warning("%s is written again after %.1f s", self._store, lasted_ms / 1000)

    def _finish_orphan(self, spool: Spool) -> None:
        if spool.damaged:
            log.critical("%d line(s) of the spool %s were damaged; it is kept aside", spool.damaged, spool.name)
        log.warning("the spool that %s left has been sent", spool.name)
        spool.close()
        self._orphans.popleft()

    def close(self) -> None:
        """Let go of the spools; what was not sent is left for another worker."""
        for spool in (self._spool, *self._orphans):
            if spool is not None:
                spool.close()


def row_of(data: bytes) -> Row:
    """What a journal files of an event."""
    event = parse(data)
    return event.id, event.ts, event.tenant, str(type(event).__struct_config__.tag), event.request_id, data
