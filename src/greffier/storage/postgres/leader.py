"""Leadership by an advisory lock: the session that holds it leads, and stops leading when its connection ends."""

import contextlib
import hashlib
from typing import Any

import psycopg

from greffier.storage.postgres.database import Database

SEALER = 0x67726566_0002  # "gref", 2


def number_of(task: str) -> int:
    """The number of the lock for a task, such as ``sink NAME``."""
    return int.from_bytes(hashlib.sha256(b"greffier " + task.encode()).digest()[:8], signed=True)


_QUESTION_MS = 2_000


class PostgresLeader:
    """`Leader` among all machines on one database."""

    def __init__(self, database: Database, task: int = SEALER) -> None:
        """Name the task; nothing is asked yet."""
        self._database = database
        self._task = task
        self._connection: psycopg.Connection[Any] | None = None
        self._held = False

    def leads(self) -> bool:
        """Whether the lock is ours, asked of the database each time; takes it when it is free.

        False also while the database is out of reach: whoever cannot know does not lead.
        """
        held, connected = self._held, self._connection is not None
        try:
            return self._ask()
        except psycopg.Error:
            self.close()
        if held or not connected:
            return False  # whoever led must learn that somebody else may have, before leading again
        try:
            return self._ask()
        except psycopg.Error:
            self.close()
            return False

    def _ask(self) -> bool:
        if self._connection is None:
            self._connection = self._database.connect(statement_timeout_ms=_QUESTION_MS, autocommit=True)
        if self._held:
            self._connection.execute("SELECT 1")  # the lock lives as long as the session does
        else:
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._task,)).fetchone()
            self._held = bool(row and row[0])
        return self._held

    def close(self) -> None:
        """Let another machine lead."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                if self._held:  # at once; the server may take its time to notice the end of a connection
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (self._task,))
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
        self._held = False
