"""Deadlines of requests, counted as Regulation (EEC, Euratom) No 1182/71 says, with periods from the law's data."""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from greffier.governance.privacy.law import Law

_FIRST_DAY_OF_WEEKEND = 5


def add_months(start: date, months: int) -> date:
    """The day with the same number that many months later, or the last day of a month that is too short."""
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def working_day(day: date) -> date:
    """The day itself, or the Monday after a weekend."""
    over = day.weekday() - _FIRST_DAY_OF_WEEKEND
    return day + timedelta(days=2 - over) if over >= 0 else day


def due_ms(received_ms: int, law: Law, *, timezone: str = "UTC", extended: bool = False) -> int:
    """The first millisecond in which a request is late.

    Args:
        received_ms: When it arrived, milliseconds since the epoch.
        law: The periods.
        timezone: Where the controller is: days begin and end there.
        extended: Whether the person was told of an extension.
    """
    months = law.deadlines.answer.months + (law.deadlines.extension.months if extended else 0)
    return _end_of(working_day(add_months(_day(received_ms, timezone), months)), timezone)


def extendable_until_ms(received_ms: int, law: Law, *, timezone: str = "UTC") -> int:
    """The first millisecond in which the person can no longer be told of an extension in time."""
    months = law.deadlines.extension.told_within_months
    return _end_of(working_day(add_months(_day(received_ms, timezone), months)), timezone)


def _day(ms: int, timezone: str) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(timezone)).date()


def _end_of(day: date, timezone: str) -> int:
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))
    return int(midnight.timestamp() * 1000)
