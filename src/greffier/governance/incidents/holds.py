"""The evidence hold of an incident: a legal hold on what its use cases captured, so that no one deletes it."""

from collections.abc import Iterable, Mapping

from greffier.core.ids import new_id
from greffier.governance.incidents.acts import NotPossible
from greffier.governance.incidents.case import Incident
from greffier.governance.privacy.records import Hold
from greffier.policy.settings import UseCaseSettings

DAY_MS = 86_400_000
APPROVE_WITHIN_MS = 3 * DAY_MS


def holds_for(
    incident: Incident, use_cases: Mapping[str, UseCaseSettings], now_ms: int, days: int, by: str
) -> list[Hold]:
    """One hold for each use case concerned; each lapses in three days unless a second person approves it.

    Raises:
        NotPossible: The incident names no use case, or one that is no longer configured.
    """
    gone = sorted(set(incident.use_cases) - set(use_cases))
    if not incident.use_cases or gone:
        what = f"use case {gone[0]} is no longer configured" if gone else "the incident names no use case"
        raise NotPossible(what, "A hold covers use cases: 'greffier incident open --use-case'.")
    return [
        Hold(
            id=new_id("hold"),
            tenant=use_cases[name].tenant,
            use_case=name,
            reason=f"incident {incident.id}",
            placed_by=by,
            placed_ms=now_ms,
            approve_by_ms=now_ms + APPROVE_WITHIN_MS,
            expires_ms=now_ms + days * DAY_MS,
        )
        for name in incident.use_cases
    ]


def to_change(incident: Incident, holds: Iterable[Hold], now_ms: int, *, approve: bool) -> list[Hold]:
    """The incident's holds that are to be approved, or else released.

    Raises:
        NotPossible: There is none.
    """
    active = [hold for hold in holds if hold.id in incident.holds and hold.active(now_ms)]
    if not active:
        raise NotPossible("the incident has no hold that is in force", "Place one without --approve.")
    if not approve:
        return active
    pending = [hold for hold in active if hold.approved_ms is None]
    if not pending:
        raise NotPossible("the incident's holds were approved already", "See 'greffier incident hold --release'.")
    return pending
