"""The regimes under which incidents are reported, as data (``governance/law/incidents.yaml``)."""

from functools import cache
from typing import Literal

import msgspec

from greffier.governance.law.reading import read_law


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A period, and the moment it is counted from: ``aware_at``, ``classified_at``, ``fixed_at`` or ``sent:CLOCK``."""

    after: str
    hours: int = 0
    days: int = 0
    months: int = 0


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One duty to tell someone.

    Attributes:
        id: Unique among all regimes.
        article: Where the duty stands.
        stage: What is sent.
        to: To whom.
        when: It runs while one of these categories is suspected or established.
        unless: It does not run once one of these is established.
        terms: The earliest one that can be computed is the deadline.
        at_once: The law names no number: without undue delay, immediately.
        repeats: May be sent more than once.
        late_needs_reason: A late report must say why it is late.
        late_classification: Where it stands that an incident classified only after its other terms have ended is
            reported within the term that counts from its classification alone; empty where no such rule exists.
    """

    id: str
    article: str
    stage: str
    to: str
    when: tuple[str, ...]
    unless: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    at_once: bool = False
    repeats: bool = False
    late_needs_reason: bool = False
    late_classification: str = ""


class Regime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A law under which incidents are reported."""

    title: str
    source: str
    verified_on: str
    mark: Literal["verified", "secondary"]
    dates: dict[str, str]
    note: str
    categories: dict[str, str]
    clocks: tuple[Clock, ...]


class IncidentLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All regimes."""

    version: str
    computation: str
    regimes: dict[str, Regime]

    @property
    def categories(self) -> dict[str, str]:
        """What an incident can be, over all regimes, and what each word means."""
        return {name: text for regime in self.regimes.values() for name, text in regime.categories.items()}

    @property
    def clocks(self) -> dict[str, Clock]:
        """All clocks, by id."""
        return {clock.id: clock for regime in self.regimes.values() for clock in regime.clocks}


@cache
def incident_law() -> IncidentLaw:
    """The law in force here.

    Raises:
        ValueError: The file that came with the platform was damaged.
    """
    return read_law("incidents.yaml", IncidentLaw)
