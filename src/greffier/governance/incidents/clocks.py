"""Compute who must be told by when. Pure arithmetic over the case and the law's data."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.law import Clock, IncidentLaw, Term

State = Literal["open", "overdue", "at_once", "waiting", "done", "done_late"]
CLASSIFIED = "classified_at"
_SENT = "sent:"


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """A clock of one incident, as it stands.

    Attributes:
        due_ms: The last moment in time, milliseconds since the epoch; None at once, or while its beginning is unknown.
        state: ``waiting``: it begins when ``waits_for`` is known. ``at_once``: the law names no number.
        sent_ms: When the first report was sent.
    """

    regime: str
    clock: str
    article: str
    stage: str
    to: str
    state: State
    due_ms: int | None = None
    waits_for: str = ""
    sent_ms: int | None = None
    receipt: str = ""

    @property
    def pressing(self) -> bool:
        """Whether someone is to be told and was not."""
        return self.state in {"overdue", "at_once"}


def deadlines(incident: Incident, law: IncidentLaw, now_ms: int) -> list[Deadline]:
    """All clocks that run for an incident or were answered; those due first come first.

    What was sent stays, whatever the incident turned out to be: the register says who was told (GDPR Art. 33(5)).
    """
    answered = {report.clock for report in incident.reports}
    found = [
        _deadline(name, clock, incident, now_ms)
        for name, regime in law.regimes.items()
        for clock in regime.clocks
        if runs(clock, incident) or clock.id in answered
    ]
    order = {"at_once": 0, "overdue": 1, "open": 2, "waiting": 3, "done": 4, "done_late": 4}
    return sorted(found, key=lambda one: (order[one.state], one.due_ms or 0))  # else as the law has them


def runs(clock: Clock, incident: Incident) -> bool:
    """Whether the clock concerns the incident."""
    wanted = any(incident.has(category, "suspected", "established") for category in clock.when)
    return wanted and not any(incident.has(category, "established") for category in clock.unless)


def due_ms(clock: Clock, incident: Incident) -> int | None:
    """When it must have been sent; None at once, or while no beginning is known."""
    begins = {term: begin for term in clock.terms if (begin := _begin(term.after, clock, incident)) is not None}
    ends = {term: _end(term, begin, incident.timezone) for term, begin in begins.items()}
    if clock.late_classification:
        others = [end for term, end in ends.items() if term.after != CLASSIFIED]
        for term, begin in begins.items():
            if term.after == CLASSIFIED and others and begin > min(others):
                return ends[term]
    return min(ends.values(), default=None)


def _deadline(regime: str, clock: Clock, incident: Incident, now_ms: int) -> Deadline:
    due = due_ms(clock, incident)
    sent = [report for report in incident.reports if report.clock == clock.id]
    waits_for = ", ".join(term.after for term in clock.terms) if due is None else ""
    if sent:
        state: State = "done_late" if due is not None and sent[0].at_ms > due else "done"
    elif clock.at_once:
        state = "at_once"
    elif due is None:
        state = "waiting"
    else:
        state = "overdue" if now_ms > due else "open"
    return Deadline(
        regime=regime,
        clock=clock.id,
        article=clock.article,
        stage=clock.stage,
        to=clock.to,
        state=state,
        due_ms=due,
        waits_for=waits_for,
        sent_ms=sent[0].at_ms if sent else None,
        receipt=sent[-1].receipt if sent else "",
    )


def _begin(after: str, clock: Clock, incident: Incident) -> int | None:
    if after.startswith(_SENT):  # the latest report counts: an updated one moves what follows it
        sent = [report.at_ms for report in incident.reports if report.clock == after.removeprefix(_SENT)]
        return max(sent, default=None)
    if after == CLASSIFIED:
        said = [incident.categories[name].at_ms for name in clock.when if incident.has(name, "established")]
        return min(said, default=None)
    return {"aware_at": incident.aware_ms, "fixed_at": incident.fixed_ms}[after]


def _end(term: Term, begin_ms: int, timezone: str) -> int:
    """Days and months are those of the place: in UTC they could end after the legal day."""
    begin = datetime.fromtimestamp(begin_ms // 1000, UTC).astimezone(ZoneInfo(timezone))
    day = add_months(begin, term.months) + timedelta(days=term.days)
    end = day.astimezone(UTC) + timedelta(hours=term.hours)
    return int(end.timestamp()) * 1000 + begin_ms % 1000


def add_months(moment: datetime, months: int) -> datetime:
    """Same day and time that many months later, or the last day of a month that is too short."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))
