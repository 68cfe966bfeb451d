"""Deletion that leaves nothing behind in SQLite's files: pages overwritten, the write-ahead log emptied.

PostgreSQL keeps deleted rows until its vacuum comes by; the tables concerned ask it to come within a minute or so
(`greffier.storage.migrations`). What lies there until then is ciphertext whose key is destroyed with the person.
"""

from sqlalchemy import Connection, Delete, Engine, Update


class Busy(Exception):  # noqa: N818 - named for the condition
    """Deleted, but a reader holds the write-ahead log, which keeps a copy: to be repeated."""


def erase(engine: Engine, statement: Delete | Update) -> int:
    """Delete rows so that their bytes are gone from the files; return how many there were.

    Raises:
        Busy: Deleted, but the write-ahead log still has a copy; repeat it.
        sqlalchemy.exc.DBAPIError: Nothing was deleted.
    """
    with engine.begin() as connection:
        overwrite(connection)
        count = connection.execute(statement).rowcount
    if engine.dialect.name != "sqlite":
        return count
    with engine.connect() as connection:  # does nothing where the file has no write-ahead log
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    if busy:
        raise Busy("deleted, but the file's write-ahead log is in use and keeps a copy: repeat it")
    return count


def overwrite(connection: Connection) -> None:
    """Let what this connection deletes or replaces be overwritten in the file."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
