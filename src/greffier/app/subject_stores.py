"""Where data of people is kept in an installation, one connector per place. What no connector claims fails requests."""

import re
import unicodedata
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
    Verified,
)
from greffier.governance.privacy.telling import Use
from greffier.identity.keys import KeyRecord
from greffier.identity.ports import KeyNotFound, KeyStoreUnavailable
from greffier.storage.content import SqlContentStore, StoredPart
from greffier.storage.inventory import DATABASE
from greffier.storage.keys import SqlKeyStore

_KEY_REF = "key:"
_KEY_TABLES = ("data_key", "epoch_key", "tenant_key")


def tables_of(file: str, *names: str) -> frozenset[str]:
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
    holds = tables_of("content.db", "part", "erasure_mark") | tables_of("content-keys.db", *_KEY_TABLES)
    retains = ""
    stays = (
        "It is what was said, and the log commits to its bytes; the rectification stands beside it, under the same key."
    )

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
        try:
            said = msgspec.json.decode(shown)
        except msgspec.DecodeError:
            said = shown
        return without(said, self._redact)


def without(said: Any, words: tuple[str, ...]) -> Any:
    """Black out words that name others, in any case, over line breaks, in any form of the same letters.

    The names of fields stay, or the rest could not be read any more.
    """
    wanted = [r"\s+".join(map(re.escape, _composed(word).split())) for word in words if word.strip()]
    return (
        _replaced(said, re.compile("|".join(sorted(wanted, key=len, reverse=True)), re.IGNORECASE)) if wanted else said
    )


def _replaced(said: Any, wanted: re.Pattern[str]) -> Any:
    if isinstance(said, str):
        return wanted.sub("[redacted]", _composed(said))
    if isinstance(said, list):
        return [_replaced(item, wanted) for item in said]
    if isinstance(said, dict):
        return {name: _replaced(value, wanted) for name, value in said.items()}
    return said


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


class JournalConnector:
    """Records: references, digests and counts. They stay; an answer to an access request lists them."""

    name = "journal"
    holds = tables_of("journal.db", "event", "events", "journal_head", "journal_day", "journal_writer") | {"log"}
    stays = "A signed log of references and counts: it holds no word that could be wrong about a person."

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

    def uses(self, person: Person) -> tuple[list[Use], bool]:
        """The person's requests with where they went, and whether the records go back to the beginning."""
        found: dict[str, Use] = {}
        for event in self._about(person):
            if not isinstance(event, Admission | Outcome):
                continue
            use = found.get(event.request_id, Use(event.request_id, "", ()))
            case = event.facts.use_case if event.facts is not None else ""
            tried = (
                [event.deployment, *(line.deployment for line in event.attempts)] if isinstance(event, Outcome) else []
            )
            went = tuple(dict.fromkeys(filter(None, (*use.deployments, *tried))))
            found[event.request_id] = Use(use.request, case or use.use_case, went)
        with _reachable():
            complete = self._reader().first() <= 1
        return list(found.values()), complete

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
    holds = tables_of("state.db", "api_keys", "api_key_store")
    retains = ""
    stays = ""

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

    def correct(self, person: Person, wrong: str, right: str) -> int:
        """See `Correctable.correct`: in labels and attributes. Groups and roles are the operator's own decisions."""
        count = 0
        with _reachable():
            for key_id in _keys(person):
                key = self._key(person.tenant, key_id)
                if key is None:
                    continue
                label = key.label.replace(wrong, right)
                attributes = {name: value.replace(wrong, right) for name, value in key.attributes.items()}
                if (label, attributes) != (key.label, key.attributes):
                    self._store.describe(key_id, label=label, attributes=attributes)
                    count += 1
        return count

    def _key(self, tenant: str, key_id: str) -> KeyRecord | None:
        try:
            key = self._store.get(key_id)
        except KeyNotFound:
            return None
        return key if key.tenant == tenant else None


class LedgerConnector:
    """Consents, objections and restrictions. They stay, or they could not be honoured."""

    name = "consents and objections"
    stays = "Lines are added and never changed; a wrong one is lifted by the next ('greffier privacy')."
    holds = tables_of("privacy.db", "privacy_ledger", "privacy_store")

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
    stays = "Nobody can write inside a backup; it is put back only where the stores themselves are lost."
    holds = tables_of("erasures.db", "tombstone", "tombstone_key")
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
