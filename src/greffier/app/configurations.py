"""Forget configurations that no kept record cites any more, and record that."""

from greffier.audit.ports import JournalReader, JournalUnavailable
from greffier.config.kept import forget_configuration, forgettable, in_force
from greffier.config.paths import WorkspacePaths
from greffier.config.releases import revision_in_force
from greffier.core.events import parse


def no_longer_cited(paths: WorkspacePaths, reader: JournalReader) -> list[str]:
    """Configurations whose records retention has dropped, with a day to spare; the newest five always stay.

    Raises:
        JournalUnavailable: The journal cannot be read.
        OSError: What is kept cannot be read.
    """
    first = reader.first()
    if first <= 1:
        return []  # every record there ever was is kept
    rows = reader.read(first, 1)
    if not rows:
        return []
    return forgettable(in_force(paths), revision_in_force(paths), parse(rows[0].data).ts)


def forget(paths: WorkspacePaths, revisions: list[str]) -> None:
    """Remove them.

    Raises:
        JournalUnavailable: A file cannot be removed.
    """
    try:
        for revision in revisions:
            forget_configuration(paths, revision)
    except OSError as error:
        raise JournalUnavailable(f"a configuration cannot be removed: {error.strerror}") from error
