"""What SQLite and PostgreSQL say differently: tables made by many processes at once, rows that may be there already."""

from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable


def create_missing(connection: Connection, metadata: MetaData) -> None:
    """Create the tables and indexes that are not there yet.

    `MetaData.create_all` looks first and creates then; of several workers that start at once, one would fail.
    """
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def upsert(place: Connection | Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An ``INSERT`` that takes ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return postgresql.insert(table) if place.dialect.name == "postgresql" else sqlite.insert(table)


def first_line(error: object) -> str:
    """What a driver says, without the further lines in which PostgreSQL shows the row."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
