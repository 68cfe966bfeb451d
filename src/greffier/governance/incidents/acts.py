"""What may be done with an incident, and when it may not. Each act returns the next version; nothing is stored here."""

from typing import Any

import msgspec

from greffier.governance.incidents.case import Category, Incident, Report, Standing
from greffier.governance.incidents.clocks import deadlines, due_ms, runs
from greffier.governance.incidents.law import IncidentLaw

_NEEDS_REASON = ("gdpr_no_risk", "gdpr_unintelligible")


class NotPossible(Exception):  # noqa: N818 - named for what is said to the person at the desk
    """The act does not fit the incident. Carries what to do instead."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def amend(incident: Incident, **facts: Any) -> Incident:
    """The next version, with facts added or corrected; None leaves a fact as it is.

    Raises:
        NotPossible: The incident is closed.
    """
    if incident.state == "closed":
        raise NotPossible("the incident is closed", "Open a new one that names it.")
    known = {name: value for name, value in facts.items() if value is not None}
    return msgspec.structs.replace(incident, version=incident.version + 1, **known)


def classify(incident: Incident, law: IncidentLaw, names: dict[str, Standing], at_ms: int, reason: str) -> Incident:
    """Say what the incident is, or is not, in the words of the regimes.

    Args:
        incident: The case.
        law: Which categories there are.
        names: Standing by category. What is said again with the same standing keeps its first moment.
        at_ms: When it was classified; DORA counts from here.
        reason: Why; exclusions and exemptions need one.

    Raises:
        NotPossible: There is no such category, it is before we knew, or a reason is missing.
    """
    unknown = sorted(set(names) - set(law.categories))
    if unknown:
        raise NotPossible(f"there is no category {unknown[0]!r}", f"Choose among: {', '.join(law.categories)}.")
    if names and at_ms < incident.aware_ms:
        raise NotPossible("it was classified before anyone was aware of it", "Correct --classified-at or --aware-at.")
    unexplained = [name for name, standing in names.items() if standing == "excluded" or name in _NEEDS_REASON]
    if unexplained and not reason:
        raise NotPossible(f"{unexplained[0]} needs a reason", "Say why with --reason; it stands in the register.")
    categories = dict(incident.categories)
    for name, standing in names.items():
        if not incident.has(name, standing):
            categories[name] = Category(standing, at_ms, reason)
    return amend(incident, categories=categories)


def sent(incident: Incident, law: IncidentLaw, report: Report, now_ms: int) -> Incident:
    """Enter what was sent.

    Raises:
        NotPossible: No such clock runs, it was sent already, the moment is impossible, or a reason is missing.
    """
    clock = law.clocks.get(report.clock)
    if clock is None or not runs(clock, incident):
        running = ", ".join(one.clock for one in deadlines(incident, law, now_ms)) or "none; classify it first"
        raise NotPossible(f"no clock {report.clock!r} runs for this incident", f"Clocks that run: {running}.")
    if not incident.aware_ms <= report.at_ms <= now_ms:
        raise NotPossible("a report is sent after the incident became known and not in the future", "Correct --at.")
    earlier = [one for one in incident.reports if one.clock == clock.id]
    if earlier and not clock.repeats:
        raise NotPossible(f"{clock.id} was sent already", "Keep updates with the recipient under the same receipt.")
    if earlier and report.at_ms < earlier[-1].at_ms:
        raise NotPossible("an update is not older than what it updates", "Correct --at.")
    due = due_ms(clock, incident)
    late = due is not None and report.at_ms > due and not earlier
    if late and clock.late_needs_reason and not report.late_reason:
        raise NotPossible(f"{clock.id} is late, and {clock.article} asks for the reasons", "Add --late-reason.")
    return amend(incident, reports=(*incident.reports, report))


def close(incident: Incident, law: IncidentLaw, at_ms: int, **facts: Any) -> Incident:
    """Close a case whose duties are done.

    Raises:
        NotPossible: A clock is not answered, or there is no root cause or review.
    """
    open_clocks = [one.clock for one in deadlines(incident, law, at_ms) if not one.state.startswith("done")]
    if open_clocks:
        raise NotPossible(
            f"not everyone was told: {', '.join(open_clocks)}",
            "Enter what was sent with 'greffier incident sent', or exclude the category with its reason.",
        )
    closed = amend(incident, state="closed", closed_ms=at_ms, **facts)
    if not closed.root_cause or not closed.review:
        raise NotPossible("a closed incident has a root cause and a review", "Add --root-cause and --review.")
    return closed
