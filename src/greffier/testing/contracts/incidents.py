# ruff: noqa: D102, S101 - a test is named after what it proves, and pytest asserts
"""What every register of incidents must do. Subclass and give a ``register`` fixture: an empty one."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.ports import IncidentChanged, IncidentsUnavailable, NoSuchIncident
from greffier.storage.incidents import SqlIncidents

NOW = 1_800_000_000_000


def an_incident(name: str = "inc_1") -> Incident:
    """A case that was just opened."""
    return Incident(
        id=name,
        version=1,
        title="Mail an den falschen Empfänger",
        opened_ms=NOW,
        opened_by="os:olga",
        aware_ms=NOW,
        law="2026-11",
    )


def later(incident: Incident, title: str) -> Incident:
    """The version that follows."""
    return msgspec.structs.replace(incident, version=incident.version + 1, title=title)


class IncidentsContract:
    """Run with ``class TestMine(IncidentsContract)`` and a fixture ``register``."""

    def test_versions_come_back_in_their_order(self, register: SqlIncidents) -> None:
        first = an_incident()
        second = later(first, "Brief an den falschen Empfänger")
        register.save(first, by="os:olga", at_ms=NOW)
        register.save(second, by="os:anton", at_ms=NOW + 1)
        assert register.get("inc_1") == second
        assert register.history("inc_1") == [(NOW, "os:olga", first), (NOW + 1, "os:anton", second)]
        other = an_incident("inc_2")
        register.save(other, by="os:olga", at_ms=NOW)
        assert register.all() == [second, other]
        with pytest.raises(NoSuchIncident):
            register.get("inc_3")

    def test_a_version_follows_the_newest_one(self, register: SqlIncidents) -> None:
        first = an_incident()
        register.save(first, by="os:olga", at_ms=NOW)
        for wrong in (first, later(later(first, "a"), "b")):
            with pytest.raises(IncidentChanged):
                register.save(wrong, by="os:anton", at_ms=NOW)
        assert register.all() == [first]

    def test_of_many_who_write_the_same_version_one_does(self, register: SqlIncidents) -> None:
        first = an_incident()
        register.save(first, by="os:olga", at_ms=NOW)

        def save(number: int) -> bool:
            try:
                register.save(later(first, f"title {number}"), by=f"os:{number}", at_ms=NOW)
            except IncidentChanged:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            saved = list(pool.map(save, range(8)))
        assert saved.count(True) == 1
        assert register.get("inc_1").title == f"title {saved.index(True)}"
        assert [by for _, by, _ in register.history("inc_1")] == ["os:olga", f"os:{saved.index(True)}"]

    def test_what_is_written_stays(self, register: SqlIncidents) -> None:
        register.save(an_incident(), by="os:olga", at_ms=NOW)
        for change in ("UPDATE incident SET data = '{}'", "DELETE FROM incident"):
            # Refused by a trigger, or before that because the gateway's role has no such right.
            with pytest.raises((IncidentChanged, IncidentsUnavailable)), register.writing() as connection:
                connection.exec_driver_sql(change)
        assert register.get("inc_1") == an_incident()
