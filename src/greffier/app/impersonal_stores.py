"""Places in an installation that hold no data of people, or none that is anybody's in particular; and why."""

from typing import Any

from greffier.app.subject_stores import tables_of
from greffier.governance.privacy.law import Law
from greffier.governance.privacy.ports import Person, SubjectStore, Verified
from greffier.storage.inventory import DATABASE


class KeptElsewhere:
    """Places that hold no data of people, or none that can be told from anybody's; each with the reason."""

    holds = frozenset[str]()
    stays = "It holds no data of people that could be wrong."

    def __init__(self, name: str, holds: frozenset[str], retains: str) -> None:
        self.name = name
        self.holds = holds
        self.retains = retains

    def find(self, person: Person) -> int:
        """None."""
        del person
        return 0

    def export(self, person: Person) -> list[dict[str, Any]]:
        """None."""
        del person
        return []

    def delete(self, person: Person) -> int:
        """None."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """None."""
        del person
        return Verified("nothing is kept", 0)


def impersonal_stores(law: Law) -> tuple[SubjectStore, ...]:
    """Everything else in the state folder, and why it is left alone."""
    return (
        KeptElsewhere("accounts", tables_of("spend.db", "spend", "spend_cursor"), law.retained["accounts"]),
        KeptElsewhere(
            "spool, sinks and copies",
            tables_of("sinks", "sink_progress", "sink_rejected") | {"spool", "sinks", "copies"},
            "Records on their way into the journal or to a sink, and how far copies are; references and counts only.",
        ),
        KeptElsewhere("reviews", tables_of("state.db", "review"), law.retained["decisions"]),
        KeptElsewhere(
            "files that the database took over",
            frozenset({"taken-over"}),
            "Databases whose rows are in the database now, with their content removed; references and counts only.",
        ),
        KeptElsewhere("incidents", tables_of("incidents.db", "incident"), law.retained["incidents"]),
        KeptElsewhere(
            "caches", frozenset({"compiled", "automata", "cache"}), "Compiled detectors; no answer is cached."
        ),
        KeptElsewhere(
            "configuration and run time",
            frozenset({"keys", "releases", "configurations", "schemas", "run", f"{DATABASE}:alembic_version"}),
            "No data of end users: keys, signed configuration, sockets, process logs without content.",
        ),
    )
