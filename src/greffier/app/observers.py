"""Everyone who looks at a concluded request, one after the other."""

import logging
from collections.abc import Sequence

from greffier.boundary.ports import Observer
from greffier.core.events import Admission, Outcome, RequestFacts

log = logging.getLogger(__name__)


class Observers:
    """Passes a concluded request to each observer. Telemetry may fail and drop; a request never does because of it."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def concluded(self, facts: RequestFacts, admission: Admission | None, outcome: Outcome) -> None:
        """Take note of a request that is over."""
        for observer in self._observers:
            try:
                observer.concluded(facts, admission, outcome)
            except Exception:  # telemetry may drop what it sees; the evidence is durable already
                log.exception("%s failed to observe a request", type(observer).__name__)
