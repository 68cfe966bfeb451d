"""What handling requests leaves behind: the cases themselves, and messages to recipients that lie ready to be sent."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from greffier.app.subject_stores import tables_of
from greffier.governance.privacy.law import Law
from greffier.governance.privacy.ports import Holds, Person, PrivacyUnavailable, SubjectRequests, Verified

_UNDER_WAY = frozenset({"open", "identified", "running"})


class CasesConnector:
    """Requests the person made before, and legal holds on them. They stay: references and dates, no name."""

    name = "cases of data protection"
    holds = tables_of("privacy.db", "legal_hold", "reveal_request", "subject_request")
    stays = "It says what was asked and what was done; a wrong case is followed by another."

    def __init__(self, requests: SubjectRequests, holds: Holds, law: Law) -> None:
        self._requests = requests
        self._holds = holds
        self.retains = law.retained["cases"]

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        return len(self.export(person))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """See `SubjectStore.export`: what was asked before, without the one that is being answered."""
        refs = set(person.refs)
        cases = [
            {
                "what": request.type,
                "received_ms": request.received_ms,
                "state": request.state,
                "purpose": request.purpose,
            }
            for request in self._requests.all()
            if request.tenant == person.tenant and refs.intersection(request.refs) and request.state not in _UNDER_WAY
        ]
        return cases + [
            {"what": "legal hold", "at_ms": hold.placed_ms, "ends_ms": hold.expires_ms}
            for hold in self._holds.all()
            if hold.tenant == person.tenant and hold.subject in refs
        ]

    def delete(self, person: Person) -> int:
        """Nothing is deleted: see ``retains``."""
        del person
        return 0

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`; never asked, as nothing is deleted."""
        return Verified("finished requests and holds with one of the person's references", self.find(person))


class MessagesConnector:
    """Messages of ours that wait for a mail program: those about a rectification say what is right about the person."""

    name = "messages left to be sent"
    holds = frozenset[str]()  # they lie where the workspace says, outside the state folder
    retains = ""
    stays = "It says what was right when it was written; a later rectification is told by a message of its own."

    def __init__(self, requests: SubjectRequests, folders: Callable[[], Iterable[Path]]) -> None:
        """Look into folders.

        Args:
            requests: Which notices were written, and about whom.
            folders: Every ``mail_folder`` of the configuration in force.
        """
        self._requests = requests
        self._folders = folders

    def find(self, person: Person) -> int:
        """See `SubjectStore.find`."""
        return sum(1 for _ in self._left(person))

    def export(self, person: Person) -> list[dict[str, Any]]:
        """Nothing that is not among the content already."""
        del person
        return []

    def delete(self, person: Person) -> int:
        """See `SubjectStore.delete`: overwritten, then removed."""
        count = 0
        for path in list(self._left(person)):
            try:
                with path.open("r+b", buffering=0) as file:
                    file.write(b"\0" * path.stat().st_size)
                    os.fsync(file.fileno())
                path.unlink()
            except FileNotFoundError:
                continue  # the mail program took it: the recipient is told of the erasure instead
            except OSError as error:
                raise PrivacyUnavailable(f"{path} cannot be deleted: {error.strerror}") from error
            count += 1
        return count

    def verify(self, person: Person) -> Verified:
        """See `SubjectStore.verify`."""
        return Verified("messages in the mail folders about the person's rectifications", self.find(person))

    def _left(self, person: Person) -> Iterator[Path]:
        refs = set(person.refs)
        names = [
            f"{prefix}{notice.id}{ending}"
            for request in self._requests.all()
            if request.tenant == person.tenant and request.type == "rectify" and refs.intersection(request.refs)
            for notice in request.notices
            if notice.how == "mail"
            for prefix, ending in (("", ".eml"), (".", ".new"))
        ]
        for folder in dict.fromkeys(self._folders()) if names else ():
            for name in names:
                path = folder / name
                if path.is_file() and not path.is_symlink():
                    yield path
