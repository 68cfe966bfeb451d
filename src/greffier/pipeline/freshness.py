"""How long a configuration may serve without anyone confirming that it is still the one in force."""

from greffier.core.clock import Clock
from greffier.core.errors import Code
from greffier.core.rulings import Deny

EXPIRED = Deny(
    Code.SNAPSHOT_EXPIRED,
    "builtin:max-snapshot-age",
    "The configuration could not be confirmed for longer than max_snapshot_age_s.",
    retry_after_s=5.0,
)


class Freshness:
    """Outlives snapshots. Confirmed by whoever follows the workspace; read by every request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._confirmed_s = clock.monotonic()

    def confirm(self) -> None:
        """What is in force is what should be, as of now."""
        self._confirmed_s = self._clock.monotonic()

    def age_s(self) -> float:
        """Seconds since the last confirmation."""
        return self._clock.monotonic() - self._confirmed_s


class Expiry:
    """The bound of one snapshot on its own age."""

    def __init__(self, freshness: Freshness, max_age_s: float | None) -> None:
        self._freshness = freshness
        self._max_age_s = max_age_s

    def passed(self) -> bool:
        """Whether nothing may be answered under this snapshot any more."""
        return self._max_age_s is not None and self._freshness.age_s() > self._max_age_s
