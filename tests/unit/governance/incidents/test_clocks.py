"""Each regime's deadlines, in a table: aware at, classified at, what was sent, and what must come out."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.governance.incidents.acts import NotPossible, amend, classify, close, sent
from greffier.governance.incidents.case import Category, Incident, Report
from greffier.governance.incidents.clocks import add_months, deadlines
from greffier.governance.incidents.law import incident_law

LAW = incident_law()
AWARE = "2026-11-20T10:00:00Z"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def iso(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def incident(*categories: str, aware: str = AWARE, classified: str = AWARE, standing: str = "established") -> Incident:
    made = {name: Category(standing, ms(classified), "tested") for name in categories}  # type: ignore[arg-type]
    return Incident(id="inc_1", title="t", opened_ms=ms(aware), opened_by="os:a:1", aware_ms=ms(aware), categories=made)


def with_reports(case: Incident, *reports: tuple[str, str]) -> Incident:
    made = tuple(Report(clock=clock, at_ms=ms(at)) for clock, at in reports)
    return msgspec.structs.replace(case, reports=made)


@pytest.mark.parametrize(
    ("categories", "classified", "reports", "expected"),
    [
        # GDPR
        (["gdpr_breach"], AWARE, [], {"gdpr-authority": "2026-11-23T10:00:00Z"}),
        (["gdpr_breach", "gdpr_no_risk"], AWARE, [], {}),
        (["gdpr_breach_as_processor"], AWARE, [], {"gdpr-controller": ""}),
        (["gdpr_breach", "gdpr_high_risk"], AWARE, [], {"gdpr-authority": "2026-11-23T10:00:00Z", "gdpr-subjects": ""}),
        (["gdpr_high_risk", "gdpr_unintelligible"], AWARE, [], {}),
        # AI Act 73
        (["aia_serious"], AWARE, [], {"aia-serious": "2026-12-05T10:00:00Z"}),
        (["aia_serious", "aia_death"], AWARE, [], {"aia-death": "2026-11-30T10:00:00Z"}),
        (["aia_critical_infrastructure"], AWARE, [], {"aia-infrastructure": "2026-11-22T10:00:00Z"}),
        (["aia_widespread", "aia_serious"], AWARE, [], {"aia-infrastructure": "2026-11-22T10:00:00Z"}),
        (
            ["aia_serious", "aia_deployer"],
            AWARE,
            [],
            {"aia-serious": "2026-12-05T10:00:00Z", "aia-provider": ""},
        ),
        # DORA: 4 h after classification, and never later than 24 h after awareness
        (
            ["dora_major"],
            "2026-11-20T12:00:00Z",
            [],
            {"dora-initial": "2026-11-20T16:00:00Z", "dora-intermediate": "", "dora-final": ""},
        ),
        (
            ["dora_major"],
            "2026-11-21T09:00:00Z",
            [],
            {"dora-initial": "2026-11-21T10:00:00Z", "dora-intermediate": "", "dora-final": ""},
        ),
        # classified as major only after the 24 hours: four hours from there, and not overdue at once (Art. 5(2))
        (
            ["dora_major"],
            "2026-11-21T10:00:01Z",
            [],
            {"dora-initial": "2026-11-21T14:00:01Z", "dora-intermediate": "", "dora-final": ""},
        ),
        (
            ["dora_major"],
            "2026-12-03T16:00:00Z",
            [],
            {"dora-initial": "2026-12-03T20:00:00Z", "dora-intermediate": "", "dora-final": ""},
        ),
        # the intermediate one counts from the submission of the initial one, the final one from the latest intermediate
        (
            ["dora_major"],
            "2026-11-20T12:00:00Z",
            [("dora-initial", "2026-11-20T13:30:00Z")],
            {"dora-initial": "2026-11-20T16:00:00Z", "dora-intermediate": "2026-11-23T13:30:00Z", "dora-final": ""},
        ),
        (
            ["dora_major"],
            "2026-11-20T12:00:00Z",
            [
                ("dora-initial", "2026-11-20T13:30:00Z"),
                ("dora-intermediate", "2026-11-22T08:00:00Z"),
                ("dora-intermediate", "2026-12-31T08:15:00Z"),
            ],
            {
                "dora-initial": "2026-11-20T16:00:00Z",
                "dora-intermediate": "2026-11-23T13:30:00Z",
                "dora-final": "2027-01-31T08:15:00Z",
            },
        ),
        # NIS2
        (
            ["nis2_significant"],
            AWARE,
            [("nis2-notification", "2027-01-31T23:00:00Z")],
            {
                "nis2-warning": "2026-11-21T10:00:00Z",
                "nis2-notification": "2026-11-23T10:00:00Z",
                "nis2-final": "2027-02-28T23:00:00Z",
            },
        ),
        # CRA
        (
            ["cra_exploited_vulnerability"],
            AWARE,
            [],
            {
                "cra-vulnerability-warning": "2026-11-21T10:00:00Z",
                "cra-vulnerability-notification": "2026-11-23T10:00:00Z",
                "cra-vulnerability-final": "",
            },
        ),
        (
            ["cra_severe_incident"],
            AWARE,
            [("cra-incident-notification", "2026-11-23T09:00:00Z")],
            {
                "cra-incident-warning": "2026-11-21T10:00:00Z",
                "cra-incident-notification": "2026-11-23T10:00:00Z",
                "cra-incident-final": "2026-12-23T09:00:00Z",
            },
        ),
    ],
)
def test_the_deadlines_of_each_regime(
    categories: list[str], classified: str, reports: list[tuple[str, str]], expected: dict[str, str]
) -> None:
    case = with_reports(incident(*categories, classified=classified), *reports)
    found = deadlines(case, LAW, ms("2026-11-20T10:30:00Z"))
    assert {one.clock: iso(one.due_ms) for one in found} == expected


def test_the_final_report_on_a_vulnerability_counts_from_the_fix() -> None:
    case = msgspec.structs.replace(incident("cra_exploited_vulnerability"), fixed_ms=ms("2026-12-20T00:00:00Z"))
    found = {one.clock: iso(one.due_ms) for one in deadlines(case, LAW, ms(AWARE))}
    assert found["cra-vulnerability-final"] == "2027-01-03T00:00:00Z"


def test_a_suspicion_starts_the_clock_from_awareness_and_an_exclusion_stops_it() -> None:
    suspected = incident("dora_major", standing="suspected")
    assert {one.clock: iso(one.due_ms) for one in deadlines(suspected, LAW, ms(AWARE))}["dora-initial"] == (
        "2026-11-21T10:00:00Z"
    )
    assert deadlines(incident("dora_major", standing="excluded"), LAW, ms(AWARE)) == []
    # an exemption that is only suspected exempts from nothing
    doubtful = classify(incident("gdpr_breach"), LAW, {"gdpr_no_risk": "suspected"}, ms(AWARE), "perhaps")
    assert [one.clock for one in deadlines(doubtful, LAW, ms(AWARE))] == ["gdpr-authority"]


def test_states_over_time() -> None:
    case = incident("gdpr_breach")

    def state(now: str, *reports: tuple[str, str]) -> str:
        return deadlines(with_reports(case, *reports), LAW, ms(now))[0].state

    assert state("2026-11-23T10:00:00Z") == "open"  # the last moment is still in time
    assert state("2026-11-23T10:00:01Z") == "overdue"
    assert state("2026-12-01T00:00:00Z", ("gdpr-authority", "2026-11-23T10:00:00Z")) == "done"
    assert state("2026-12-01T00:00:00Z", ("gdpr-authority", "2026-11-23T10:00:01Z")) == "done_late"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2027-01-31T12:00:00Z", "2027-02-28T12:00:00Z"),
        ("2028-01-31T12:00:00Z", "2028-02-29T12:00:00Z"),
        ("2026-10-31T23:59:59Z", "2026-11-30T23:59:59Z"),
        ("2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z"),
    ],
)
def test_months_end_where_the_month_ends(start: str, expected: str) -> None:
    assert add_months(datetime.fromisoformat(start), 1) == datetime.fromisoformat(expected)


def test_a_month_that_ends_on_a_sunday_is_not_moved() -> None:
    case = with_reports(incident("nis2_significant"), ("nis2-notification", "2026-12-28T10:00:00Z"))
    found = {one.clock: one.due_ms for one in deadlines(case, LAW, ms(AWARE))}
    assert iso(found["nis2-final"]) == "2027-01-28T10:00:00Z"
    sunday = with_reports(incident("nis2_significant"), ("nis2-notification", "2026-12-31T10:00:00Z"))
    assert datetime.fromisoformat("2027-01-31").weekday() == 6
    assert {one.clock: iso(one.due_ms) for one in deadlines(sunday, LAW, ms(AWARE))}["nis2-final"].startswith(
        "2027-01-31"
    )


def test_a_day_ends_where_the_controller_is() -> None:
    # Berlin, 10 March, 23:45: the month ends with 10 April there, which is 22:00 UTC now that clocks went forward.
    case = with_reports(incident("nis2_significant", aware="2026-03-09T12:00:00Z"), ("nis2-notification", SENT_LATE))
    found = {one.clock: iso(one.due_ms) for one in deadlines(berlin(case), LAW, ms(AWARE))}
    assert found["nis2-final"] == "2026-04-10T21:45:00Z"
    # 31 March, 00:30 in Berlin, is still the 30th in UTC, but the month ends with 30 April in Berlin.
    early = with_reports(incident("nis2_significant"), ("nis2-notification", "2027-03-30T22:30:00Z"))
    found = {one.clock: iso(one.due_ms) for one in deadlines(berlin(early), LAW, ms(AWARE))}
    assert found["nis2-final"] == "2027-04-29T22:30:00Z"


SENT_LATE = "2026-03-10T22:45:00Z"


def berlin(case: Incident) -> Incident:
    return msgspec.structs.replace(case, timezone="Europe/Berlin")


def last_day(start: date, *, days: int = 0, months: int = 0) -> date:
    """Regulation 1182/71, Art. 3(2)(b), (c), (3): the day with that number, or the month's last."""
    if days:
        return date.fromordinal(start.toordinal() + days)
    first = date(start.year + (start.month + months - 1) // 12, (start.month + months - 1) % 12 + 1, 1)
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return min(date.fromordinal(first.toordinal() + start.day - 1), date.fromordinal(after.toordinal() - 1))


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    st.sampled_from(["UTC", "Europe/Berlin", "Europe/Lisbon", "Atlantic/Azores", "Europe/Helsinki"]),
    st.sampled_from([("aia_serious", "aia-serious", 15, 0), ("aia_death", "aia-death", 10, 0), ("", "", 0, 1)]),
)
def test_no_deadline_is_later_than_the_legal_one(at: datetime, zone: str, rule: tuple[str, str, int, int]) -> None:
    category, clock, days, months = rule
    at = at.replace(microsecond=0)
    case = incident(category or "nis2_significant", aware=at.isoformat(), classified=at.isoformat())
    if months:
        clock, case = "nis2-final", with_reports(case, ("nis2-notification", at.isoformat()))
    case = msgspec.structs.replace(case, timezone=zone)
    due = {one.clock: one.due_ms for one in deadlines(case, LAW, ms(AWARE))}[clock]
    local = ZoneInfo(zone)
    end = last_day(at.astimezone(local).date(), days=days, months=months)
    legal = datetime.combine(end + timedelta(days=1), time(), local).timestamp() * 1000
    assert due is not None
    assert due <= legal
    assert datetime.fromtimestamp(due / 1000, local).date() == end  # and not a day too early either


