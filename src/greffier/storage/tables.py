"""Create tables so that any number of processes may do it at once."""

from sqlalchemy import Connection, MetaData
from sqlalchemy.schema import CreateIndex, CreateTable


def create_missing(connection: Connection, metadata: MetaData) -> None:
    """Create the tables and indexes that are not there yet.

    `MetaData.create_all` looks first and creates then; of several workers that start at once, one would fail.
    """
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
