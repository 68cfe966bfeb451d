"""Open everything that data protection works with, for the command line and the start of the platform."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from greffier.app.case_stores import CasesConnector, MessagesConnector
from greffier.app.impersonal_stores import impersonal_stores
from greffier.app.operators import process_owner
from greffier.app.recording import operator, record_act
from greffier.app.references import References
from greffier.app.secrets import load_or_create_key
from greffier.app.set_aside_store import SetAsideConnector
from greffier.app.stores import (
    data_entries,
    may_hold_content,
    open_content,
    open_erasures,
    open_keys,
    open_privacy,
    open_reader,
)
from greffier.app.subject_stores import (
    BackupConnector,
    ContentConnector,
    JournalConnector,
    KeyConnector,
    LedgerConnector,
)
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.governance.privacy.handling import Desk
from greffier.governance.privacy.law import law
from greffier.governance.privacy.ports import Disclosure, Person, SubjectStore
from greffier.governance.privacy.replay import replay
from greffier.governance.privacy.telling import disclosures
from greffier.identity.claims import Pseudonyms
from greffier.storage.content import SqlContentStore
from greffier.storage.erasures import SqlErasureLedger
from greffier.storage.keys import SqlKeyStore
from greffier.storage.privacy import SqlConsentLedger, SqlHolds, SqlReveals, SqlSubjectRequests


class Office(msgspec.Struct, frozen=True):
    """Everything, opened."""

    paths: WorkspacePaths
    content: SqlContentStore
    keys: SqlKeyStore
    ledger: SqlConsentLedger
    holds: SqlHolds
    reveals: SqlReveals
    requests: SqlSubjectRequests
    erasures: SqlErasureLedger

    def stores(self, redact: tuple[str, ...] = ()) -> tuple[SubjectStore, ...]:
        """Every place where data of people is kept."""
        now_ms = SystemClock().wall_ms()
        return (
            ContentConnector(self.content, redact),
            KeyConnector(self.keys, now_ms),
            MessagesConnector(self.requests, self._mail_folders),
            BackupConnector(self.erasures),
            SetAsideConnector(self.paths),
            JournalConnector(partial(open_reader, self.paths), law()),
            LedgerConnector(self.ledger, law()),
            CasesConnector(self.requests, self.holds, law()),
            *impersonal_stores(law()),
        )

    def _mail_folders(self) -> list[Path]:
        recipients = load_snapshot(self.paths).workspace.recipients.values()
        return [self.paths.root / one.mail_folder for one in recipients if one.mail_folder is not None]

    def held(self, person: Person) -> list[str]:
        """Legal holds that stand against erasing a person: on them, or on content that would be deleted with them.

        Raises:
            PrivacyUnavailable: The holds cannot be read.
            ContentUnavailable: The content cannot be read.
        """
        now_ms = SystemClock().wall_ms()
        parts = [part for ref in person.refs for part in self.content.of_subject(person.tenant, ref)]
        parts += self.content.parts(person.tenant, person.parts)
        labels = [(part.tenant, part.subject, part.use_case, part.event_id) for part in parts]
        labels += [(person.tenant, ref, "", "") for ref in person.refs]
        return [
            hold.id for hold in self.holds.all() if hold.active(now_ms) and any(hold.covers(*label) for label in labels)
        ]

    def disclosed(self, snapshot: Snapshot, person: Person) -> tuple[Disclosure, ...]:
        """Who was sent data of a person (Art. 19).

        Raises:
            PrivacyUnavailable: The records cannot be read.
        """
        journal = JournalConnector(partial(open_reader, self.paths), law())
        uses, complete = journal.uses(person)
        return disclosures(snapshot, person.tenant, uses, complete=complete)

    def desk(
        self,
        snapshot: Snapshot,
        corrections: tuple[tuple[str, str], ...] = (),
        collected: dict[str, Any] | None = None,
    ) -> Desk:
        """What handling a request needs, with the operating system's word for who is at work."""
        return Desk(
            requests=self.requests,
            ledger=self.ledger,
            held=self.held,
            erasures=self.erasures,
            stores=self.stores(),
            entries=lambda: data_entries(self.paths),
            recipients=partial(self.disclosed, snapshot),
            set_aside=self.content.set_aside,
            settled=self.content.mark_applied,
            record=partial(record_act, self.paths),
            clock=SystemClock(),
            actor=operator(self.paths),
            law=law(),
            corrections=corrections,
            collected=collected or {},
        )


