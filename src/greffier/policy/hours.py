"""Time windows: days and hours in a time zone, crossing midnight where the author says so."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from greffier.policy.settings import TimeWindow

_DAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_DAY_MINUTES = 24 * 60
_MINUTE_MS = 60_000


class Hours:
    """A compiled time window.

    The window is half-open: ``09:00-17:00`` holds 09:00 and not 17:00. One that crosses midnight belongs to the day on
    which it starts, so ``fri`` with ``22:00-06:00`` covers Saturday at 03:00. Clocks are read as the wall shows them,
    so a window stays at the same local hours across a change to summer time.
    """

    def __init__(self, window: TimeWindow) -> None:
        """Compile.

        Raises:
            ValueError: The time zone is unknown, an hour does not exist, or the window is empty.
        """
        try:
            self._zone = ZoneInfo(window.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder name such as "Europe"
            raise ValueError(f"unknown time zone {window.timezone!r}; write one such as Europe/Berlin") from error
        self._days = frozenset(_DAYS[day] for day in window.days) or frozenset(_DAYS.values())
        start, _, end = (window.between or "00:00-24:00").partition("-")
        self._start = _minutes(start)
        self._end = _minutes(end)
        if self._start == _DAY_MINUTES:
            raise ValueError("a window cannot start at 24:00; write 00:00")
        if self._start == self._end:
            raise ValueError("a window that ends when it starts is empty; write 00:00-24:00 for the whole day")
        self._last = (-1, False)

    def contains(self, wall_ms: int) -> bool:
        """Whether an instant (milliseconds since the epoch) lies inside."""
        minute, inside = self._last  # zones are whole minutes apart, so a minute lies inside or outside as one
        if minute != wall_ms // _MINUTE_MS:
            inside = self._contains(wall_ms)
            self._last = (wall_ms // _MINUTE_MS, inside)
        return inside

    def _contains(self, wall_ms: int) -> bool:
        local = datetime.fromtimestamp(wall_ms / 1000, self._zone)
        minute = local.hour * 60 + local.minute
        day = local.weekday()
        if self._start < self._end:
            return day in self._days and self._start <= minute < self._end
        if minute >= self._start:
            return day in self._days
        return minute < self._end and (day - 1) % 7 in self._days


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    total = int(hours) * 60 + int(minutes)
    if total > _DAY_MINUTES:
        raise ValueError(f"{text} is not an hour of the day")
    return total
