"""The register of incidents: versions are added, the database refuses anything else."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from greffier.governance.incidents.case import Incident
from greffier.governance.incidents.ports import IncidentChanged, IncidentsUnavailable, NoSuchIncident
from greffier.storage.engine import WAL_IS_SOUND, sqlite_engine
from greffier.storage.tables import create_missing, first_line, upsert

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
    """`Incidents`; any number of processes may share them."""

    def __init__(self, engine: Engine) -> None:
        """Use a table that is there already."""
        self._engine = engine

    def save(self, incident: Incident, *, by: str, at_ms: int) -> None:
        """See `Incidents.save`."""
        newest = select(func.coalesce(func.max(versions.c.version), 0)).where(versions.c.id == incident.id)
        with self.writing() as connection:
            if connection.execute(newest).scalar_one() != incident.version - 1:
                raise IncidentChanged("someone else changed the incident at the same time; look at it again")
            connection.execute(insert(versions).values(_row(incident, by, at_ms)))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes."""
        with _translated(), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":  # elsewhere the primary key lets one of two writers through
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def take(self, history: Iterable[tuple[int, str, Incident]]) -> int:
        """Add versions of another register as they stand there, those that are missing; return how many these were."""
        with self.writing() as connection:
            added = upsert(connection, versions).on_conflict_do_nothing().returning(versions.c.version)
            return sum(
                connection.execute(added, _row(incident, by, at_ms)).first() is not None
                for at_ms, by, incident in history
            )

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
        """Release the connections."""
        self._engine.dispose()


class SqliteIncidents(SqlIncidents):
    """The register in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Open the register, creating it if the file has none.

        Raises:
            IncidentsUnavailable: The file cannot be opened.
        """
        with _translated():
            super().__init__(sqlite_engine(path, wal=WAL_IS_SOUND))
            with self._engine.begin() as connection:
                create_missing(connection, metadata)
                for trigger in _TRIGGERS:
                    connection.exec_driver_sql(trigger)


def _row(incident: Incident, by: str, at_ms: int) -> dict[str, str | int]:
    data = msgspec.json.encode(incident).decode()
    return {"id": incident.id, "version": incident.version, "at_ms": at_ms, "by": by, "data": data}


def _read(data: str) -> Incident:
    return msgspec.json.decode(data, type=Incident)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one table of foreign errors."""
    try:
        yield
    except IntegrityError as error:
        raise IncidentChanged(f"the database refuses it ({first_line(error.orig)})") from error
    except (SQLAlchemyError, OSError) as error:
        reason = first_line(getattr(error, "orig", None) or error)
        raise IncidentsUnavailable(f"the register of incidents cannot be used ({reason})") from error
