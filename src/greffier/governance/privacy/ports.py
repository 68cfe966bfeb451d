"""Ports of data protection: where cases are kept, and where data of people is found."""

from typing import Any, Literal, Protocol

import msgspec

from greffier.governance.privacy.records import Hold, LedgerLine, Reveal, SubjectRequest, Tombstone


class PrivacyUnavailable(Exception):  # noqa: N818 - named for the condition
    """A store of data protection cannot be read or written now."""


class NotAllowed(Exception):  # noqa: N818 - named for the condition
    """The act is not allowed: the same person twice, too late, or in the wrong state. The message says which."""


class NotFound(Exception):  # noqa: N818 - named for the condition
    """There is no such case."""


class ConsentLedger(Protocol):
    """Consents, objections and restrictions, added and never changed."""

    def enter(self, line: LedgerLine) -> int:
        """Add a line; return its number."""
        ...

    def lines(self, tenant: str, subject: str) -> list[LedgerLine]:
        """Everything about one person, in order."""
        ...


class Holds(Protocol):
    """Legal holds. The store keeps approver and placer apart."""

    def place(self, hold: Hold) -> None:
        """Add a hold."""
        ...

    def all(self) -> list[Hold]:
        """All holds, oldest first."""
        ...

    def approve(self, hold_id: str, by: str, at_ms: int) -> Hold:
        """Let a second person confirm it."""
        ...

    def release(self, hold_id: str, by: str, at_ms: int) -> Hold:
        """First call: ask for its release; second call, by another person: release it."""
        ...


class Reveals(Protocol):
    """Requests to see content. The store keeps approver and requester apart."""

    def ask(self, reveal: Reveal) -> None:
        """Add a request."""
        ...

    def approve(self, reveal_id: str, by: str, at_ms: int) -> Reveal:
        """Let a second person approve it."""
        ...

    def get(self, reveal_id: str) -> Reveal:
        """One request."""
        ...

    def all(self) -> list[Reveal]:
        """All requests, oldest first."""
        ...


class SubjectRequests(Protocol):
    """Requests of data subjects."""

    def add(self, request: SubjectRequest) -> None:
        """Add a request."""
        ...

    def get(self, request_id: str) -> SubjectRequest:
        """One request."""
        ...

    def all(self) -> list[SubjectRequest]:
        """All requests, the most urgent first."""
        ...

    def telling(self) -> list[SubjectRequest]:
        """Requests with a notice that is still to be delivered."""
        ...

    def save(self, request: SubjectRequest, was: SubjectRequest) -> None:
        """Replace ``was`` by ``request``; refused when someone else was faster."""
        ...


class ErasureLedger(Protocol):
    """What was erased, for ever: replayed over every restored backup before anything is served from it."""

    def newest(self) -> int:
        """Number of the last line."""
        ...

    def lines(self, after: int) -> list[Tombstone]:
        """Lines with a higher number, in order."""
        ...

    def bury(self, request: str, tenant: str, refs: tuple[str, ...], parts: tuple[str, ...], at_ms: int) -> int:
        """Note an erasure before it is carried out, once per request; return the number of its last line."""
        ...

    def mark(self, kind: str, tenant: str, name: str) -> str:
        """The mark that a line about this subject or part has."""
        ...


class Person(msgspec.Struct, frozen=True):
    """Whom to look for.

    Attributes:
        tenant: Inside which tenant; people of two tenants never meet.
        refs: The person's keyed references.
        parts: Content parts of others in which the person occurs.
    """

    tenant: str
    refs: tuple[str, ...]
    parts: tuple[str, ...] = ()


class Verified(msgspec.Struct, frozen=True):
    """What a look into a store found after a deletion.

    Attributes:
        query: What was asked, in words an auditor can repeat.
        remaining: How much is still there.
    """

    query: str
    remaining: int


class SubjectStore(Protocol):
    """A place where data of people is kept. Blocking. Raises `PrivacyUnavailable` when it is out of reach."""

    @property
    def name(self) -> str:
        """As it stands in certificates."""
        ...

    @property
    def holds(self) -> frozenset[str]:
        """What it answers for: ``FILE:TABLE`` of databases, ``NAME`` of other entries of the state folder."""
        ...

    @property
    def retains(self) -> str:
        """Why nothing is deleted here (``17(3)(b): ...``); empty where deletion is carried out."""
        ...

    @property
    def stays(self) -> str:
        """Why nothing is corrected here; empty where a copy can be corrected (`Correctable`)."""
        ...

    def find(self, person: Person) -> int:
        """How many items are about the person."""
        ...

    def export(self, person: Person) -> list[dict[str, Any]]:
        """The items, readable by the person; what concerns others is left out (Art. 15(4))."""
        ...

    def delete(self, person: Person) -> int:
        """Delete the items for good; return how many there were. Repeating it is harmless."""
        ...

    def verify(self, person: Person) -> Verified:
        """Look again."""
        ...


class Correctable(SubjectStore, Protocol):
    """A store whose copies can be corrected: its ``stays`` is empty."""

    def correct(self, person: Person, wrong: str, right: str) -> int:
        """Write ``right`` wherever ``wrong`` stands about the person; return in how many items. May be repeated."""
        ...


class Disclosure(msgspec.Struct, frozen=True):
    """Who was sent data of a person.

    Attributes:
        recipient: Key in the workspace's register; empty for one that is not in it.
        name: As it stands in documents.
        how: How it is told.
        requests: With which requests, as far as the records still show.
    """

    recipient: str
    name: str
    how: Literal["webhook", "mail", "hand"]
    requests: tuple[str, ...] = ()
