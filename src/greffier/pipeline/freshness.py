"""Whether the configuration in force, and the machine's clock, may be relied on, and for how long without knowing.

The rows "bundle expired or signature bad", "registry snapshot stale" and "clock not synced" of the fail-closed matrix:
what an unconfirmed configuration may still serve depends on the risk class of the use case (ADR 0134).
"""

from greffier.config.settings import InForceSettings
from greffier.core.clock import Clock, TimeSource
from greffier.core.context import RiskClass
from greffier.core.errors import Code
from greffier.core.rulings import Deny

_RETRY_S = 5.0

EXPIRED = Deny(
    Code.SNAPSHOT_EXPIRED,
    "builtin:max-snapshot-age",
    "The configuration could not be confirmed for longer than max_snapshot_age_s.",
    retry_after_s=_RETRY_S,
)
STALE = Deny(
    Code.SNAPSHOT_EXPIRED,
    "builtin:stale-configuration",
    "The configuration could not be confirmed for longer than in_force allows this risk class.",
    retry_after_s=_RETRY_S,
)
UNVERIFIED = Deny(
    Code.SNAPSHOT_EXPIRED,
    "builtin:unverified-configuration",
    "What should be in force has no good signature, or is no longer valid; in_force allows this risk class no more.",
    retry_after_s=_RETRY_S,
)
UNSYNCHRONISED = Deny(
    Code.CLOCK_UNSYNCHRONISED,
    "builtin:unsynchronised-clock",
    "The machine's clock is not synchronised, so the time of a high-risk record would prove nothing.",
    retry_after_s=_RETRY_S,
)


class Freshness:
    """Outlives snapshots. Told by whoever follows the workspace; read by every request.

    Attributes:
        time_source: Whether the machine's clock is kept in step with the world's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._confirmed_s = clock.monotonic()
        self._unverified_s: float | None = None
        self.time_source: TimeSource = "synchronised"

    def confirm(self) -> None:
        """What is in force is what should be, as of now."""
        self._confirmed_s = self._clock.monotonic()
        self._unverified_s = None

    def distrust(self) -> None:
        """What should be in force has no good signature, or what is in force is no longer valid.

        Only a confirmation ends it. A workspace that cannot be read a moment later is no reason to trust again what
        somebody took the trust from.
        """
        if self._unverified_s is None:
            self._unverified_s = self._clock.monotonic()

    def age_s(self) -> float:
        """Seconds since the last confirmation."""
        return self._clock.monotonic() - self._confirmed_s

    def unverified_s(self) -> float | None:
        """Seconds since what should be in force was first seen to be unverified; None while it is not."""
        return None if self._unverified_s is None else self._clock.monotonic() - self._unverified_s


class Expiry:
    """The bounds of one snapshot on its own age, by risk class."""

    def __init__(
        self,
        freshness: Freshness,
        bounds: InForceSettings,
        *,
        max_age_s: float | None = None,
        development: bool = False,
    ) -> None:
        """Set the bounds.

        Args:
            freshness: What is known.
            bounds: How long each risk class may go on.
            max_age_s: A shorter bound for everyone, whoever they are.
            development: Nothing is signed, so nothing is at stake: an unsynchronised clock is only marked.
        """
        self._freshness = freshness
        self._max_age_s = bounds.stale_minimal_s if max_age_s is None else max_age_s
        self._stale_s: dict[RiskClass, float] = {
            "high": bounds.stale_high_s,
            "limited": bounds.stale_limited_s,
            "minimal": bounds.stale_minimal_s,
        }
        self._soonest_s = min(self._stale_s.values())
        self._unverified_s: dict[RiskClass, float] = {
            "high": 0.0,
            "limited": 0.0,
            "minimal": bounds.unverified_minimal_s,
        }
        self._needs_time = bounds.unsynchronised_clock == "deny_high" and not development

    @property
    def time_source(self) -> TimeSource:
        """Whether the machine's clock is kept in step with the world's."""
        return self._freshness.time_source

    def passed(self) -> bool:
        """Whether nothing may be answered under this snapshot any more."""
        return self._freshness.age_s() > self._max_age_s

    def refusal(self, risk: RiskClass) -> Deny | None:
        """Why a use case of a risk class may not be answered now; None where it may."""
        unverified_s = self._freshness.unverified_s()
        if unverified_s is not None and unverified_s >= self._unverified_s[risk]:
            return UNVERIFIED
        age_s = self._freshness.age_s()
        if age_s > self._soonest_s and age_s > self._stale_s[risk]:
            return STALE
        if risk == "high" and self._needs_time and self._freshness.time_source != "synchronised":
            return UNSYNCHRONISED
        return None
