"""Is an incident major under DORA? Computed from facts by the law's data (``governance/law/dora_classification.yaml``).

A fact that nobody stated is unknown, not "no": a threshold is then open, and so may be the result. What is missing is
named, because the clock of four hours runs from the classification.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Literal

import msgspec

from greffier.governance.incidents.case import Incident
from greffier.governance.law.reading import read_law

Answer = Literal["met", "not_met", "open"]
Result = Literal["major", "not_major", "open"]
Facts = Mapping[str, int]


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to meet a criterion."""

    fact: str
    over: int | None = None
    at_least: int | None = None
    also: str = ""


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A materiality threshold; ``alone`` suffices by itself where critical services are affected."""

    id: str
    title: str
    article: str
    any: tuple[Condition, ...]
    alone: bool = False


class Critical(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes the services affected critical."""

    article: str
    any: tuple[str, ...]


class Recurring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When incidents count as one."""

    article: str
    times: int
    within_months: int
    assessed_every_months: int


class Classification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``governance/law/dora_classification.yaml``."""

    version: str
    regulation: str
    source: str
    verified_on: str
    mark: Literal["verified", "secondary"]
    note: str
    critical: Critical
    at_least: int
    recurring: Recurring
    facts: dict[str, str]
    criteria: tuple[Criterion, ...]


class Judged(msgspec.Struct, frozen=True):
    """A criterion, and why it is met, not met or open."""

    id: str
    title: str
    article: str
    answer: Answer
    because: str


class Verdict(msgspec.Struct, frozen=True):
    """What follows.

    Attributes:
        result: ``major``, ``not_major`` or ``open``.
        because: One sentence with the article.
        critical: Whether critical services are affected.
        criteria: Each threshold.
        missing: Facts whose answer could still change the result.
        law: Version of the data it was computed with.
    """

    result: Result
    because: str
    critical: Answer
    criteria: tuple[Judged, ...]
    missing: tuple[str, ...]
    law: str


class Group(msgspec.Struct, frozen=True):
    """Incidents with one root cause that may count as one (Art. 8(2))."""

    root_cause: str
    incidents: tuple[str, ...]
    verdict: Verdict


@cache
def classification_law() -> Classification:
    """The law in force here.

    Raises:
        ValueError: The file that came with the platform was damaged.
    """
    return read_law("dora_classification.yaml", Classification)


def facts_of(incident: Incident, law: Classification) -> dict[str, int]:
    """What a case says in the law's words; yes is 1, no is 0."""
    known: dict[str, int | None] = {
        name: getattr(incident, name, None) for name in law.facts if name != "member_states"
    }
    known["member_states"] = len(incident.member_states) or None
    found = {name: value for name, value in known.items() if value is not None}
    return found | {name: value for name, value in incident.facts.items() if name in law.facts}


def judge(facts: Facts, law: Classification) -> Verdict:
    """Apply Art. 8(1)."""
    critical = _any(_yes(facts, name) for name in law.critical.any)
    criteria = tuple(_criterion(criterion, facts) for criterion in law.criteria)
    alone = _any(one.answer for one, rule in zip(criteria, law.criteria, strict=True) if rule.alone)
    others = [one.answer for one, rule in zip(criteria, law.criteria, strict=True) if not rule.alone]
    met, may_be = others.count("met"), others.count("met") + others.count("open")
    enough: Answer = "met" if met >= law.at_least else "open" if may_be >= law.at_least else "not_met"
    either = _any((alone, enough))
    result: Result = "open"
    if critical == "met" and either == "met":
        result = "major"
    elif "not_met" in {critical, either}:
        result = "not_major"
    because = _because(result, critical, alone, met, law)
    missing = () if result != "open" else tuple(name for name in law.facts if name not in facts)
    version = f"{law.regulation}, data of {law.version}"
    return Verdict(result, because, critical, criteria, missing, version)


