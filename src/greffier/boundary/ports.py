"""What the boundary needs from the outside."""

from typing import Protocol

from greffier.core.events import Admission, Outcome, RequestFacts


class Observer(Protocol):
    """Sees every concluded request: metrics and traces are derived from the same facts as the evidence.

    Called after the outcome is durable. It must not raise and must not block; it may drop what it sees.
    """

    def concluded(self, facts: RequestFacts, admission: Admission | None, outcome: Outcome) -> None:
        """Take note of a request that is over."""
        ...
