"""The workspace's stores, wherever the configuration in force keeps them. Nothing else in `app` or `cli` opens one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib import import_module

from greffier.adapters.secrets.references import SecretMissing, resolve_secret
from greffier.audit.ports import ContentUnavailable, Journal, JournalUnavailable, KeyWrapper, Leader
from greffier.audit.progress import ProgressStore
from greffier.audit.settings import AuditSettings
from greffier.audit.sinks import SinkUnavailable
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.storage import storage_in_force
from greffier.config.storage_settings import StorageSettings
from greffier.governance.incidents.ports import IncidentsUnavailable
from greffier.governance.privacy.ports import PrivacyUnavailable
from greffier.guardrails.reviews import ReviewsUnavailable
from greffier.identity.ports import KeyStoreUnavailable
from greffier.storage.administration import Administration
from greffier.storage.content import CONTENT_ROOT_KEY, SqlContentStore
from greffier.storage.content_root import FileKeyWrapper, SuccessiveRoots
from greffier.storage.erasures import SqlErasureLedger
from greffier.storage.incidents import SqlIncidents
from greffier.storage.keys import SqlKeyStore
from greffier.storage.privacy_db import PrivacyDatabase
from greffier.storage.reviews import SqlReviewStore
from greffier.storage.spend import SpendUnavailable, SqlSpendBook
from greffier.storage.stores import Reader, Stores, StoresUnavailable, Task, open_administration, open_stores
from greffier.storage.taking_over import Taken, take_over


def stores_of(paths: WorkspacePaths) -> Stores:
    """All stores of a workspace.

    Raises:
        ConfigError: The settings cannot be read.
        SecretMissing: The database's address is not where they say.
        StoresUnavailable: The database cannot be used.
    """
    settings = storage_in_force(paths)
    url = resolve_secret(settings.url, paths.root) if settings.url else None
    return open_stores(paths, settings, url, partial(content_root, paths, settings))


def content_root(paths: WorkspacePaths, settings: StorageSettings) -> KeyWrapper:
    """The root key of captured content: in a token where the workspace names one, else in a file.

    Raises:
        ContentUnavailable: It cannot be used.
    """
    file = paths.secrets / CONTENT_ROOT_KEY
    hsm = settings.content_root
    if hsm is None:
        return FileKeyWrapper(file)
    try:
        wrapper = import_module("greffier.adapters.signers.content_hsm").HsmKeyWrapper
    except ImportError as error:
        raise ContentUnavailable("the content's root key is in a token; install greffier[hsm]") from error
    try:
        pin = resolve_secret(hsm.pin, paths.root)
    except SecretMissing as error:
        raise ContentUnavailable(f"the PIN of the content's root key: {error}") from error
    newest: KeyWrapper = wrapper(hsm.module, hsm.token, hsm.key, pin)
    older: list[KeyWrapper] = [wrapper(hsm.module, hsm.token, label, pin) for label in hsm.previous]
    if file.exists():
        older.append(FileKeyWrapper(file))
    return SuccessiveRoots(newest, older) if older else newest


def administration_of(paths: WorkspacePaths) -> Administration | None:
    """What ``greffier db`` works with; None where everything is in SQLite.

    Raises:
        ConfigError: The settings cannot be read.
        SecretMissing: An address is not where they say.
        StoresUnavailable: The database cannot be used.
        DatabaseUnavailable: An address cannot be understood.
    """
    settings = storage_in_force(paths)
    if settings.url is None:
        return None
    gateway = resolve_secret(settings.url, paths.root)
    owner = resolve_secret(settings.admin_url, paths.root) if settings.admin_url else gateway
    return open_administration(settings, owner, gateway)


def open_journal(paths: WorkspacePaths, settings: AuditSettings, *, spooled: bool = False) -> Journal:
    """The journal, for writing; ``spooled`` for workers, which may bridge an outage by their risk classes.

    Raises:
        JournalUnavailable: It cannot be opened.
    """
    with _as(JournalUnavailable):
        return stores_of(paths).journal(settings, spooled=spooled)


def open_reader(paths: WorkspacePaths) -> Reader:
    """The journal, for reading.

    Raises:
        JournalUnavailable: There is none.
    """
    with _as(JournalUnavailable):
        return stores_of(paths).reader()


def open_keys(paths: WorkspacePaths) -> SqlKeyStore:
    """The API keys.

    Raises:
        KeyStoreUnavailable: They cannot be opened.
    """
    with _as(KeyStoreUnavailable):
        return stores_of(paths).keys()


def open_spend(paths: WorkspacePaths) -> SqlSpendBook:
    """What was spent.

    Raises:
        SpendUnavailable: It cannot be opened.
    """
    with _as(SpendUnavailable):
        return stores_of(paths).spend()


def open_content(paths: WorkspacePaths) -> SqlContentStore:
    """Captured content and its keys.

    Raises:
        ContentUnavailable: It, or its root key, cannot be opened.
    """
    with _as(ContentUnavailable):
        return stores_of(paths).content()


def may_hold_content(paths: WorkspacePaths) -> bool:
    """Whether anything can have been captured yet, told without opening the store.

    Raises:
        ContentUnavailable: The settings cannot be read.
    """
    with _as(ContentUnavailable):
        return storage_in_force(paths).url is not None or paths.content_db.exists()


def open_privacy(paths: WorkspacePaths) -> PrivacyDatabase:
    """Consents, holds, reveals, and requests of data subjects.

    Raises:
        PrivacyUnavailable: They cannot be opened.
    """
    with _as(PrivacyUnavailable):
        return stores_of(paths).privacy()


def open_erasures(paths: WorkspacePaths) -> SqlErasureLedger:
    """What was erased, for ever.

    Raises:
        PrivacyUnavailable: It cannot be opened.
    """
    with _as(PrivacyUnavailable):
        return stores_of(paths).erasures()


def is_shared(paths: WorkspacePaths) -> bool:
    """Whether the stores are in a database that several machines may share.

    Raises:
        PrivacyUnavailable: The settings cannot be read.
    """
    with _as(PrivacyUnavailable):
        return storage_in_force(paths).url is not None


def open_incidents(paths: WorkspacePaths) -> SqlIncidents:
    """The register of incidents and breaches.

    Raises:
        IncidentsUnavailable: It cannot be opened.
    """
    with _as(IncidentsUnavailable):
        return stores_of(paths).incidents()


def open_reviews(paths: WorkspacePaths) -> SqlReviewStore:
    """Requests that a screen held back for a person.

    Raises:
        ReviewsUnavailable: They cannot be opened.
    """
    with _as(ReviewsUnavailable):
        return stores_of(paths).reviews()


def open_progress(paths: WorkspacePaths, sink: str) -> ProgressStore:
    """How far a sink is, and who supplies it.

    Raises:
        SinkUnavailable: It cannot be opened.
    """
    with _as(SinkUnavailable):
        return stores_of(paths).progress(sink)


def take_over_files(paths: WorkspacePaths) -> Taken:
    """Put into the database what earlier versions kept in files of this machine; nothing where there is no database.

    Raises:
        IncidentsUnavailable: The register of incidents, or its file, cannot be used.
        ReviewsUnavailable: The reviews, or their file, cannot be used.
        SinkUnavailable: A sink's cursor, or its file, cannot be used.
        PrivacyUnavailable: The settings cannot be read.
        OSError: A file cannot be moved.
    """
    if not is_shared(paths):
        return Taken()
    with _as(PrivacyUnavailable):
        stores = stores_of(paths)
    return take_over(paths, stores)


def data_entries(paths: WorkspacePaths) -> Iterator[str]:
    """Every place in which data is kept; see `Stores.entries`.

    Raises:
        PrivacyUnavailable: A database cannot be read, so nobody can say what is in it.
    """
    with _as(PrivacyUnavailable):
        return stores_of(paths).entries()


def open_leader(paths: WorkspacePaths, task: Task = "seal") -> Leader:
    """Who of all machines does what only one may do at a time.

    Raises:
        JournalUnavailable: The database's settings are wrong.
    """
    with _as(JournalUnavailable):
        return stores_of(paths).leader(task)


@asynccontextmanager
async def alone(paths: WorkspacePaths, task: Task) -> AsyncIterator[bool]:
    """Whether no other machine is at the task; it stays ours while inside.

    Raises:
        JournalUnavailable: The database's settings are wrong.
    """
    leader = open_leader(paths, task)
    try:
        yield await asyncio.to_thread(leader.leads)
    finally:
        await asyncio.to_thread(leader.close)


@contextmanager
def _as(unavailable: type[Exception]) -> Iterator[None]:
    """To whoever opens a store, it is out of reach, whatever is wrong with the way to it."""
    try:
        yield
    except (ConfigError, SecretMissing, StoresUnavailable) as error:
        raise unavailable(str(error)) from error
