"""Where data of people is kept in an installation, one connector per place. What no connector claims fails requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from greffier.audit.ports import ContentUnavailable, JournalReader, JournalUnavailable
from greffier.core.events import Act, Admission, AnyEvent, Feedback, Outcome, parse
from greffier.governance.privacy.law import Law
from greffier.governance.privacy.ports import (
    ConsentLedger,
    ErasureLedger,
    Person,
    PrivacyUnavailable,
    SubjectStore,
    Verified,
)
from greffier.identity.keys import KeyRecord
from greffier.identity.ports import KeyNotFound, KeyStoreUnavailable
from greffier.storage.content import SqlContentStore, StoredPart
from greffier.storage.inventory import DATABASE
from greffier.storage.keys import SqlKeyStore

_KEY_REF = "key:"
_KEY_TABLES = ("data_key", "epoch_key", "tenant_key")


def _tables(file: str, *names: str) -> frozenset[str]:
    """Tables that are in a file, or in the one database where the workspace names one."""
    return frozenset(f"{place}:{name}" for place in (file, DATABASE) for name in names)


@contextmanager
def _reachable() -> Iterator[None]:
    """The one translation of what stores raise."""
    try:
        yield
    except (ContentUnavailable, JournalUnavailable, KeyStoreUnavailable) as error:
        raise PrivacyUnavailable(str(error)) from error


class ContentConnector:
    """Prompts, answers and comments under the person's own keys, and confirmed parts of others that mention them."""

    name = "content"
    holds = _tables("content.db", "part", "erasure_mark") | _tables("content-keys.db", *_KEY_TABLES)
    retains = ""

    def __init__(self, store: SqlContentStore, redact: tuple[str, ...] = ()) -> None:
        """Use a store.

        Args:
            store: The content.
            redact: Words that stand for other people, blacked out in exports (Art. 15(4)).
        """
        self._store = store
        self._redact = redact

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        with _reachable():
            return len(self._own(person)) + len(self._store.parts(person.tenant, person.parts))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """See `SubjectStore.export`; of parts that are others' only their existence is told."""
        items: list[dict[str, Any]] = []
        with _reachable():
            for part in self._own(person):
                text, _ = self._store.get(person.tenant, part.id)
                items.append(_item(part) | {"content": self._blacked_out(text)})
            for part in self._store.parts(person.tenant, person.parts):
                withheld = "Content of another person in which you are mentioned; withheld under Art. 15(4)."
                items.append(_item(part) | {"content": withheld})
        return items

    def delete(self, person: Person) -> int:
        """See `SubjectStore.delete`: keys first, then the parts."""
        with _reachable():
            for ref in person.refs:
                self._store.keys.destroy(person.tenant, ref)
            count = sum(self._store.delete_subject(person.tenant, ref) for ref in person.refs)
            count += self._store.delete_parts(person.tenant, person.parts)
        return count

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`."""
        with _reachable():
            keys = {subject for tenant, subject in self._store.keys.subjects() if tenant == person.tenant}
            remaining = self.find(person) + len(keys.intersection(person.refs))
        return Verified(
            "parts and data keys with subject in the person's references, and confirmed parts by id", remaining
        )

    def _own(self, person: Person) -> list[StoredPart]:
        return [part for ref in person.refs for part in self._store.of_subject(person.tenant, ref)]

    def _blacked_out(self, text: bytes) -> Any:
        shown = text.decode("utf-8", "replace")
        for word in self._redact:
            shown = shown.replace(word, "[redacted]")
        try:
            return msgspec.json.decode(shown)
        except msgspec.DecodeError:
            return shown


class JournalConnector:
    """Records: references, digests and counts. They stay; an answer to an access request lists them."""

    name = "journal"
    holds = _tables("journal.db", "event", "events", "journal_head", "journal_day", "journal_writer") | {"log"}

    def __init__(self, reader: Callable[[], JournalReader], law: Law) -> None:
        self._reader = reader
        self.retains = law.retained["journal"]

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        return sum(1 for _ in self._about(person))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """See `SubjectStore.export`: when, for what, under which rules, with which result."""
        return [_told(event) for event in self._about(person)]

    def delete(self, person: Person) -> int:
        """Nothing is deleted: see ``retains``."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`; never asked, as nothing is deleted."""
        return Verified("events that name one of the person's references", self.find(person))

    def _about(self, person: Person) -> Iterator[AnyEvent]:
        needles = [f'"{ref}"'.encode() for ref in person.refs]
        requests: set[str] = set()
        with _reachable():
            for row in self._reader().scan():
                named = any(needle in row.data for needle in needles)
                if not named and not requests:
                    continue
                event = parse(row.data)
                if event.tenant != person.tenant or isinstance(event, Act):
                    continue
                if named:
                    requests.add(event.request_id)
                if named or (event.request_id and event.request_id in requests):
                    yield event


class KeyConnector:
    """API keys a person holds: the key is revoked and what people called it is removed; its id stays on record."""

    name = "keys"
    holds = _tables("state.db", "api_keys", "api_key_store")
    retains = ""

    def __init__(self, store: SqlKeyStore, now_ms: int) -> None:
        self._store = store
        self._now_ms = now_ms

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        return len(self.export(person))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """See `SubjectStore.export`."""
        items = []
        with _reachable():
            for key_id in _keys(person):
                key = self._key(person.tenant, key_id)
                if key is not None and (key.label or key.attributes or key.groups or key.roles):
                    items.append(
                        {
                            "key": key.id,
                            "label": key.label,
                            "groups": key.groups,
                            "roles": key.roles,
                            "attributes": key.attributes,
                        }
                    )
        return items

    def delete(self, person: Person) -> int:
        """See `SubjectStore.delete`. Forgotten keys are forgotten again: the file's log may still hold a copy."""
        found = self.find(person)
        with _reachable():
            for key_id in _keys(person):
                if self._key(person.tenant, key_id) is not None:
                    self._store.forget(key_id, at_ms=self._now_ms)
        return found

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`."""
        return Verified("labels, groups, roles and attributes of the person's keys", self.find(person))

    def _key(self, tenant: str, key_id: str) -> KeyRecord | None:
        try:
            key = self._store.get(key_id)
        except KeyNotFound:
            return None
        return key if key.tenant == tenant else None


class LedgerConnector:
    """Consents, objections and restrictions. They stay, or they could not be honoured."""

    name = "consents and objections"
    holds = _tables("privacy.db", "privacy_ledger", "privacy_store")

    def __init__(self, ledger: ConsentLedger, law: Law) -> None:
        self._ledger = ledger
        self.retains = law.retained["ledger"]

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        return len(self.export(person))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """See `SubjectStore.export`."""
        return [
            {key: value for key, value in msgspec.to_builtins(line).items() if key not in {"actor", "subject"}}
            for ref in person.refs
            for line in self._ledger.lines(person.tenant, ref)
        ]

    def delete(self, person: Person) -> int:
        """Nothing is deleted: see ``retains``."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`; never asked, as nothing is deleted."""
        return Verified("lines of the ledger", self.find(person))


class BackupConnector:
    """Copies made before: nobody can delete inside them, so the ledger of erasures reaches them when they return."""

    name = "backups"
    holds = _tables("erasures.db", "tombstone", "tombstone_key")
    retains = ""

    def __init__(self, ledger: ErasureLedger) -> None:
        self._ledger = ledger

    def find(self, person: Person) -> int:
        """Unknown: backups are not read."""
        del person
        return 0

    def export(self, person: Person) -> list[dict[str, Any]]:
        """Nothing that is not in the stores."""
        del person
        return []

    def delete(self, person: Person) -> int:
        """Nothing here; see `verify`."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """Whether a restored copy would be cleaned of every reference and part."""
        marks = {line.mark for line in self._ledger.lines(0)}
        wanted = [self._ledger.mark("subject", person.tenant, ref) for ref in person.refs]
        wanted += [self._ledger.mark("part", person.tenant, part) for part in person.parts]
        return Verified(
            "references and parts without a line in the erasure ledger", sum(m not in marks for m in wanted)
        )


class KeptElsewhere:
    """Places that hold no data of people, or none that can be told from anybody's; each with the reason."""

    holds = frozenset[str]()

    def __init__(self, name: str, holds: frozenset[str], retains: str) -> None:
        self.name = name
        self.holds = holds
        self.retains = retains

    def find(self, person: Person) -> int:
        """None."""
        del person
        return 0

    def export(self, person: Person) -> list[dict[str, Any]]:
        """None."""
        del person
        return []

    def delete(self, person: Person) -> int:
        """None."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """None."""
        del person
        return Verified("nothing is kept", 0)


def impersonal_stores(law: Law) -> tuple[SubjectStore, ...]:
    """Everything else in the state folder, and why it is left alone."""
    return (
        KeptElsewhere("accounts", _tables("spend.db", "spend", "spend_cursor"), law.retained["accounts"]),
        KeptElsewhere(
            "spool, sinks and copies",
            _tables("sinks", "sink_progress", "sink_rejected") | {"spool", "sinks", "copies"},
            "Records on their way into the journal or to a sink, and how far copies are; references and counts only.",
        ),
        KeptElsewhere("reviews", _tables("state.db", "review"), law.retained["decisions"]),
        KeptElsewhere("incidents", _tables("incidents.db", "incident"), law.retained["incidents"]),
        KeptElsewhere(
            "caches", frozenset({"compiled", "automata", "cache"}), "Compiled detectors; no answer is cached."
        ),
        KeptElsewhere(
            "cases of data protection",
            _tables("privacy.db", "legal_hold", "reveal_request", "subject_request"),
            "17(3)(b), (e): accountability (Art. 5(2)); the person's references are removed from a finished erasure.",
        ),
        KeptElsewhere(
            "configuration and run time",
            frozenset({"keys", "releases", "schemas", "run", f"{DATABASE}:alembic_version"}),
            "No data of end users: keys, signed configuration, sockets, process logs without content.",
        ),
    )


def _item(part: StoredPart) -> dict[str, Any]:
    return {
        "what": part.name,
        "request": part.event_id,
        "stored_ms": part.stored_ms,
        "use_case": part.use_case,
        "purpose": part.purpose,
    }


def _keys(person: Person) -> list[str]:
    return [ref.removeprefix(_KEY_REF) for ref in person.refs if ref.startswith(_KEY_REF)]


def _told(event: AnyEvent) -> dict[str, Any]:
    told: dict[str, Any] = {"request": event.request_id, "ts_ms": event.ts}
    if isinstance(event, Outcome):
        told |= {"outcome": event.outcome, "code": event.code, "rule": event.rule, "model": event.response_model}
    if isinstance(event, Feedback):
        told |= {"feedback": event.outcome or "rated", "rating": event.rating}
    facts = event.facts if isinstance(event, Admission | Outcome) else None
    if facts is not None:
        told |= {
            "use_case": facts.use_case,
            "purpose": facts.purpose,
            "lawful_basis": facts.lawful_basis,
            "model": facts.model,
            "provider": facts.provider,
            "region": facts.region,
            "rules": list(facts.policy_rules),
        }
    if isinstance(event, Admission | Outcome):
        told["found"] = [{"type": line.type, "action": line.action, "count": line.count} for line in event.guardrails]
    return told
