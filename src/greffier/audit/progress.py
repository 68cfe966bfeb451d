"""How far each sink is, and who supplies it: the port, and its files in the state folder of one machine."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from greffier.audit.sinks import SinkUnavailable

_LONG_LINE = 4096


class Progress(msgspec.Struct, omit_defaults=True):
    """How far a sink is.

    Attributes:
        cursor: Last sequence number that was shipped or left out by the filter.
        previous: Last sequence number something was sent about.
        checkpoint: Size of the last checkpoint sent.
        checkpoint_ms: Its time.
        delivered: Entries acknowledged.
        rejected: Entries refused for good; they are kept with the reason.
        error: Why nothing is shipped at present; empty while all is well.
        error_ms: Since when.
        delivered_ms: When the sink acknowledged last.
    """

    cursor: int = 0
    previous: int = 0
    checkpoint: int = 0
    checkpoint_ms: int = 0
    delivered: int = 0
    rejected: int = 0
    error: str = ""
    error_ms: int = 0
    delivered_ms: int = 0


class Rejection(msgspec.Struct, frozen=True):
    """An entry that a sink refused for good.

    Attributes:
        seq: Of the record.
        id: Of the entry.
        code: Its event code.
        reason: What the sink said.
    """

    seq: int
    id: str
    code: str
    reason: str


class SinkTaken(SinkUnavailable):
    """Another shipper has moved the cursor meanwhile: what was in hand is not ours any more."""


class ProgressStore(Protocol):
    """The state of one sink. Whoever holds it ships; the others look on. Blocking."""

    def hold(self) -> bool:
        """Whether the sink is ours to supply, asked before each batch; takes it while nobody has it.

        Raises:
            OSError: It cannot be told.
        """
        ...

    def load(self) -> Progress | None:
        """What was saved last; None for a new sink.

        Raises:
            SinkUnavailable: It cannot be read. Guessing a cursor would lose or repeat everything.
        """
        ...

    def save(self, progress: Progress) -> None:
        """Make it durable; only for the holder.

        Raises:
            SinkTaken: Somebody else saved since we loaded.
            SinkUnavailable: It cannot be kept now.
            OSError: Likewise.
        """
        ...

    def keep_rejected(self, lines: Sequence[Rejection]) -> None:
        """Keep what a sink refused for good, where an operator finds it, once per entry.

        Raises:
            SinkUnavailable: It cannot be kept now.
            OSError: Likewise.
        """
        ...

    def rejected(self, limit: int) -> list[Rejection]:
        """The newest entries that were refused for good, oldest first.

        Raises:
            SinkUnavailable: They cannot be read.
        """
        ...

    def close(self) -> None:
        """Let another shipper take over."""
        ...


class ProgressFile:
    """`ProgressStore` in files of one machine: the state is replaced whole and flushed at each change."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        self._rejected = folder / f"{name}.rejected"
        self._lock_file = folder / f"{name}.lock"
        self._lock: int | None = None

    def hold(self) -> bool:
        """See `ProgressStore.hold`: the kernel lets go of the lock when the process ends."""
        if self._lock is not None:
            return True
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def load(self) -> Progress | None:
        """See `ProgressStore.load`."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise SinkUnavailable(
                f"{self.path} cannot be read; restore it, or remove it to send everything again"
            ) from error

    def save(self, progress: Progress) -> None:
        """See `ProgressStore.save`."""
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def keep_rejected(self, lines: Sequence[Rejection]) -> None:
        """See `ProgressStore.keep_rejected`."""
        known = {line.id for line in self.rejected(len(lines))}
        with self._rejected.open("ab") as file:
            for line in lines:
                if line.id not in known:
                    file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def rejected(self, limit: int) -> list[Rejection]:
        """See `ProgressStore.rejected`."""
        try:
            with self._rejected.open("rb") as file:  # the end of it: a sink may refuse without end
                start = max(0, file.seek(0, os.SEEK_END) - (limit + 1) * _LONG_LINE)
                file.seek(start)
                lines = file.read().splitlines()[1 if start else 0 :]
            return [msgspec.json.decode(line, type=Rejection) for line in lines[-limit:]] if limit else []
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            raise SinkUnavailable(f"{self._rejected} cannot be read; move it away") from error

    def close(self) -> None:
        """See `ProgressStore.close`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
