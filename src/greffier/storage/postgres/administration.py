"""`Administration` of a PostgreSQL database, with PostgreSQL's own tools for copies."""

import os
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import Conninfo

from greffier.storage.administration import DatabaseUnavailable, Dropped, SchemaState
from greffier.storage.postgres.database import BadDatabaseUrl, Database, reason_of
from greffier.storage.postgres.schema import inspect, upgrade

_WORK_MS = 60_000
_LOCK_MS = 300  # dropping days waits no longer than this for readers, because appending would wait behind it
_TOOL_S = 24 * 3600
_PLAIN = ("--no-owner", "--no-privileges")
_KEY_TABLES = ("epoch_key", "data_key")


class PostgresAdministration:
    """Connects as the owner of the tables."""

    def __init__(self, owner_url: str, gateway_url: str, connect_timeout_s: int) -> None:
        """Name the database.

        Raises:
            DatabaseUnavailable: An address cannot be understood.
        """
        try:
            self._owner = Database(owner_url, pool_size=1, connect_timeout_s=connect_timeout_s)
            self._gateway = Database(gateway_url, pool_size=1, connect_timeout_s=connect_timeout_s)
        except BadDatabaseUrl as error:
            raise DatabaseUnavailable(str(error)) from error
        self._url = owner_url

    def status(self) -> SchemaState:
        """See `Administration`; seen as the gateway sees it."""
        return inspect(self._gateway)

    def upgrade(self) -> tuple[str, str]:
        """See `Administration`."""
        return upgrade(self._owner, self._gateway.user)

    def dump(self, file: Path) -> None:
        """See `Administration`."""
        without = [f"--exclude-table-data={table}" for table in _KEY_TABLES]
        self._tool("pg_dump", *_PLAIN, "--format=custom", *without, f"--file={file}")

    def dump_keys(self, file: Path) -> None:
        """See `Administration`."""
        tables = [f"--table={table}" for table in _KEY_TABLES]
        self._tool("pg_dump", *_PLAIN, "--format=custom", "--data-only", *tables, f"--file={file}")

    def load_keys(self, file: Path) -> None:
        """See `Administration`."""
        self._restore("--data-only", str(file))

    def load(self, file: Path) -> None:
        """See `Administration`."""
        if inspect(self._owner).revision:
            raise DatabaseUnavailable("the database is not empty; restore into a new one and let storage.url name it")
        self._restore(str(file))

    def days_before(self, day: date) -> Dropped:
        """See `Administration`."""
        try:
            with self._owner.connect(statement_timeout_ms=_WORK_MS, autocommit=True) as connection:
                days = _old_days(connection, day)
                return Dropped(len(days), _first_seq(connection, days))
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the database cannot be used: {reason_of(error)}") from error

    def drop_before(self, day: date) -> Dropped:
        """See `Administration`."""
        try:
            with self._owner.connect(statement_timeout_ms=_WORK_MS) as connection:
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_LOCK_MS}ms",))
                days = _old_days(connection, day)
                first = _first_seq(connection, days)
                for old in days:
                    table = sql.Identifier(f"event_{old:%Y%m%d}")
                    connection.execute(sql.SQL("DROP TABLE {}").format(table))
                connection.execute("DELETE FROM journal_day WHERE day = ANY(%s)", (days,))
                # Their last number is never needed again once the worker is long gone.
                connection.execute("DELETE FROM journal_writer WHERE seen < %s", (day,))
                return Dropped(len(days), first)
        except psycopg.errors.LockNotAvailable as error:
            raise DatabaseUnavailable("the journal is being read; nothing was dropped, try again later") from error
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the database refused: {reason_of(error)}") from error

    def _restore(self, *arguments: str) -> None:
        database = self._environment().get("PGDATABASE", "")
        self._tool("pg_restore", *_PLAIN, "--exit-on-error", f"--dbname={database}", *arguments)

    def _environment(self) -> dict[str, str]:
        # By environment: a command line, and the password in it, is everybody's to read.
        options = Conninfo.parse(self._url.encode())
        return {o.envvar.decode(): o.val.decode() for o in options if o.envvar and o.val is not None}

    def _tool(self, name: str, *arguments: str) -> None:
        found = shutil.which(name)
        if found is None:
            raise DatabaseUnavailable(f"{name} is not installed; it comes with PostgreSQL's client programs")
        done = subprocess.run(
            [found, "--no-password", *arguments],
            env=os.environ | self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TOOL_S,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise DatabaseUnavailable(f"{name} failed: {said[0] if said else done.returncode}")


def _old_days(connection: "psycopg.Connection[Any]", day: date) -> list[date]:
    """Days before ``day``; never the newest one, which is being written."""
    rows = connection.execute(
        "SELECT day FROM journal_day WHERE day < %s AND day < (SELECT max(day) FROM journal_day) ORDER BY day", (day,)
    ).fetchall()
    return [row[0] for row in rows]


def _first_seq(connection: "psycopg.Connection[Any]", without: list[date]) -> int:
    row = connection.execute(
        "SELECT min(first_seq) FROM journal_day WHERE day <> ALL(%s::date[])", (without,)
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 1
