"""All stores in one PostgreSQL database."""

from collections.abc import Iterator

from greffier.audit.ports import ContentUnavailable, Journal, JournalUnavailable, Leader
from greffier.audit.progress import ProgressStore
from greffier.audit.settings import AuditSettings
from greffier.audit.sinks import SinkUnavailable
from greffier.config.paths import WorkspacePaths
from greffier.config.storage_settings import StorageSettings
from greffier.governance.incidents.ports import IncidentsUnavailable
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.guardrails.reviews import ReviewsUnavailable
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.administration import DatabaseUnavailable, SchemaMismatch
from greffier.storage.content import SqlContentStore
from greffier.storage.content_keys import ContentKeys
from greffier.storage.erasures import CopiedErasureLedger, SqlErasureLedger
from greffier.storage.incidents import SqlIncidents
from greffier.storage.inventory import DATABASE, state_entries
from greffier.storage.keys import SqlKeyStore
from greffier.storage.postgres.database import BadDatabaseUrl, Database
from greffier.storage.postgres.journal import PostgresJournal
from greffier.storage.postgres.leader import SEALER, PostgresLeader, number_of
from greffier.storage.postgres.reader import PostgresJournalReader
from greffier.storage.postgres.schema import check, tables
from greffier.storage.privacy_db import PrivacyDatabase
from greffier.storage.reviews import SqlReviewStore
from greffier.storage.sinks import SqlProgress
from greffier.storage.spend import SpendUnavailable, SqlSpendBook
from greffier.storage.stores import Reader, RootKey, StoresUnavailable, Task


class PostgresStores:
    """`Stores` in PostgreSQL. Each store checks the schema before its first use."""

    def __init__(self, paths: WorkspacePaths, settings: StorageSettings, url: str, root: RootKey) -> None:
        """Name the database; nothing is opened yet.

        Raises:
            StoresUnavailable: The address cannot be understood.
        """
        self._paths = paths
        self._root = root
        self._spool_bytes = settings.spool_mb << 20
        self._checked = False
        try:
            self._database = Database(url, pool_size=settings.pool_size, connect_timeout_s=settings.connect_timeout_s)
        except BadDatabaseUrl as error:
            raise StoresUnavailable(str(error)) from error

    def journal(self, settings: AuditSettings, *, spooled: bool = False) -> Journal:
        """See `Stores`."""
        self._check(JournalUnavailable)
        return PostgresJournal(self._database, settings, self._paths.spool if spooled else None, self._spool_bytes)

    def reader(self) -> Reader:
        """See `Stores`."""
        self._check(JournalUnavailable)
        return PostgresJournalReader(self._database)

    def keys(self) -> SqlKeyStore:
        """See `Stores`."""
        self._check(KeyStoreUnavailable)
        return SqlKeyStore(self._database.engine())

    def spend(self) -> SqlSpendBook:
        """See `Stores`."""
        self._check(SpendUnavailable)
        return SqlSpendBook(self._database.engine())

    def content(self) -> SqlContentStore:
        """See `Stores`. Every machine needs the same root key."""
        self._check(ContentUnavailable)
        return SqlContentStore(self._database.engine(), ContentKeys(self._database.engine(), self._root()))

    def privacy(self) -> PrivacyDatabase:
        """See `Stores`."""
        self._check(PrivacyUnavailable)
        return PrivacyDatabase(self._database.engine())

    def erasures(self) -> SqlErasureLedger:
        """See `Stores`: in the database, with a copy on this machine."""
        self._check(PrivacyUnavailable)
        return CopiedErasureLedger(self._database.engine(), self._paths.erasures_db)

    def incidents(self) -> SqlIncidents:
        """See `Stores`."""
        self._check(IncidentsUnavailable)
        return SqlIncidents(self._database.engine())

    def reviews(self) -> SqlReviewStore:
        """See `Stores`."""
        self._check(ReviewsUnavailable)
        return SqlReviewStore(self._database.engine())

    def progress(self, sink: str) -> ProgressStore:
        """See `Stores`. One connection is the lock's."""
        self._check(SinkUnavailable)
        return SqlProgress(self._database.engine(), PostgresLeader(self._database, number_of(f"sink {sink}")), sink)

    def entries(self) -> Iterator[str]:
        """See `Stores`. Files that stay on the machine are told too."""
        yield from state_entries(self._paths)
        try:
            yield from (f"{DATABASE}:{table}" for table in tables(self._database))
        except DatabaseUnavailable as error:
            raise PrivacyUnavailable(str(error)) from error

    def leader(self, task: Task = "seal") -> Leader:
        """See `Stores`."""
        return PostgresLeader(self._database, SEALER if task == "seal" else number_of(f"task {task}"))

    def _check(self, unavailable: type[Exception]) -> None:
        if self._checked:
            return
        try:
            check(self._database)
        except (DatabaseUnavailable, SchemaMismatch) as error:
            raise unavailable(str(error)) from error
        self._checked = True
