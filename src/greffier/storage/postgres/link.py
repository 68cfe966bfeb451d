"""The connection over which a worker appends: one call per commit, replaced in the background when it breaks."""

import contextlib
import os
import random
import socket
import threading
import time
from typing import Any

import psycopg

from greffier.core.ids import new_id
from greffier.storage.group_commit import Row
from greffier.storage.postgres.database import Database

_APPEND = (
    "SELECT journal_append(%b::text, %b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[],"
    " %b::bytea[])"
)
_RETRY_S = (0.1, 1.0)  # pause between attempts to connect: first and longest


class Line:
    """One connection. ``writer`` names it to the database, which counts the events that came over it."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection
        self.writer = new_id("line")
        self._numbered = 0
        self._busy_since = 0.0

    def numbers(self, count: int) -> list[int]:
        """Numbers for events that were not sent before."""
        first = self._numbered + 1
        self._numbered += count
        return list(range(first, first + count))

    def append(self, writer: str, numbers: list[int], rows: list[Row]) -> None:
        """Return once the events are committed. Events of a number that the database has of this writer are left out.

        Raises:
            psycopg.Error: They may be committed, or not; sending them again under the same numbers does no harm.
        """
        columns = [list(column) for column in zip(*rows, strict=True)]
        self._busy_since = time.monotonic()
        try:
            self._connection.execute(_APPEND, (writer, numbers, *columns), prepare=True)
        finally:
            self._busy_since = 0.0

    def busy_for(self) -> float:
        """How long the call under way has been waiting, in seconds."""
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def hang_up(self) -> None:
        """End the call under way, from another thread; it raises there."""
        with contextlib.suppress(OSError, psycopg.Error):  # it may be closed already
            descriptor = os.dup(self._connection.fileno())
            with socket.socket(fileno=descriptor) as end:
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; never waits."""
        self._connection.close()


class Link:
    """Gives out a working line, and looks for a new one in a thread of its own while there is none."""

    def __init__(self, database: Database, statement_timeout_ms: int) -> None:
        """Connect.

        Raises:
            psycopg.Error: The database cannot be reached.
        """
        self._database = database
        self._statement_timeout_ms = statement_timeout_ms
        self._found = threading.Event()
        self._closed = threading.Event()
        self._fresh: Line | None = None
        self._guard = threading.Lock()
        self.line: Line | None = self._connect()

    def _connect(self) -> Line:
        return Line(self._database.connect(statement_timeout_ms=self._statement_timeout_ms, autocommit=True))

    def broken(self) -> None:
        """The line is of no use any more: drop it and look for another."""
        if self.line is not None:
            self.line.close()
            self.line = None
        self._found.clear()
        threading.Thread(target=self._look, name="journal-reconnect", daemon=True).start()

    def renewed(self, patience_s: float = 0.0) -> Line | None:
        """The line, after waiting at most ``patience_s`` for a new one; None while there is none."""
        if self.line is None and self._found.wait(patience_s):
            with self._guard:
                self.line, self._fresh = self._fresh, None
        return self.line

    def close(self) -> None:
        """Release everything."""
        with self._guard:
            self._closed.set()
            lines = (self.line, self._fresh)
        for line in lines:
            if line is not None:
                line.close()

    def _look(self) -> None:
        pause, longest = _RETRY_S
        while not self._closed.is_set():
            try:
                line = self._connect()
            except psycopg.Error:
                # Many workers look at once: they must not knock in step.
                self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, no secret
                pause = min(pause * 2, longest)
                continue
            with self._guard:
                if self._closed.is_set():
                    line.close()
                else:
                    self._fresh = line
                    self._found.set()
            return
