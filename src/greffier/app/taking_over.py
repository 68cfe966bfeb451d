"""At a start and at an upgrade: what earlier versions kept in files of this machine moves into the database."""

import msgspec

from greffier.app.operators import process_owner
from greffier.app.recording import record_act
from greffier.app.stores import take_over_files
from greffier.config.paths import WorkspacePaths
from greffier.storage.taking_over import Taken


def take_over(paths: WorkspacePaths) -> Taken:
    """Take over, and put on record what was; see `take_over_files` for what it raises.

    Raises:
        JournalUnavailable: It cannot be recorded.
    """
    taken = take_over_files(paths)
    if taken:
        record_act(paths, "db.take_over", "database", details=msgspec.structs.asdict(taken), actor=process_owner())
    return taken
