"""A small witness: follows a log, cosigns what grew out of what it saw before, and keeps the proof when it did not.

It belongs to another team than the log's operator, with a key of its own. Whoever holds the log's key can rewrite the
log and sign it anew, but not without contradicting a checkpoint that a witness has.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from greffier.audit.checkpoint import Checkpoint, Verifier, verify
from greffier.audit.cosignatures import cosign
from greffier.audit.merkle import consistency_proof, frontier_at, is_consistent
from greffier.audit.tiles import BadLog, TileNodes, TileSource

FUTURE_MS = 300_000  # clocks of two organisations may differ by so much


class LogSource(TileSource, Protocol):
    """A log to follow."""

    def checkpoint(self) -> str:
        """The newest signed note.

        Raises:
            BadLog: There is none, or it cannot be read.
        """
        ...


class Fork(BadLog):  # named for what was found
    """The log's own signatures contradict each other. Both notes are the proof."""

    def __init__(self, message: str, before: str, after: str) -> None:
        super().__init__(message)
        self.before = before
        self.after = after


class Seen(msgspec.Struct, frozen=True):
    """What the witness did with a checkpoint."""

    checkpoint: Checkpoint
    note: str


class WitnessFolder:
    """What a witness remembers: per log the newest note it cosigned, and proofs of forks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, origin: str) -> Path:
        """File of the newest cosigned note of a log; a web server may serve it."""
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.note"

    def newest(self, origin: str) -> str | None:
        """The newest note that was cosigned; None before the first."""
        path = self.path(origin)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def keep(self, origin: str, note: str) -> None:
        """Remember a cosigned note, durably, before anyone else sees it."""
        self._write(self.path(origin), note)

    def accuse(self, origin: str, fork: Fork) -> Path:
        """Keep the two notes that contradict each other."""
        digest = hashlib.sha256(fork.after.encode()).hexdigest()[:16]
        path = self.path(origin).with_suffix(f".fork-{digest}")
        self._write(path, f"{fork.before}\n--- and, by the same log ---\n{fork.after}")
        return path

    def _write(self, path: Path, text: str) -> None:
        scratch = path.with_name(f".{path.name}.new")
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Witness:
    """Looks at one log."""

    def __init__(  # noqa: PLR0917 - each named once by the command line
        self,
        source: LogSource,
        keys: Sequence[Verifier],
        origin: str,
        folder: WitnessFolder,
        name: str,
        private: Ed25519PrivateKey,
    ) -> None:
        """Name the log.

        Args:
            source: Where it is read.
            keys: Keys its operator gave us, over a channel we trust.
            origin: Its name.
            folder: Our memory.
            name: Our name.
            private: Our key.
        """
        self._source = source
        self._keys = list(keys)
        self._origin = origin
        self._folder = folder
        self._name = name
        self._private = private

    def look(self, now_ms: int) -> Seen:
        """Look at the newest checkpoint, and cosign it if it grew out of what we cosigned before.

        Raises:
            Fork: It did not, though the log signed both; the proof is kept.
            BadLog: The log cannot be read, its tiles do not lead to what it signs, or its clock is wrong.
            BadCheckpoint: It is not signed by the log's keys.
        """
        note = self._source.checkpoint()
        new = verify(note, self._keys, self._origin)
        if new.time_ms > now_ms + FUTURE_MS:
            raise BadLog(f"the checkpoint is dated {(new.time_ms - now_ms) // 1000} s in the future")
        nodes = TileNodes(self._source, new.size)
        if frontier_at(new.size, nodes).root() != new.root:
            raise BadLog(f"the tiles of the first {new.size} events do not lead to the signed root")
        known = self._folder.newest(self._origin)
        if known is not None:
            try:
                self._compare(verify(known, self._keys, self._origin), new, known, note, nodes)
            except Fork as fork:
                self._folder.accuse(self._origin, fork)
                raise
        cosigned = cosign(note, self._name, self._private, now_ms // 1000)
        self._folder.keep(self._origin, cosigned)
        return Seen(new, cosigned)

    @staticmethod
    def _compare(old: Checkpoint, new: Checkpoint, known: str, note: str, nodes: TileNodes) -> None:
        if new.time_ms < old.time_ms:
            raise Fork(f"the newest checkpoint is dated {(old.time_ms - new.time_ms) // 1000} s before", known, note)
        if new.size < old.size:
            raise Fork(f"the log was cut: it signed {old.size} events, now {new.size}", known, note)
        if old.size == 0:
            return
        proof = consistency_proof(old.size, new.size, nodes)
        if not is_consistent(old.size, new.size, old.root, new.root, proof):
            raise Fork(f"the log of {new.size} events does not begin with the {old.size} it signed", known, note)