def recurring(incidents: Sequence[Incident], law: Classification, now_ms: int) -> tuple[Group, ...]:
    """Incidents that are not major alone, within the last months, with the same apparent root cause (Art. 8(2)).

    Together they are judged by what they add up to: numbers and minutes are added, percentages too, up to a hundred;
    a yes of one is a yes of all.
    """
    begin = _months_before(now_ms, law.recurring.within_months)
    by_cause: dict[str, list[Incident]] = {}
    for incident in incidents:
        cause = " ".join(incident.root_cause.casefold().split())
        if cause and begin <= incident.aware_ms <= now_ms and judge(facts_of(incident, law), law).result != "major":
            by_cause.setdefault(cause, []).append(incident)
    return tuple(
        Group(found[0].root_cause, tuple(one.id for one in found), judge(_together(found, law), law))
        for found in by_cause.values()
        if len(found) >= law.recurring.times
    )


def _criterion(criterion: Criterion, facts: Facts) -> Judged:
    told = [(_holds(condition, facts), condition) for condition in criterion.any]
    answer = _any(holds for holds, _ in told)
    shown = [condition for holds, condition in told if holds == answer]
    said = [_said(condition, facts, answer) for condition in (shown if answer != "not_met" else [])]
    because = {"met": "; ".join(said), "open": f"not stated: {', '.join(said)}", "not_met": "below the threshold"}
    return Judged(criterion.id, criterion.title, criterion.article, answer, because[answer])


def _holds(condition: Condition, facts: Facts) -> Answer:
    value = facts.get(condition.fact)
    if value is None:
        return "open"
    if condition.over is not None:
        reached = value > condition.over
    elif condition.at_least is not None:
        reached = value >= condition.at_least
    else:
        reached = bool(value)
    if not reached:
        return "not_met"
    return _yes(facts, condition.also) if condition.also else "met"


def _said(condition: Condition, facts: Facts, answer: Answer) -> str:
    if answer == "open":
        return condition.also if condition.fact in facts else condition.fact
    if condition.over is not None:
        return f"{condition.fact} {facts[condition.fact]} > {condition.over}"
    if condition.at_least is not None:
        return f"{condition.fact} {facts[condition.fact]} >= {condition.at_least}"
    return condition.fact


def _yes(facts: Facts, name: str) -> Answer:
    value = facts.get(name)
    return "open" if value is None else "met" if value else "not_met"


def _any(answers: Iterable[Answer]) -> Answer:
    known = set(answers)
    return "met" if "met" in known else "open" if "open" in known else "not_met"


def _because(result: Result, critical: Answer, alone: Answer, met: int, law: Classification) -> str:
    if result == "open":
        return "facts are missing that decide"
    if result == "major":
        why = "Art. 8(1)(a): the threshold of Art. 9(5)(b)" if alone == "met" else f"Art. 8(1)(b): {met} thresholds met"
        return f"critical services are affected, and {why}"
    if critical == "not_met":
        return f"no critical service is affected ({law.critical.article})"
    return f"fewer than {law.at_least} thresholds are met, and not that of Art. 9(5)(b) (Art. 8(1))"


def _together(incidents: Sequence[Incident], law: Classification) -> dict[str, int]:
    numbers = {one.fact for rule in law.criteria for one in rule.any if one.over is not None}
    total: dict[str, int] = {}
    for incident in incidents:
        for name, value in facts_of(incident, law).items():
            total[name] = total.get(name, 0) + value if name in numbers else max(total.get(name, 0), value)
    states = {state for incident in incidents for state in incident.member_states}
    if states:
        total["member_states"] = max(len(states), total.get("member_states", 0))
    return {name: min(value, 100) if name.endswith("_pct") else value for name, value in total.items()}


def _months_before(now_ms: int, months: int) -> int:
    """A moment some months earlier; a day that the month lacks becomes its last, so that nothing is left out."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    for day in range(now.day, 0, -1):
        try:
            return int(now.replace(year=year, month=month + 1, day=day).timestamp() * 1000)
        except ValueError:
            continue
    raise AssertionError("unreachable")