@given(st.integers(min_value=0, max_value=60 * 365 * 86_400), st.lists(st.sampled_from(sorted(LAW.categories))))
def test_no_deadline_precedes_what_it_counts_from(second: int, names: list[str]) -> None:
    at = datetime.fromtimestamp(second, UTC).isoformat()
    case = incident(*names, aware=at, classified=at)
    for one in deadlines(case, LAW, ms(at)):
        assert one.due_ms is None or one.due_ms > case.aware_ms
        assert not one.state.startswith("done")


def test_the_data_names_only_what_exists() -> None:
    for regime in LAW.regimes.values():
        assert regime.source
        assert datetime.fromisoformat(regime.verified_on).year >= 2026
        for clock in regime.clocks:
            assert not clock.late_classification or len({term.after for term in clock.terms}) > 1
            assert {*clock.when, *clock.unless} <= set(LAW.categories)
            assert clock.at_once != bool(clock.terms)
            for term in clock.terms:
                known = {"aware_at", "classified_at", "fixed_at", *(f"sent:{name}" for name in LAW.clocks)}
                assert term.after in known
                assert bool(term.hours) + bool(term.days) + bool(term.months) == 1
    assert len(LAW.clocks) == sum(len(regime.clocks) for regime in LAW.regimes.values())


# --- acts


