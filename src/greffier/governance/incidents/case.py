"""The case object of an incident or a breach. Facts about the event, never names of the people concerned."""

from typing import Literal

import msgspec

Standing = Literal["suspected", "established", "excluded"]
CausalLink = Literal["none", "suspected", "reasonable", "established"]
Severity = Literal["low", "medium", "high", "critical"]


class Category(msgspec.Struct, frozen=True):
    """What the incident is in the words of one regime, since when we say so, and why."""

    standing: Standing
    at_ms: int
    reason: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was sent because a clock asked for it.

    Attributes:
        clock: Which clock it answers.
        at_ms: When it was sent.
        recipient: To whom.
        receipt: The recipient's reference.
        digest: SHA-256 of what was sent, hex; the document itself stays with whoever wrote it.
        late_reason: Why it was late (GDPR Art. 33(1)).
        by: Who entered it.
    """

    clock: str
    at_ms: int
    recipient: str = ""
    receipt: str = ""
    digest: str = ""
    late_reason: str = ""
    by: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident. Every change is a new version; old ones stay.

    Attributes:
        aware_ms: When we became aware of it, milliseconds since the epoch, UTC.
        categories: By name (``governance/law/incidents.yaml``).
        use_cases: AI systems concerned, and the SHA-256 of their settings at the time of opening.
        revision: Digest of the configuration in force when it was opened.
        subjects: Approximate number of people concerned.
        records: Approximate number of records concerned.
        clients_pct: Percent of the clients of the service.
        transactions_pct: Percent of the daily transactions.
        facts: Further facts in DORA's words (``governance/law/dora_classification.yaml``); yes is 1, no is 0.
        consequences: Likely consequences (GDPR Art. 33(3)(c)).
        measures: What was or will be done (Art. 33(3)(d)): containment and correction.
        fixed_ms: When a corrective measure became available.
        holds: Legal holds placed for it.
        timezone: Where the controller was when it was opened: days and months of deadlines are counted there.
        law: Version of the law's data when it was opened.
    """

    id: str
    version: int = 1
    state: Literal["open", "closed"] = "open"
    title: str
    description: str = ""
    opened_ms: int
    opened_by: str
    aware_ms: int
    detected_by: str = ""
    severity: Severity = "medium"
    categories: dict[str, Category] = {}
    use_cases: dict[str, str] = {}
    revision: str = ""
    member_states: tuple[str, ...] = ()
    subjects: int | None = None
    records: int | None = None
    data_categories: tuple[str, ...] = ()
    clients_pct: int | None = None
    transactions_pct: int | None = None
    downtime_min: int | None = None
    facts: dict[str, int] = {}
    cost: str = ""
    causal_link: CausalLink = "none"
    consequences: str = ""
    measures: tuple[str, ...] = ()
    root_cause: str = ""
    fixed_ms: int | None = None
    holds: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()
    review: str = ""
    closed_ms: int | None = None
    timezone: str = "UTC"
    law: str = ""

    def has(self, category: str, *standings: Standing) -> bool:
        """Whether a category stands in one of these ways."""
        found = self.categories.get(category)
        return found is not None and found.standing in standings
