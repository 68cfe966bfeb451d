"""Entries about the evidence itself: checkpoints, holes, changed records, and tests of a sink."""

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export.codes import CODES
from greffier.audit.export.entry import Entry


def checkpoint_entry(checkpoint: Checkpoint, workspace: str) -> Entry:
    """A signed tree head as an event: it anchors the log in the SIEM, outside of the operator's own files."""
    return Entry(
        id=f"chk_{checkpoint.size}_{checkpoint.time_ms}",
        seq=checkpoint.size,
        time_ms=checkpoint.time_ms,
        code=CODES["GW-3090"],
        workspace=workspace,
        action="audit.checkpoint",
        result="success",
        actor="platform",
        target=checkpoint.origin,
        details=(("root", checkpoint.root.hex()), ("size", str(checkpoint.size))),
    )


def marked_entry(identifier: str, time_ms: int, workspace: str, actor: str) -> Entry:
    """A marked event for trying a sink out; it is not in the journal and has sequence number 0."""
    return Entry(
        id=identifier,
        seq=0,
        time_ms=time_ms,
        code=CODES["GW-9000"],
        workspace=workspace,
        action="sink.test",
        result="success",
        actor=actor,
        target="sink",
    )


def unreadable(seq: int, workspace: str, now_ms: int) -> Entry:
    """A record that is no event: somebody changed the journal. Its sequence number is kept, so that no gap opens."""
    return Entry(
        id=f"unreadable_{seq}",
        seq=seq,
        time_ms=now_ms,
        code=CODES["GW-5900"],
        workspace=workspace,
        action="audit.read",
        result="failure",
        actor="platform",
        target=f"event:{seq}",
    )


def missing(first: int, last: int, workspace: str, now_ms: int) -> Entry:
    """Records that the journal no longer has although a sink was not sent them: deleted, or past their retention."""
    return Entry(
        id=f"missing_{first}_{last}",
        seq=last,
        time_ms=now_ms,
        code=CODES["GW-5901"],
        workspace=workspace,
        action="audit.read",
        result="failure",
        actor="platform",
        target=f"events:{first}-{last}",
    )
