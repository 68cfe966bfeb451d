"""A file of one worker that keeps events while the journal's database is out of reach.

An event in it is as durable as the disk it stands on: each batch is written with one ``write`` and one ``fdatasync``.
One line per event: CRC-32, writer, number, canonical bytes. Writer and number say whether the database has the event
already; so a spool may be sent again from its beginning, after any crash. The file is locked by its worker: what a
dead worker left is adopted by another one.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greffier.audit.ports import JournalUnavailable

_CHUNK = 1 << 20
_SUFFIX = ".spool"


class Kept(msgspec.Struct, frozen=True):
    """An event in a spool.

    Attributes:
        writer: Whose number it has.
        number: Counts the writer's events.
        data: Canonical bytes.
    """

    writer: str
    number: int
    data: bytes


class Spool:
    """One file, held by one process."""

    def __init__(self, path: Path, descriptor: int, most_bytes: int) -> None:
        """Use `create` or `adopt`."""
        self._path = path
        self._descriptor = descriptor
        self._most_bytes = most_bytes
        self._end = os.fstat(descriptor).st_size
        self._start = 0
        self._next = 0
        self._count = _lines_in(descriptor)
        self._next_count = 0
        self._broken = ""
        self._damaged: set[int] = set()

    @classmethod
    def create(cls, folder: Path, name: str, most_bytes: int) -> "Spool":
        """Make a spool.

        Args:
            folder: Made (mode 0700) where there is none.
            name: Unique name of the worker.
            most_bytes: How large it may grow.

        Raises:
            JournalUnavailable: The file cannot be made.
        """
        path = folder / f"{name}{_SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Made under another name, locked, and only then named: nobody adopts it in between.
            scratch = folder / f".{name}"
            descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            scratch.rename(path)
            _sync_folder(folder)
        except OSError as error:
            raise JournalUnavailable(f"the spool cannot be made in {folder} ({error.strerror})") from error
        return cls(path, descriptor, most_bytes)

    @classmethod
    def adopt(cls, folder: Path) -> "list[Spool]":
        """Take over what dead workers left, oldest first.

        Raises:
            JournalUnavailable: The folder cannot be read.
        """
        found: list[Spool] = []
        try:
            files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
            for path in files:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # its worker lives
                    os.close(descriptor)
                    continue
                found.append(cls(path, descriptor, 0))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise JournalUnavailable(f"the spools in {folder} cannot be read ({error.strerror})") from error
        return found

    @property
    def name(self) -> str:
        """Name of the worker that made it."""
        return self._path.name.removesuffix(_SUFFIX)

    @property
    def damaged(self) -> int:
        """Lines that could not be read; the file is kept aside then."""
        return len(self._damaged)

    @property
    def waiting(self) -> int:
        """Events in it that were not sent yet."""
        return self._count

    @property
    def waiting_bytes(self) -> int:
        """What they take."""
        return max(0, self._end - self._start)

    @property
    def empty(self) -> bool:
        """Whether everything in it was sent."""
        return self._start >= self._end

    def append(self, events: list[Kept]) -> None:
        """Return once the events are on the disk, all of them or none.

        Raises:
            JournalUnavailable: They are not, and will not be.
        """
        if self._broken:
            raise JournalUnavailable(f"the spool failed earlier ({self._broken})")
        lines = b"".join(_line(event) for event in events)
        if self._end + len(lines) > self._most_bytes:
            raise JournalUnavailable(f"the spool is full ({self._most_bytes >> 20} MiB)")
        try:
            view = memoryview(lines)
            at = self._end
            while view:
                written = os.pwrite(self._descriptor, view, at)
                view, at = view[written:], at + written
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._take_back(error)
            raise JournalUnavailable(f"the spool cannot be written ({error.strerror})") from error
        self._end += len(lines)
        self._count += len(events)

    def _take_back(self, error: OSError) -> None:
        # After a failed fsync nobody knows what is on the disk: the lines go, or the spool is used no more.
        try:
            os.ftruncate(self._descriptor, self._end)
            os.fsync(self._descriptor)
        except OSError:
            self._broken = str(error.strerror)

    def first(self, limit: int) -> list[Kept]:
        """The oldest events not sent yet, all of one writer, at most ``limit``. Damaged lines are left out.

        Raises:
            JournalUnavailable: The file cannot be read.
        """
        found: list[Kept] = []
        self._next = self._start
        self._next_count = self._count
        for end, kept in self._lines(self._start):
            if kept is not None:
                if found and kept.writer != found[0].writer:
                    break
                found.append(kept)
            self._next = end
            self._next_count -= 1
            if len(found) == limit:
                break
        return found

    def sent(self) -> None:
        """What `first` gave last is in the database. An emptied file begins anew.

        Raises:
            JournalUnavailable: The file cannot be emptied.
        """
        self._start = self._next
        self._count = max(0, self._next_count)
        if self._start < self._end:
            return
        try:
            if self._damaged:
                self._path.with_suffix(".damaged").write_bytes(self._path.read_bytes())
            os.ftruncate(self._descriptor, 0)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise JournalUnavailable(f"the spool cannot be emptied ({error.strerror})") from error
        self._start = self._end = self._count = 0
        self._broken = ""

    def close(self) -> None:
        """Let go; a file that still holds events is left for another worker."""
        if self.empty and not self._broken:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _lines(self, start: int) -> Iterator[tuple[int, Kept | None]]:
        try:
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                file.seek(start)
                at = start
                while at < self._end:
                    line = file.readline()
                    at += len(line)
                    kept = _parse(line)
                    if kept is None and at < self._end:  # the last line may be torn: it was never acknowledged
                        self._damaged.add(at)
                    yield at, kept
        except OSError as error:
            raise JournalUnavailable(f"the spool cannot be read ({error.strerror})") from error


def _line(event: Kept) -> bytes:
    body = b"%b %d %b" % (event.writer.encode(), event.number, event.data)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _lines_in(descriptor: int) -> int:
    count, at = 0, 0
    while chunk := os.pread(descriptor, _CHUNK, at):
        count += chunk.count(b"\n")
        at += len(chunk)
    return count


def _parse(line: bytes) -> Kept | None:
    check, _, body = line.removesuffix(b"\n").partition(b" ")
    parts = body.split(b" ", 2)
    if not line.endswith(b"\n") or len(parts) != 3 or check != b"%08x" % zlib.crc32(body):  # noqa: PLR2004 - as in _line
        return None
    return Kept(parts[0].decode(), int(parts[1]), parts[2])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
