"""A clock that moves when the test says so."""


class ManualClock:
    """`greffier.core.clock.Clock` under the control of a test."""

    def __init__(self, wall_ms: int = 1_800_000_000_000, monotonic: float = 1000.0) -> None:
        self._wall_ms = float(wall_ms)
        self._monotonic = monotonic

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return round(self._wall_ms)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._monotonic

    def set_wall(self, wall_ms: int) -> None:
        """Set the calendar; what has passed stays as it is."""
        self._wall_ms = float(wall_ms)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_ms += seconds * 1000
        self._monotonic += seconds
