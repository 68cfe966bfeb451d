"""Where incidents are kept."""

from typing import Protocol

from greffier.governance.incidents.case import Incident


class IncidentsUnavailable(Exception):  # noqa: N818 - named for the condition
    """The register of incidents cannot be read or written now."""


class NoSuchIncident(Exception):  # noqa: N818 - named for the condition
    """There is no incident of that id."""


class IncidentChanged(Exception):  # noqa: N818 - named for the condition
    """Someone else changed the incident at the same time; look at it again."""


class Incidents(Protocol):
    """The register. Versions are added; none is changed or deleted."""

    def save(self, incident: Incident, *, by: str, at_ms: int) -> None:
        """Add a version: the first, or the one after the newest.

        Raises:
            IncidentChanged: There is such a version already.
            IncidentsUnavailable: It cannot be written.
        """
        ...

    def get(self, incident_id: str) -> Incident:
        """The newest version.

        Raises:
            NoSuchIncident: There is none.
        """
        ...

    def history(self, incident_id: str) -> list[tuple[int, str, Incident]]:
        """All versions, oldest first, each with when (milliseconds since the epoch) and by whom it was made."""
        ...

    def all(self) -> list[Incident]:
        """The newest version of every incident, oldest incident first."""
        ...