@contextmanager
def open_office(paths: WorkspacePaths) -> Iterator[Office]:
    """Open everything, and close it again.

    Raises:
        NotAllowed: The content has seen erasures that the ledger does not know.
        PrivacyUnavailable: A database of data protection cannot be opened.
        ContentUnavailable: The content cannot be opened.
        KeyStoreUnavailable: The key store cannot be opened.
    """
    with ExitStack() as stack:
        database = open_privacy(paths)
        stack.callback(database.close)
        content = open_content(paths)
        stack.callback(content.close)
        keys = open_keys(paths)
        stack.callback(keys.close)
        erasures = open_erasures(paths)
        stack.callback(erasures.close)
        if erasures.returned:  # the database went back in time, and nobody has noticed before us
            with ThreadPoolExecutor(1) as apart:  # whoever opens the office may run an event loop, as recording does
                apart.submit(_replay, paths, content, erasures).result()
        yield Office(
            paths=paths,
            content=content,
            keys=keys,
            ledger=SqlConsentLedger(database),
            holds=SqlHolds(database),
            reveals=SqlReveals(database),
            requests=SqlSubjectRequests(database),
            erasures=erasures,
        )


def references_of(
    paths: WorkspacePaths,
    tenant: str,
    *,
    end_users: tuple[str, ...] = (),
    person: tuple[str, str] | None = None,
    keys: tuple[str, ...] = (),
    refs: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Turn what people are called into the references under which their data is kept; nothing of it is stored.

    Args:
        paths: The workspace; its pseudonym key is what makes references.
        tenant: Inside which tenant.
        end_users: As callers name them (``user``, ``safety_identifier``, ``metadata.user_id``).
        person: Issuer and subject of their access tokens.
        keys: Ids of API keys they hold.
        refs: References as they stand in records.

    Raises:
        ValueError: The pseudonym key is damaged.
    """
    secret = load_or_create_key(paths.secrets / "pseudonym.key")
    reference = References(secret)
    found = [reference(f"end_user:{tenant}", name) for name in end_users]
    if person is not None:
        found.append(Pseudonyms(secret).subject(tenant, *person))
    found += [f"key:{key}" for key in keys]
    return tuple(dict.fromkeys([*found, *refs]))


def replay_erasures(paths: WorkspacePaths) -> int:
    """Erase again what a restored backup brought back; return how many people and parts were found and erased.

    Called before anything is served. Costs one look into two files where there is nothing to do.

    Raises:
        NotAllowed: The ledger of erasures is older than the content: it was lost or taken back in time.
        PrivacyUnavailable: A store is out of reach.
        ContentUnavailable: The content is out of reach.
        KeyStoreUnavailable: The API keys are out of reach.
    """
    if not may_hold_content(paths) and not paths.erasures_db.exists():
        return 0
    content = open_content(paths)
    try:
        ledger = open_erasures(paths)
        try:
            return _replay(paths, content, ledger)
        finally:
            ledger.close()
    finally:
        content.close()


def _replay(paths: WorkspacePaths, content: SqlContentStore, ledger: SqlErasureLedger) -> int:
    before = content.applied()
    count = replay(ledger, content) + _forget_again(paths, ledger)
    if content.applied() != before:
        details: dict[str, str | int | bool] = {"from": before, "to": content.applied(), "erased": count}
        record_act(paths, "restore.replay", "content", details=details, actor=process_owner())
    return count


def follow_erasures(paths: WorkspacePaths) -> int:
    """Bring this machine's copy of the ledger of erasures up to date; return how much was erased again.

    Erases again where the database had gone back in time under running gateways (a failover that lost its last
    commits, a restore): it has the lines back from the copy then.

    Raises:
        NotAllowed: As `replay_erasures`.
        PrivacyUnavailable: Likewise.
        ContentUnavailable: Likewise.
        KeyStoreUnavailable: Likewise.
    """
    ledger = open_erasures(paths)
    ledger.close()
    return replay_erasures(paths) if ledger.returned else 0


def _forget_again(paths: WorkspacePaths, ledger: SqlErasureLedger) -> int:
    """Take away again what a restored key store says about erased people who held keys; return how many keys."""
    buried = {line.mark for line in ledger.lines(0) if line.kind == "subject"}
    if not buried:
        return 0
    keys = open_keys(paths)
    try:
        found = [
            key
            for key in keys.list()
            if (key.label or key.groups or key.roles or key.attributes)
            and ledger.mark("subject", key.tenant, f"key:{key.id}") in buried
        ]
        for key in found:
            record_act(paths, "restore.replay", f"key:{key.id}", actor=process_owner())
            keys.forget(key.id, at_ms=SystemClock().wall_ms())
        return len(found)
    finally:
        keys.close()
