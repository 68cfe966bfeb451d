"""After a restore: which acts of people are on record but no longer in the stores, and what becomes of them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.privacy_desk import open_office
from greffier.app.recording import record_act
from greffier.app.stores import open_reader
from greffier.audit.lost import Lost, LostAct, lost_act, lost_from
from greffier.audit.ports import JournalUnavailable, Sequenced
from greffier.audit.proofs import newest
from greffier.audit.tiles import TileStore
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.events import Act, parse
from greffier.governance.privacy.records import LedgerLine
from greffier.identity.ports import KeyConflict, KeyNotFound
from greffier.policy.standing import Kind
from greffier.storage.journal import SqliteJournalReader

SETTLED = "settled.json"
"""In the folder of what a restore set aside: nothing of it is missing any more."""

_ENTERED: dict[str, tuple[Kind, bool]] = {
    "objection.enter": ("objection", True),
    "restriction.enter": ("restriction", True),
    "consent.withdraw": ("consent", False),
}


class Missing(msgspec.Struct, frozen=True):
    """What one log has and the stores lack.

    Attributes:
        log: Folder of the log.
        lost: What it says.
        open: Acts that nobody entered again or settled.
        entered: Acts that were entered again or settled.
    """

    log: str
    lost: Lost
    open: tuple[LostAct, ...]
    entered: int


def missing(paths: WorkspacePaths, logs: tuple[Path, ...] = ()) -> list[Missing]:
    """Compare the journal with the workspace's log, with those that restores set aside, and with any others.

    Raises:
        BadLog: A log is not what was signed.
        JournalUnavailable: The journal cannot be read.
    """
    reader = open_reader(paths)
    try:
        found = []
        verifiers = known_verifiers(paths)
        for folder in (paths.log, *set_aside(paths), *logs):
            store = TileStore(folder)
            sealed = newest(store, verifiers)
            lost = Lost(0) if sealed is None else lost_from(store, sealed, reader)
            unsealed = tuple(_unsealed(folder.parent / paths.journal_db.name, sealed.checkpoint.size if sealed else 0))
            acts = (*lost.acts, *unsealed) if folder != paths.log else lost.acts
            if acts or lost.events:
                done = _settled(reader.scan(lost.common + 1))
                still = tuple(act for act in acts if act.id not in done)
                found.append(Missing(str(folder), lost, still, len(acts) - len(still)))
        return found
    finally:
        reader.close()


def set_aside(paths: WorkspacePaths) -> list[Path]:
    """Logs that restores set aside and of which something may be missing."""
    asides = sorted(paths.replaced.glob("*"))
    return [aside / "log" for aside in asides if (aside / "log").is_dir() and not (aside / SETTLED).exists()]


def _unsealed(journal: Path, sealed: int) -> Iterator[LostAct]:
    """Acts of a SQLite journal that was set aside before they were sealed; the command line works without a sealer."""
    if not journal.exists():
        return
    try:
        reader = SqliteJournalReader(journal)
    except JournalUnavailable:
        return
    try:
        for row in reader.scan(sealed + 1):
            act = lost_act(row)
            if act is not None:
                yield msgspec.structs.replace(act, seq=0)
    except JournalUnavailable:  # damaged: that may be why a copy was put back, and the log says what it can
        return
    finally:
        reader.close()


def _settled(rows: Iterator[Sequenced]) -> set[str]:
    """Acts that later ones in the restored journal say are dealt with, or that are in it themselves."""
    done = set()
    for row in rows:
        event = parse(row.data)
        if isinstance(event, Act):
            done.add(event.id)
            if event.action in {"restore.enter", "restore.settle"}:
                done.add(event.target.removeprefix("act:"))
    return done


def enter_again(paths: WorkspacePaths, found: list[Missing]) -> list[LostAct]:
    """Enter again what the record alone says in full: objections, restrictions, withdrawals, revoked keys.

    Each protects somebody; what lifts a protection is left to a person. Returns what was entered. Each is recorded
    after it was entered: the record is what says that nothing is missing, and whoever is cut off between the two
    enters it once more, which changes nothing.

    Raises:
        JournalUnavailable: It cannot be recorded.
        PrivacyUnavailable: The ledger cannot be written.
        KeyStoreUnavailable: The keys cannot be written.
    """
    entered = []
    with open_office(paths) as office:
        for act in (act for one in found for act in one.open):
            details: dict[str, str | int | bool] = {"action": act.action, "target": act.target}
            if act.action in _ENTERED and _lifted_later(act, found):
                continue
            if act.action in _ENTERED:
                kind, active = _ENTERED[act.action]
                purpose = str(act.details.get("purpose", "*"))
                line = LedgerLine(
                    tenant=str(act.details.get("tenant", "")),
                    subject=act.target.removeprefix("subject:"),
                    purpose="" if purpose == "*" else purpose,
                    kind=kind,
                    active=active,
                    at_ms=act.ts,
                    actor=act.actor,
                    channel="restore",
                    proof=act.id,
                    reason=act.reason,
                )
                office.ledger.enter(line)
                record_act(paths, "restore.enter", f"act:{act.id}", details=details)
            elif act.action == "key.revoke":
                at_ms = SystemClock().wall_ms()
                with contextlib.suppress(KeyNotFound, KeyConflict):  # made after the copy, or revoked: it opens nothing
                    office.keys.revoke(act.target.removeprefix("key:"), at_ms=at_ms, reason=act.reason)
                record_act(paths, "restore.enter", f"act:{act.id}", details=details)
            else:
                continue
            entered.append(act)
    close_settled(paths)
    return entered


def _lifted_later(act: LostAct, found: list[Missing]) -> bool:
    """Whether a later act, lost as well, undid this one: then a person must say what holds now."""
    undoing = {"objection.enter": "objection.lift", "restriction.enter": "restriction.lift"}
    undoing["consent.withdraw"] = "consent.give"
    wanted = undoing[act.action]
    return any(
        (other.action, other.target, other.details.get("purpose")) == (wanted, act.target, act.details.get("purpose"))
        and other.ts >= act.ts
        for one in found
        for other in one.open
    )


def settle(paths: WorkspacePaths, acts: list[LostAct], reason: str) -> None:
    """Put on record that acts were entered again by hand, or need not be.

    Raises:
        JournalUnavailable: It cannot be recorded.
    """
    for act in acts:
        record_act(paths, "restore.settle", f"act:{act.id}", reason=reason, details={"action": act.action})
    close_settled(paths)


def close_settled(paths: WorkspacePaths) -> None:
    """Mark what restores set aside and of which nothing is missing, so that starts need not look at it again."""
    still = {one.log for one in missing(paths) if one.open}
    for folder in set_aside(paths):
        if str(folder) not in still:
            (folder.parent / SETTLED).write_text(json.dumps({"at_ms": SystemClock().wall_ms()}) + "\n")
