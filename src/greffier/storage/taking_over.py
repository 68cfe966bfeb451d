"""What earlier versions kept in files of one machine, although the workspace named a database, moves into the database.

The ledger of erasures does so by itself (`greffier.storage.erasures`).
"""

import logging

import msgspec

from greffier.audit.progress import ProgressFile, SinkTaken
from greffier.config.paths import WorkspacePaths
from greffier.storage.incidents import SqliteIncidents
from greffier.storage.reviews import SqliteReviewStore
from greffier.storage.stores import Stores

log = logging.getLogger(__name__)

_MOST_REJECTED = 100_000


class Taken(msgspec.Struct, frozen=True):
    """How much the database did not have yet.

    Attributes:
        incidents: Versions of incidents.
        reviews: Reviews.
        sinks: Cursors of sinks.
    """

    incidents: int = 0
    reviews: int = 0
    sinks: int = 0

    def __bool__(self) -> bool:
        return bool(self.incidents or self.reviews or self.sinks)


def take_over(paths: WorkspacePaths, stores: Stores) -> Taken:
    """Put what stands in files of this machine into the database, and move the files aside; repeating it is harmless.

    Nothing may write to the files meanwhile.

    Raises:
        IncidentsUnavailable: The register, or its file, cannot be used.
        ReviewsUnavailable: The reviews, or their file, cannot be used.
        SinkUnavailable: A cursor, or its file, cannot be used.
        JournalUnavailable: It cannot be told which journal the cursors are of.
        OSError: A file cannot be moved.
    """
    return Taken(_incidents(paths, stores), _reviews(paths, stores), _sinks(paths, stores))


def _incidents(paths: WorkspacePaths, stores: Stores) -> int:
    if not paths.incidents_db.exists():
        return 0
    filed, register = SqliteIncidents(paths.incidents_db), stores.incidents()
    try:
        count = sum(register.take(filed.history(incident.id)) for incident in filed.all())
    finally:
        filed.close()
        register.close()
    for file in paths.state.glob(f"{paths.incidents_db.name}*"):
        _set_aside(paths, file.name)
    return count


def _reviews(paths: WorkspacePaths, stores: Stores) -> int:
    if not paths.state_db.exists():
        return 0
    filed, reviews = SqliteReviewStore(paths.state_db), stores.reviews()
    try:
        return reviews.take(filed.list())  # the file stays: it may hold API keys of a time before the database
    finally:
        filed.close()
        reviews.close()


def _sinks(paths: WorkspacePaths, stores: Stores) -> int:
    files = sorted(paths.sinks.glob("*.json"))
    if not files:
        return 0
    reader = stores.reader()
    try:
        size = reader.size()
    finally:
        reader.close()
    count = 0
    for file in files:
        filed, state = ProgressFile(paths.sinks, file.stem), stores.progress(file.stem)
        try:
            progress = filed.load()
            if progress is not None and progress.cursor > size:  # of the journal in a file, before there was a database
                log.warning("sink %s begins anew: its cursor is of another journal", file.stem)
            elif progress is not None and state.load() is None:
                state.keep_rejected(filed.rejected(_MOST_REJECTED))
                state.save(progress)
                count += 1
        except SinkTaken:  # another gateway began to supply it this moment
            pass
        finally:
            state.close()
        for name in (file.name, f"{file.stem}.rejected"):
            if (paths.sinks / name).exists():
                _set_aside(paths, f"sinks/{name}")
    return count


def _set_aside(paths: WorkspacePaths, name: str) -> None:
    target = paths.taken_over / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (paths.state / name).rename(target)