def test_what_was_sent_stays_in_the_register_whatever_the_incident_turns_out_to_be() -> None:
    case, now = incident("gdpr_breach"), ms("2026-11-22T10:00:00Z")
    told = sent(case, LAW, Report(clock="gdpr-authority", at_ms=ms("2026-11-21T10:00:00Z"), receipt="4711"), now)
    harmless = classify(told, LAW, {"gdpr_no_risk": "established"}, now, "the disk was encrypted")
    assert [(one.clock, one.state, one.receipt) for one in deadlines(harmless, LAW, now)] == [
        ("gdpr-authority", "done", "4711")
    ]


def test_what_may_not_be_said() -> None:
    case = incident("gdpr_breach")
    with pytest.raises(NotPossible, match="no category"):
        classify(case, LAW, {"gdpr": "established"}, ms(AWARE), "")
    with pytest.raises(NotPossible, match="before anyone was aware"):
        classify(case, LAW, {"dora_major": "established"}, ms(AWARE) - 1, "")
    for names in ({"gdpr_breach": "excluded"}, {"gdpr_no_risk": "established"}):
        with pytest.raises(NotPossible, match="needs a reason"):
            classify(case, LAW, names, ms(AWARE), "")  # type: ignore[arg-type]


def test_saying_it_again_does_not_restart_the_clock() -> None:
    once = classify(incident(), LAW, {"dora_major": "established"}, ms("2026-11-20T11:00:00Z"), "")
    twice = classify(once, LAW, {"dora_major": "established"}, ms("2026-11-20T19:00:00Z"), "")
    assert twice.categories == once.categories


