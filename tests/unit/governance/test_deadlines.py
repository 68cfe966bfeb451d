"""Deadlines are those of Regulation 1182/71, whatever the month, the weekend or the time zone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.governance.privacy.deadlines import add_months, due_ms, extendable_until_ms, working_day
from greffier.governance.privacy.law import law


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("received", "due", "extended"),
    [
        ("2026-11-24T10:00", "2026-12-25T00:00", "2027-02-25T00:00"),
        ("2026-01-31T10:00", "2026-03-03T00:00", "2026-05-01T00:00"),  # 28 February is a Saturday
        ("2026-10-31T10:00", "2026-12-01T00:00", "2027-02-02T00:00"),  # 31 January 2027 is a Sunday
        ("2028-01-31T10:00", "2028-03-01T00:00", "2028-05-02T00:00"),  # a leap year; 30 April is a Sunday
    ],
)
def test_a_request_is_due_at_the_end_of_the_right_day(received: str, due: str, extended: str) -> None:
    assert due_ms(ms(received), law()) == ms(due)
    assert due_ms(ms(received), law(), extended=True) == ms(extended)


def test_days_end_where_the_controller_is() -> None:
    assert due_ms(ms("2026-11-24T10:00"), law(), timezone="Europe/Berlin") == ms("2026-12-24T23:00")
    assert due_ms(ms("2026-11-24T23:30"), law(), timezone="Europe/Berlin") == ms("2026-12-25T23:00")  # 25th: a Friday


@given(st.dates(date(2020, 1, 1), date(2090, 1, 1)), st.integers(0, 24))
def test_months_never_skip_a_month_and_end_on_a_working_day(start: date, months: int) -> None:
    end = add_months(start, months)
    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == months
    assert end.day == start.day or (end + timedelta(days=1)).day == 1
    day = working_day(end)
    assert day.weekday() < 5
    assert end <= day <= end + timedelta(days=2)


@given(st.integers(ms("2020-01-01T00:00"), ms("2090-01-01T00:00")))
def test_an_extension_comes_after_the_first_month_and_is_told_within_it(received: int) -> None:
    first, last = due_ms(received, law()), due_ms(received, law(), extended=True)
    assert received < first < last
    assert extendable_until_ms(received, law()) == first


def test_the_law_says_where_it_comes_from() -> None:
    assert law().version
    assert law().source
    assert law().verified_on
    assert set(law().requests) == {"access", "rectify", "erase", "restrict", "port", "object", "contest"}
    assert set(law().access_items) == set("abcdefgh")
    assert set(law().processing_record) == set("abcdefg")
