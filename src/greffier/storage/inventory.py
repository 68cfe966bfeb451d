"""What there is: every table of every database, and every other entry of the state folder."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.storage.engine import sqlite_reader

DATABASE = "postgresql"
"""Stands for the file where tables are in the one database that ``storage.url`` names."""

_MAGIC = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite keeps beside a database; they hold its pages and belong to it."""


def state_entries(paths: WorkspacePaths) -> Iterator[str]:
    """``FILE:TABLE`` for each table of each database, ``NAME`` for everything else, by what the files are.

    Raises:
        PrivacyUnavailable: A database cannot be read, so nobody can say what is in it.
    """
    names = sorted(path.name for path in paths.state.iterdir())
    for name in names:
        path = paths.state / name
        if name.endswith(".lock") or any(name.endswith(end) and name.removesuffix(end) in names for end in _BESIDE):
            continue
        if path.is_file() and _is_database(path):
            for table in _tables(path):
                yield f"{name}:{table}"
        elif not (path.is_file() and path.stat().st_size == 0):
            yield name


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _tables(path: Path) -> list[str]:
    try:
        engine = sqlite_reader(path)
        with engine.connect() as connection:
            names = inspect(connection).get_table_names()
        engine.dispose()
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise PrivacyUnavailable(f"the tables of {path.name} cannot be read ({reason})") from error
    return [name for name in names if not name.startswith("sqlite_")]
