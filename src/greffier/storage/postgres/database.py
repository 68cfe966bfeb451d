"""How PostgreSQL is reached: one connection string for all stores, with the patience that each of them has."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, create_engine

_DEFAULTS: Mapping[str, Any] = {
    "application_name": "greffier",
    # Several hosts may stand in the address; after a failover only the one that takes writes is of use.
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class BadDatabaseUrl(Exception):  # noqa: N818 - named for the condition; the start stops on it
    """The database's address is none. The message never holds it, for there is a password in it."""


class Database:
    """Where the database is, and as whom. The address is a secret and stays out of every text."""

    def __init__(self, url: str, *, pool_size: int = 4, connect_timeout_s: int = 5) -> None:
        """Check the address (a libpq URI or key/value string, several hosts allowed); nothing is opened yet.

        Args:
            url: Where to connect.
            pool_size: Most connections that the stores of one process hold, besides the journal's own.
            connect_timeout_s: How long to try one connection.

        Raises:
            BadDatabaseUrl: It cannot be understood.
        """
        try:
            stated = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise BadDatabaseUrl("the database's address is no PostgreSQL connection string") from None
        parts: dict[str, Any] = {**_DEFAULTS, "connect_timeout": connect_timeout_s, **stated}
        self._conninfo = make_conninfo(**parts)
        self._pool_size = pool_size
        self.user = str(stated.get("user") or "")

    def __repr__(self) -> str:
        return "Database(…)"

    def connect(self, *, statement_timeout_ms: int, autocommit: bool = False) -> psycopg.Connection[Any]:
        """Open a connection of one's own.

        Raises:
            psycopg.Error: It cannot be had.
        """
        connection = psycopg.connect(self._conninfo, autocommit=True)
        try:
            # By statements and not by start-up options, which connection poolers refuse.
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('TimeZone', 'UTC', false),"
                " set_config('default_transaction_isolation', 'read committed', false),"
                # An acknowledged commit must be on disk; whoever asks for more (a standby's word) gets it.
                " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
                " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)",
                (f"{statement_timeout_ms}ms",),
            )
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection

    def engine(self, *, statement_timeout_ms: int = 10_000) -> Engine:
        """A pool for the blocking stores: bounded, tested before use, so that a failover costs one new connection."""
        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: self.connect(statement_timeout_ms=statement_timeout_ms),
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=5.0,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_use_lifo=True,
        )


def reason_of(error: psycopg.Error) -> str:
    """Why PostgreSQL refused, in one line, with its SQLSTATE; never the statement or its values."""
    said = (error.diag.message_primary or str(error)).strip().splitlines()
    state = f" [{error.sqlstate}]" if error.sqlstate else ""
    return f"{said[0] if said else type(error).__name__}{state}"
