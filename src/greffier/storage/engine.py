"""SQLite engines with the settings that durability and concurrency ask for."""

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry


def sqlite_engine(path: Path, *, durable: bool = True) -> Engine:
    """Open (or create, mode 0600) a SQLite database in WAL mode.

    Args:
        path: Database file.
        durable: Whether a commit waits for stable storage (``synchronous=FULL``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"timeout": 5.0, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.close()

    return engine


def sqlite_reader(path: Path) -> Engine:
    """Open an existing SQLite database for reading only; writers of the same file are not held up."""
    address = URL.create("sqlite", database=f"file:{quote(str(path.resolve()))}", query={"mode": "ro", "uri": "true"})
    return create_engine(address, connect_args={"timeout": 5.0, "check_same_thread": False})
