"""Opens each store where the workspace keeps it: in SQLite files, or in one PostgreSQL database for many machines."""

from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Literal, Protocol, cast

from greffier.audit.ports import Journal, KeyWrapper, Leader
from greffier.audit.progress import ProgressFile, ProgressStore
from greffier.audit.settings import AuditSettings
from greffier.audit.verification import FiledReader
from greffier.config.paths import WorkspacePaths
from greffier.config.storage_settings import StorageSettings
from greffier.storage.administration import Administration
from greffier.storage.content import SqlContentStore, open_content_store
from greffier.storage.erasures import SqlErasureLedger, SqliteErasureLedger
from greffier.storage.incidents import SqlIncidents, SqliteIncidents
from greffier.storage.inventory import state_entries
from greffier.storage.journal import SqliteJournal, SqliteJournalReader
from greffier.storage.keys import SqliteKeyStore, SqlKeyStore
from greffier.storage.privacy_db import PrivacyDatabase, open_privacy
from greffier.storage.reviews import SqliteReviewStore, SqlReviewStore
from greffier.storage.spend import SqliteSpendBook, SqlSpendBook

RootKey = Callable[[], KeyWrapper]


class StoresUnavailable(Exception):  # noqa: N818 - named for the condition; the start stops on it
    """The database cannot be used as it is: not installed, not reached, or of another schema. Says what to do."""


Task = Literal["seal", "retention", "notices"]
"""What only one machine may do at a time, besides supplying a sink."""


class Reader(FiledReader, Protocol):
    """A journal reader that is given back after use."""

    def close(self) -> None:
        """Release its connections."""
        ...


class Stores(Protocol):
    """Every store of a workspace. Each call opens one; whoever opened it closes it."""

    def journal(self, settings: AuditSettings, *, spooled: bool = False) -> Journal:
        """The journal, for writing.

        Args:
            settings: Timeouts and bounds.
            spooled: Whether it may keep events on the local disk during an outage; for workers.

        Raises:
            JournalUnavailable: It cannot be opened.
        """
        ...

    def reader(self) -> Reader:
        """The journal, for reading.

        Raises:
            JournalUnavailable: There is none.
        """
        ...

    def keys(self) -> SqlKeyStore:
        """The API keys.

        Raises:
            KeyStoreUnavailable: They cannot be opened.
        """
        ...

    def spend(self) -> SqlSpendBook:
        """What was spent.

        Raises:
            SpendUnavailable: It cannot be opened.
        """
        ...

    def content(self) -> SqlContentStore:
        """Captured content and its keys.

        Raises:
            ContentUnavailable: It, or its root key, cannot be opened.
        """
        ...

    def privacy(self) -> PrivacyDatabase:
        """Consents, holds, reveals, and requests of data subjects.

        Raises:
            PrivacyUnavailable: They cannot be opened.
        """
        ...

    def erasures(self) -> SqlErasureLedger:
        """What was erased, for ever.

        Raises:
            PrivacyUnavailable: It cannot be opened.
        """
        ...

    def incidents(self) -> SqlIncidents:
        """The register of incidents and breaches.

        Raises:
            IncidentsUnavailable: It cannot be opened.
        """
        ...

    def reviews(self) -> SqlReviewStore:
        """Requests that a screen held back for a person.

        Raises:
            ReviewsUnavailable: They cannot be opened.
        """
        ...

    def progress(self, sink: str) -> ProgressStore:
        """How far a sink is, and who supplies it.

        Raises:
            SinkUnavailable: It cannot be opened.
        """
        ...

    def entries(self) -> Iterator[str]:
        """Every place in which data is kept: ``FILE:TABLE``, ``postgresql:TABLE``, ``NAME`` of other entries.

        Raises:
            PrivacyUnavailable: A database cannot be read, so nobody can say what is in it.
        """
        ...

    def leader(self, task: Task = "seal") -> Leader:
        """Who of all machines does what only one may do at a time."""
        ...


class Alone:
    """`Leader` where there is one machine: a lock in the log's folder is all it takes."""

    def leads(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Nothing to give back."""


class SqliteStores:
    """Files in the workspace's state folder."""

    def __init__(self, paths: WorkspacePaths, root: RootKey, spool_bytes: int = 1 << 28) -> None:
        self._paths = paths
        self._spool_bytes = spool_bytes
        self._root = root

    def journal(self, settings: AuditSettings, *, spooled: bool = False) -> Journal:
        """See `Stores`. A spool helps where the file cannot be written and the disk can (ADR 0135)."""
        return SqliteJournal(
            self._paths.journal_db, settings, self._paths.spool if spooled else None, self._spool_bytes
        )

    def reader(self) -> Reader:
        """See `Stores`."""
        return SqliteJournalReader(self._paths.journal_db)

    def keys(self) -> SqlKeyStore:
        """See `Stores`."""
        return SqliteKeyStore(self._paths.state_db)

    def spend(self) -> SqlSpendBook:
        """See `Stores`."""
        return SqliteSpendBook(self._paths.spend_db)

    def content(self) -> SqlContentStore:
        """See `Stores`."""
        return open_content_store(self._paths, self._root())

    def privacy(self) -> PrivacyDatabase:
        """See `Stores`."""
        return open_privacy(self._paths)

    def erasures(self) -> SqlErasureLedger:
        """See `Stores`."""
        return SqliteErasureLedger(self._paths.erasures_db)

    def incidents(self) -> SqlIncidents:
        """See `Stores`."""
        return SqliteIncidents(self._paths.incidents_db)

    def reviews(self) -> SqlReviewStore:
        """See `Stores`."""
        return SqliteReviewStore(self._paths.state_db)

    def progress(self, sink: str) -> ProgressStore:
        """See `Stores`."""
        return ProgressFile(self._paths.sinks, sink)

    def entries(self) -> Iterator[str]:
        """See `Stores`."""
        return state_entries(self._paths)

    def leader(self, task: Task = "seal") -> Leader:
        """See `Stores`."""
        del task
        return Alone()


def open_stores(paths: WorkspacePaths, settings: StorageSettings, url: str | None, root: RootKey) -> Stores:
    """The stores of a workspace.

    Args:
        paths: Its folders.
        settings: How to use the database.
        url: Where the database is; None keeps everything in SQLite.
        root: Opens the root key of content, when content is opened.

    Raises:
        StoresUnavailable: The database cannot be used.
    """
    if url is None:
        return SqliteStores(paths, root, settings.spool_mb << 20)
    return cast("Stores", _postgres("stores").PostgresStores(paths, settings, url, root))


def open_administration(settings: StorageSettings, owner_url: str, gateway_url: str) -> Administration:
    """What an owner does to the database.

    Raises:
        StoresUnavailable: The database cannot be used.
    """
    module = _postgres("administration")
    return cast("Administration", module.PostgresAdministration(owner_url, gateway_url, settings.connect_timeout_s))


def _postgres(name: str) -> ModuleType:
    # Loaded by name: without a database, neither its driver nor the time to import it is needed.
    try:
        return import_module(f"greffier.storage.postgres.{name}")
    except ModuleNotFoundError as error:
        raise StoresUnavailable(f"{error.name} is missing; install greffier[postgres]") from error
