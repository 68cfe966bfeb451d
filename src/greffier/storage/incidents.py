"""The register of incidents in a SQLite database of its own: versions are added, the database refuses anything else."""

import contextlib
from collections.abc import Iterator

import msgspec
from sqlalchemy import BigInteger, Column, Engine, Integer, MetaData, String, Table, Text, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greffier.config.paths import WorkspacePaths
from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.ports import IncidentChanged, IncidentsUnavailable, NoSuchIncident
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing

metadata = MetaData()
versions = Table(
    "incident",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("data", Text, nullable=False),
)
_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS incident_{name} BEFORE {act} ON incident "
    "BEGIN SELECT RAISE(ABORT, 'versions of incidents are only added'); END"
    for name, act in (("frozen", "UPDATE"), ("kept", "DELETE"))
)


class SqlIncidents:
    """`Incidents`."""

    def __init__(self, engine: Engine) -> None:
        """Use an engine; create what is missing.

        Raises:
            IncidentsUnavailable: The database cannot be opened.
        """
        self._engine = engine
        with _translated(), engine.begin() as connection:
            create_missing(connection, metadata)
            for trigger in _TRIGGERS:
                connection.exec_driver_sql(trigger)

    def save(self, incident: Incident, *, by: str, at_ms: int) -> None:
        """See `Incidents.save`."""
        newest = select(func.coalesce(func.max(versions.c.version), 0)).where(versions.c.id == incident.id)
        data = msgspec.json.encode(incident).decode()
        row = {"id": incident.id, "version": incident.version, "at_ms": at_ms, "by": by, "data": data}
        with _translated(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if connection.execute(newest).scalar_one() != incident.version - 1:
                raise IncidentChanged("someone else changed the incident at the same time; look at it again")
            connection.execute(insert(versions).values(row))

    def get(self, incident_id: str) -> Incident:
        """See `Incidents.get`."""
        return self.history(incident_id)[-1][2]

    def history(self, incident_id: str) -> list[tuple[int, str, Incident]]:
        """See `Incidents.history`."""
        query = select(versions).where(versions.c.id == incident_id).order_by(versions.c.version)
        with _translated(), self._engine.connect() as connection:
            found = [(row.at_ms, row.by, _read(row.data)) for row in connection.execute(query)]
        if not found:
            raise NoSuchIncident(f"there is no incident {incident_id}")
        return found

    def all(self) -> list[Incident]:
        """See `Incidents.all`."""
        newest = select(versions.c.id, func.max(versions.c.version).label("version")).group_by(versions.c.id).subquery()
        joined = versions.join(newest, (versions.c.id == newest.c.id) & (versions.c.version == newest.c.version))
        with _translated(), self._engine.connect() as connection:
            rows = connection.execute(select(versions.c.data).select_from(joined).order_by(versions.c.id))
            return [_read(row.data) for row in rows]

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()


def _read(data: str) -> Incident:
    return msgspec.json.decode(data, type=Incident)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors."""
    try:
        yield
    except IntegrityError as error:
        raise IncidentChanged(f"the database refuses it ({error.orig})") from error
    except (SQLAlchemyError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise IncidentsUnavailable(f"the register of incidents cannot be used ({reason})") from error


def open_incidents(paths: WorkspacePaths) -> SqlIncidents:
    """The workspace's register of incidents.

    Raises:
        IncidentsUnavailable: It cannot be opened.
    """
    with _translated():
        engine = sqlite_engine(paths.incidents_db, wal=WAL_IS_SOUND)
    return SqlIncidents(engine)
