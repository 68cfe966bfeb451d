"""Proofs an outsider can check without us: that an event is in the log, and that one log grew out of another."""

import base64
from collections.abc import Sequence

import msgspec

from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, verify
from greffier.audit.merkle import consistency_proof, inclusion_proof, is_consistent, leaf_hash, root_of_inclusion
from greffier.audit.ports import Sequenced
from greffier.audit.sealer import read_note
from greffier.audit.tiles import BadLog, TileNodes, TileStore


class Proof(msgspec.Struct, frozen=True):
    """An event, its way up the tree, and the signed root it leads to; ``tools/verify_log.py proof`` checks it.

    Attributes:
        log: Origin of the log.
        seq: Number of the event; its leaf index is one less.
        size: Number of leaves the checkpoint signs.
        event: The event, exactly as it was hashed.
        path: Sibling hashes from the leaf upwards (RFC 9162 section 2.1.3), base64.
        checkpoint: The signed note.
    """

    log: str
    seq: int
    size: int
    event: str
    path: tuple[str, ...]
    checkpoint: str


class Sealed(msgspec.Struct, frozen=True):
    """The newest checkpoint with its note, both verified."""

    checkpoint: Checkpoint
    note: str


def newest(store: TileStore, verifiers: Sequence[Verifier], origin: str | None = None) -> Sealed | None:
    """The log's newest checkpoint, or None before the first.

    Raises:
        BadLog: It is not signed by one of the keys.
    """
    note = read_note(store)
    if note is None:
        return None
    try:
        return Sealed(verify(note, list(verifiers), origin), note)
    except BadCheckpoint as error:
        raise BadLog(f"checkpoint: {error}") from error


def prove(row: Sequenced, store: TileStore, sealed: Sealed) -> Proof | None:
    """Prove that an event is in the log; None while it is not sealed yet.

    Raises:
        BadLog: It is not the event that was sealed, or the tiles are damaged.
    """
    head = sealed.checkpoint
    if row.seq > head.size:
        return None
    path = inclusion_proof(row.seq - 1, head.size, TileNodes(store, head.size))
    if root_of_inclusion(row.seq - 1, head.size, leaf_hash(row.data), path) != head.root:
        raise BadLog(f"event {row.seq} in the journal is not the one that was sealed")
    encoded = tuple(base64.b64encode(node).decode() for node in path)
    return Proof(head.origin, row.seq, head.size, row.data.decode(), encoded, sealed.note)


def prove_growth(old: Checkpoint, new: Checkpoint, store: TileStore) -> tuple[str, ...]:
    """The consistency proof that the new checkpoint's log begins with the old one's, base64 (RFC 9162 section 2.1.4).

    Raises:
        BadLog: It does not, or the tiles are damaged.
    """
    if new.size < old.size:
        raise BadLog(f"the new checkpoint signs {new.size} events, the old one {old.size}")
    if old.size == 0:
        return ()  # everything grows out of nothing
    path = consistency_proof(old.size, new.size, TileNodes(store, new.size))
    if not is_consistent(old.size, new.size, old.root, new.root, path):
        raise BadLog(f"the log of {new.size} events does not begin with the {old.size} that were signed before")
    return tuple(base64.b64encode(node).decode() for node in path)
