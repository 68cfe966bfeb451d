"""Consistent copies of the state folder while everything runs: SQLite's online backup, and the Merkle log's files.

The log is copied before the journal, and its checkpoints before its tiles: a copy may hold events that are not sealed
yet, never a seal without its events.
"""

import os
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import quote

from greffier.config.paths import WorkspacePaths

_LEFTOVERS = ("-wal", "-shm", "-journal")


class BackupFailed(Exception):  # noqa: N818 - named for the condition
    """The copy is not whole, or cannot be put back; the message says why."""


def databases(paths: WorkspacePaths) -> list[Path]:
    """SQLite files of the state folder, keys of content apart: copies of keys must live shorter than copies of data."""
    return sorted(file for file in paths.state.glob("*.db") if file != paths.content_keys_db)


def copy_log(paths: WorkspacePaths, folder: Path) -> None:
    """Copy checkpoints, then tiles.

    Raises:
        BackupFailed: A file cannot be copied.
    """
    target = folder / "log"
    try:
        target.mkdir(parents=True, mode=0o700)
        for name in ("checkpoint", "checkpoints"):
            _copy(paths.log / name, target / name)
        for entry in sorted(paths.log.iterdir()) if paths.log.exists() else ():
            if entry.name not in {"checkpoint", "checkpoints", ".lock"}:
                _copy(entry, target / entry.name)
    except (OSError, shutil.Error) as error:
        raise BackupFailed(f"the log cannot be copied: {error}") from error


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it stood at one moment; its writers go on.

    Raises:
        BackupFailed: It cannot be copied.
    """
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        # Opened for reading only, so that closing it never checkpoints beside a commit (see `engine`).
        reading = sqlite3.connect(f"file:{quote(str(source.resolve()))}?mode=ro", uri=True)
        writing = sqlite3.connect(target)
        try:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log beside it
            (result,) = writing.execute("PRAGMA quick_check").fetchone()
        finally:
            writing.close()
            reading.close()
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source.name} cannot be copied: {error}") from error
    if result != "ok":
        raise BackupFailed(f"the copy of {source.name} is damaged: {result}")


def put_back(paths: WorkspacePaths, folder: Path, aside: Path) -> list[str]:
    """Put a copy's files in place; what stood there is moved aside. Nothing may run meanwhile.

    The ledger of erasures is put back only where there is none: it must never go back in time.

    Returns:
        Names of what was put back.

    Raises:
        BackupFailed: A file cannot be moved.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".db")
    if (folder / "log").is_dir():
        names.append("log")
    if paths.erasures_db.exists():
        names = [name for name in names if name != paths.erasures_db.name]
    try:
        aside.mkdir(parents=True, mode=0o700)
        for name in names:
            for old in (paths.state / name, *(paths.state / f"{name}{suffix}" for suffix in _LEFTOVERS)):
                if old.exists():
                    old.rename(aside / old.name)
            _copy(folder / name, paths.state / name)
    except (OSError, shutil.Error) as error:
        raise BackupFailed(f"the copy cannot be put back: {error}; what stood there is in {aside}") from error
    return names


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)