def test_a_late_notification_of_a_breach_says_why() -> None:
    case = incident("gdpr_breach")
    late = Report(clock="gdpr-authority", at_ms=ms("2026-11-24T10:00:00Z"))
    now = ms("2026-11-25T00:00:00Z")
    with pytest.raises(NotPossible, match="late"):
        sent(case, LAW, late, now)
    done = sent(case, LAW, msgspec.structs.replace(late, late_reason="the extent became clear on Monday"), now)
    assert deadlines(done, LAW, now)[0].state == "done_late"


@pytest.mark.parametrize(
    ("category", "clock"),
    [("gdpr_breach", "gdpr-authority"), ("aia_serious", "aia-serious"), ("aia_death", "aia-death")],
)
def test_what_is_told_in_phases_is_on_time_with_the_first(category: str, clock: str) -> None:
    case, now = incident(category), ms("2026-12-31T00:00:00Z")
    first = sent(case, LAW, Report(clock=clock, at_ms=ms("2026-11-21T10:00:00Z"), receipt="1"), now)
    whole = sent(first, LAW, Report(clock=clock, at_ms=ms("2026-12-30T10:00:00Z"), receipt="1b"), now)
    assert [(one.state, one.receipt) for one in deadlines(whole, LAW, now)] == [("done", "1b")]
    assert [report.receipt for report in whole.reports] == ["1", "1b"]


def test_what_starts_another_clock_is_sent_once() -> None:
    case, now = incident("nis2_significant"), ms("2026-11-23T09:00:00Z")
    report = Report(clock="nis2-notification", at_ms=ms("2026-11-22T10:00:00Z"))
    with pytest.raises(NotPossible, match="already"):
        sent(sent(case, LAW, report, now), LAW, report, now)


@pytest.mark.parametrize(
    ("clock", "at"),
    [
        ("dora-final", AWARE),
        ("no-such-clock", AWARE),
        ("gdpr-authority", "2026-11-20T09:59:59Z"),
        ("gdpr-authority", "2026-11-26T00:00:00Z"),
    ],
)
def test_what_cannot_have_been_sent(clock: str, at: str) -> None:
    with pytest.raises(NotPossible):
        sent(incident("gdpr_breach"), LAW, Report(clock=clock, at_ms=ms(at)), ms("2026-11-25T00:00:00Z"))


def test_a_case_closes_when_everyone_was_told_and_it_was_reviewed() -> None:
    case, now = incident("gdpr_breach"), ms("2026-11-21T10:00:00Z")
    with pytest.raises(NotPossible, match="gdpr-authority"):
        close(case, LAW, now, root_cause="a key was lost", review="done")
    told = sent(case, LAW, Report(clock="gdpr-authority", at_ms=now), now)
    with pytest.raises(NotPossible, match="review"):
        close(told, LAW, now, root_cause="a key was lost")
    closed = close(told, LAW, now, root_cause="a key was lost", review="keys rotate")
    assert closed.state == "closed"
    with pytest.raises(NotPossible, match="closed"):
        amend(closed, title="another")
