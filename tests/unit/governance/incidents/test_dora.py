"""DORA's test for a major incident (Regulation (EU) 2024/1772, Art. 8 and 9): every threshold on both sides."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.dora import Facts, classification_law, facts_of, judge, recurring

LAW = classification_law()
NO: Facts = dict.fromkeys(LAW.facts, 0)
CRITICAL = {"critical_functions": 1}
NOW = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp() * 1000)
DAY = 86_400_000


def result(**facts: int) -> str:
    return judge({**NO, **facts}, LAW).result


def met(**facts: int) -> set[str]:
    return {one.id for one in judge({**NO, **facts}, LAW).criteria if one.answer == "met"}


@pytest.mark.parametrize(
    ("fact", "below", "above", "criterion"),
    [
        ("clients_pct", 10, 11, "clients"), ("clients", 100_000, 100_001, "clients"),
        ("counterparts_pct", 30, 31, "clients"), ("transactions_pct", 10, 11, "clients"),
        ("transaction_value_pct", 10, 11, "clients"), ("relevant_clients", 0, 1, "clients"),
        ("media", 0, 1, "reputation"), ("complaints", 0, 1, "reputation"),
        ("requirements_missed", 0, 1, "reputation"), ("clients_lost", 0, 1, "reputation"),
        ("duration_min", 24 * 60, 24 * 60 + 1, "duration"), ("member_states", 1, 2, "geography"),
        ("data_losses", 0, 1, "data_losses"), ("malicious_access", 0, 1, "access"),
        ("cost_eur", 100_000, 100_001, "economic"),
    ],
)  # fmt: skip
def test_each_threshold_is_met_above_and_not_at_its_number(fact: str, below: int, above: int, criterion: str) -> None:
    assert met(**{fact: below}) == set()
    assert met(**{fact: above}) == {criterion}


def test_downtime_counts_for_critical_or_important_functions_only() -> None:
    assert met(downtime_min=121) == set()
    assert met(downtime_min=121, critical_functions=1) == {"duration"}
    assert met(downtime_min=120, critical_functions=1) == set()


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, "not_major"), ({"critical_functions": 1}, "not_major"),
        ({"critical_functions": 1, "clients_pct": 11}, "not_major"),
        ({"critical_functions": 1, "clients_pct": 11, "media": 1}, "major"),
        ({"authorised_services": 1, "cost_eur": 100_001, "member_states": 2}, "major"),
        ({"clients_pct": 90, "media": 1, "cost_eur": 9_000_000}, "not_major"),  # no critical service
        ({"malicious_access": 1}, "major"),  # Art. 6(c) makes the services critical, Art. 9(5)(b) suffices alone
        ({"critical_functions": 1, "malicious_access": 1}, "major"),
        ({"critical_functions": 1, "clients_pct": 50, "clients": 500_000}, "not_major"),  # one criterion, met twice
        ({"critical_functions": 1, "data_losses": 1, "downtime_min": 121}, "major"),
    ],
)  # fmt: skip
def test_article_8(facts: dict[str, int], wanted: str) -> None:
    assert result(**facts) == wanted


def test_what_nobody_said_is_unknown_and_named() -> None:
    verdict = judge({}, LAW)
    assert verdict.result == "open"
    assert set(verdict.missing) == set(LAW.facts)
    known = judge({**CRITICAL, "clients_pct": 11, "media": 1}, LAW)
    assert (known.result, known.missing) == ("major", ())  # the rest could not change it
    assert judge({**NO, "critical_functions": 0}, LAW).result == "not_major"
    assert judge({**CRITICAL, "clients_pct": 11}, LAW).result == "open"


facts = st.dictionaries(st.sampled_from(list(LAW.facts)), st.integers(0, 200_000))


@given(facts, facts)
def test_an_answer_once_known_is_not_changed_by_more_facts(some: dict[str, int], more: dict[str, int]) -> None:
    before = judge(some, LAW).result
    if before != "open":
        assert judge({**more, **some}, LAW).result == before


@given(facts)
def test_with_every_fact_there_is_an_answer(some: dict[str, int]) -> None:
    verdict = judge({**NO, **some}, LAW)
    assert verdict.result != "open"
    assert verdict.missing == ()
    assert verdict.law.startswith("Commission Delegated Regulation (EU) 2024/1772")


def case(number: int, aware_ms: int, known: Facts, cause: str = "shared cache") -> Incident:
    return Incident(
        id=f"inc_{number}", title="x", opened_ms=aware_ms, opened_by="ann", aware_ms=aware_ms, root_cause=cause,
        member_states=("DE",) if number % 2 else ("FR",), facts={**NO, **known, "member_states": 0},
    )  # fmt: skip


def test_a_case_speaks_in_its_own_fields_too() -> None:
    incident = Incident(
        id="i", title="x", opened_ms=0, opened_by="a", aware_ms=0, clients_pct=11, downtime_min=5,
        member_states=("DE", "FR"), facts={"media": 1},
    )  # fmt: skip
    assert facts_of(incident, LAW) == {"clients_pct": 11, "downtime_min": 5, "member_states": 2, "media": 1}


def test_incidents_with_one_root_cause_within_six_months_count_as_one() -> None:
    small = {"critical_functions": 1, "cost_eur": 60_000, "clients_pct": 6}
    cases = [case(1, NOW - 100 * DAY, small), case(2, NOW - DAY, small, "Shared  Cache")]
    (group,) = recurring(cases, LAW, NOW)
    assert group.incidents == ("inc_1", "inc_2")
    assert group.verdict.result == "major"
    assert recurring(cases[:1], LAW, NOW) == ()
    assert recurring([cases[0], case(3, NOW - 185 * DAY, small)], LAW, NOW) == ()  # the second is too old
    assert recurring([cases[0], case(4, NOW, small, "another cause")], LAW, NOW) == ()
    assert recurring([cases[0], case(5, NOW, small, ""), case(6, NOW, small, "")], LAW, NOW) == ()
    major = case(7, NOW, {**small, "media": 1, "data_losses": 1})
    assert recurring([cases[0], major], LAW, NOW) == ()  # one that is major by itself is reported by itself


def test_the_law_says_where_it_comes_from() -> None:
    assert LAW.mark == "verified"
    assert LAW.verified_on
    assert {one.fact for rule in LAW.criteria for one in rule.any} | set(LAW.critical.any) == set(LAW.facts)
