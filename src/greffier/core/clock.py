"""Time, as a collaborator that tests can replace."""

import time
from typing import Literal, Protocol

TimeSource = Literal["synchronised", "unsynchronised", "unknown"]
"""Whether the machine's clock is kept in step with the world's (NTP, PTP); ``unknown`` where nobody can say."""


class Clock(Protocol):
    """Two kinds of time: what the calendar says, and what has passed."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since boot; never goes back."""
        return time.monotonic()
