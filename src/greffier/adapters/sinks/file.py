"""A sink that writes lines to a file, for agents that follow files."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from greffier.audit.sinks import Parcel, SinkUnavailable

_US = 1_000_000


class FileSink:
    """Appends one line per event, flushed to disk before it counts as delivered, and rotates by size and age.

    A rotated file gets the time of its rotation as a suffix. A line that a crash cut short stays a line of its own; its
    event is written again, since the cursor had not moved.

    Args:
        path: The file that is written.
        rotate_bytes: Size at which it is rotated.
        rotate_after_s: Age at which it is rotated, counted from its first line.
        keep: How many rotated files stay.
    """

    def __init__(self, path: Path, *, rotate_bytes: int, rotate_after_s: int, keep: int) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._rotate_after_s = rotate_after_s
        self._keep = keep
        self._file: int | None = None
        self._size = 0
        self._born = 0.0

    async def probe(self) -> None:
        """See `Sink.probe`: the file can be opened for writing."""
        await asyncio.to_thread(self._guarded, self._open)

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sink.send`: on stable storage when it returns."""
        await asyncio.to_thread(self._guarded, self._write, parcels)

    async def close(self) -> None:
        """See `Sink.close`."""
        self._close()

    def _guarded(self, work: Callable[..., object], *arguments: Sequence[Parcel]) -> None:
        try:
            work(*arguments)
        except OSError as error:
            self._close()
            raise SinkUnavailable(f"{self._path} cannot be written: {error.strerror}") from error

    def _write(self, parcels: Sequence[Parcel]) -> None:
        file = self._open()
        if self._size and (self._size >= self._rotate_bytes or time.time() - self._born >= self._rotate_after_s):
            self._rotate()
            file = self._open()
        data = b"".join(parcel.data + b"\n" for parcel in parcels)
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
        self._size += len(data)

    def _open(self) -> int:
        if self._file is not None and self._same():
            return self._file
        self._close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        status = os.fstat(file)
        self._file, self._size = file, status.st_size
        self._born = self._first_seen(status)
        if self._size and os.pread(file, 1, self._size - 1) != b"\n":
            os.write(file, b"\n")
            self._size += 1
        self._flush_folder()
        return file

    def _first_seen(self, status: os.stat_result) -> float:
        """When the file began; Linux tells no birth time here, so a file taken over counts from its last change."""
        return status.st_mtime if status.st_size else time.time()

    def _same(self) -> bool:
        """Whether the path still names the open file, which somebody else's rotation may have moved away."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(self._file) if self._file is not None else None
        return opened is not None and (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _rotate(self) -> None:
        target = self._path.with_name(f"{self._path.name}.{_stamp()}")
        while target.exists():
            target = self._path.with_name(f"{self._path.name}.{_stamp()}")
        self._close()
        self._path.rename(target)
        for old in sorted(self._path.parent.glob(f"{self._path.name}.[0-9]*T*.[0-9]*Z"))[: -self._keep]:
            old.unlink()
        self._flush_folder()

    def _flush_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _stamp() -> str:
    """UTC to the microsecond, so that names sort by age however fast the file is rotated."""
    now = time.time_ns() // 1000
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now // _US))}.{now % _US:06}Z"
