"""Leadership by an advisory lock: the session that holds it leads, and stops leading when its connection ends."""

import contextlib
from typing import Any

import psycopg

from greffier.storage.postgres.database import Database

SEALER = 0x67726566_0002  # "gref", 2

_QUESTION_MS = 2_000


class PostgresLeader:
    """`Leader` among all machines on one database."""

    def __init__(self, database: Database, task: int = SEALER) -> None:
        """Name the task; nothing is asked yet."""
        self._database = database
        self._task = task
        self._connection: psycopg.Connection[Any] | None = None

    def leads(self) -> bool:
        """Whether the lock is ours, asked of the database each time; takes it when it is free.

        False also while the database is out of reach: whoever cannot know does not lead.
        """
        try:
            if self._connection is not None:
                self._connection.execute("SELECT 1")  # the lock lives as long as the session does
                return True
            connection = self._database.connect(statement_timeout_ms=_QUESTION_MS, autocommit=True)
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._task,)).fetchone()
        except psycopg.Error:
            self.close()
            return False
        if row is None or not row[0]:
            connection.close()
            return False
        self._connection = connection
        return True

    def close(self) -> None:
        """Let another machine lead."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
