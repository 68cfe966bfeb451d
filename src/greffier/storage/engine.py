"""SQLite engines with the settings that durability and concurrency ask for.

SQLite before 3.51.3 (3.50.7 and 3.44.6 have the mend too) can lose committed rows in WAL mode when one connection
checkpoints at the instant another commits and starts the WAL anew (sqlite.org/wal.html#walresetbug). Python brings
whatever SQLite it was built with. So a store that many processes write often either lets no two connections write or
checkpoint at once (`Writers`: the journal), or leaves WAL mode where `WAL_IS_SOUND` is false (content). Stores
that are written rarely and never fill a WAL between two restarts (keys) stay in WAL mode for their readers' sake.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry


def _wal_is_sound(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite has the mend."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


WAL_IS_SOUND = _wal_is_sound(sqlite3.sqlite_version_info)


class Writers:
    """Lets one writer at a time, of all processes, at a file. The kernel queues them; SQLite would poll.

    The lock file stands beside the database. Connections are closed under the lock too: the last one checkpoints.
    """

    def __init__(self, path: Path) -> None:
        """Open the lock.

        Raises:
            OSError: The file cannot be created.
        """
        self._descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the turn, hold it, and give it back. Never re-entered by the same object."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)


def sqlite_engine(path: Path, *, durable: bool = True, wal: bool = True) -> Engine:
    """Open (or create, mode 0600) a SQLite database.

    Args:
        path: Database file.
        durable: Whether a commit waits for stable storage (``synchronous=FULL``).
        wal: Whether readers and a writer may work at the same time (write-ahead log), or take turns (rollback journal).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"timeout": 5.0, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.close()

    return engine


def sqlite_reader(path: Path) -> Engine:
    """Open an existing SQLite database for reading only; writers of the same file are not held up."""
    address = URL.create("sqlite", database=f"file:{quote(str(path.resolve()))}", query={"mode": "ro", "uri": "true"})
    return create_engine(address, connect_args={"timeout": 5.0, "check_same_thread": False})


def sqlite_version() -> str:
    """Version of the SQLite library that Python was built with."""
    return sqlite3.sqlite_version
