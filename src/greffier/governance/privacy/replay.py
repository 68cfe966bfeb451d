"""Erase again in a restored backup what was erased since it was made, before anything is served from it."""

from collections.abc import Iterable
from typing import Any, Protocol

from greffier.governance.privacy.ports import ErasureLedger, NotAllowed


class Erasable(Protocol):
    """Content as a replay sees it."""

    @property
    def keys(self) -> Any:
        """Keys, with ``destroy(tenant, subject)``."""
        ...

    def applied(self) -> int:
        """Number of the last erasure that was carried out here."""
        ...

    def mark_applied(self, number: int) -> None:
        """Note that every erasure up to ``number`` was carried out here."""
        ...

    def owners(self) -> list[tuple[str, str]]:
        """Tenant and subject of everyone who has a part or a key here."""
        ...

    def identifiers(self) -> Iterable[tuple[str, str]]:
        """Tenant and id of every part."""
        ...

    def delete_subject(self, tenant: str, subject: str) -> int:
        """Delete a subject's parts."""
        ...

    def delete_parts(self, tenant: str, identifiers: Iterable[str]) -> int:
        """Delete parts."""
        ...


def replay(ledger: ErasureLedger, content: Erasable, *, everything: bool = False) -> int:
    """Carry out every erasure that the content has not seen; return how many people and parts were found.

    Args:
        ledger: What was erased.
        content: Where.
        everything: Look for all erasures, also those the content says it has seen.

    Raises:
        NotAllowed: The content has seen erasures that the ledger does not know: the ledger was lost or is an old copy.
    """
    seen, newest = content.applied(), ledger.newest()
    if newest < seen:
        raise NotAllowed(
            f"the content has seen erasure {seen}, the ledger of erasures ends at {newest}: "
            "restore the newest ledger (.greffier/erasures.db) before serving"
        )
    lines = ledger.lines(0 if everything else seen)
    people = {line.mark for line in lines if line.kind == "subject"}
    parts = {line.mark for line in lines if line.kind == "part"}
    count = 0
    if people:
        for tenant, subject in content.owners():
            if ledger.mark("subject", tenant, subject) in people:
                content.keys.destroy(tenant, subject)
                content.delete_subject(tenant, subject)
                count += 1
    if parts:
        for tenant, identifier in list(content.identifiers()):
            if ledger.mark("part", tenant, identifier) in parts:
                count += content.delete_parts(tenant, [identifier])
    content.mark_applied(newest)
    return count
