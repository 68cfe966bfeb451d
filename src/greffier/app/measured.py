"""A journal that tells how long its callers waited."""

import time
from collections.abc import Callable

from greffier.audit.ports import Journal, JournalState
from greffier.core.context import RiskClass
from greffier.core.events import AnyEvent


class MeasuredJournal:
    """Passes everything on; implements the same port."""

    def __init__(self, journal: Journal, waited: Callable[[float], None]) -> None:
        self._journal = journal
        self._waited = waited

    async def append(self, event: AnyEvent, *, risk: RiskClass = "high") -> None:
        """Append, and report the seconds until the event was durable.

        Raises:
            JournalUnavailable: As from the journal; a failed wait is not reported.
        """
        began = time.perf_counter()
        await self._journal.append(event, risk=risk)
        self._waited(time.perf_counter() - began)

    def state(self) -> JournalState:
        """How the journal is doing."""
        return self._journal.state()

    async def close(self) -> None:
        """Close the journal."""
        await self._journal.close()
