"""What restores set aside: copies of stores as they stood before, which an erasure must reach like the stores."""

from pathlib import Path
from typing import Any

from greffier.config.paths import WorkspacePaths
from greffier.governance.privacy.ports import Person, PrivacyUnavailable, Verified


class SetAsideConnector:
    """Destroys the words of people, their keys, and what API keys say of holders, in every copy that was set aside.

    The copies are not opened to find one person in them: nobody serves from them, so they go as a whole. The journal
    and the log stay: they hold references only, and say what the restored stores lack (ADR 0136).
    """

    name = "copies set aside by a restore"
    holds = frozenset({"replaced"})
    retains = ""
    stays = "It is a copy from before a restore that nobody reads; an erasure destroys it."

    def __init__(self, paths: WorkspacePaths) -> None:
        self._paths = paths
        self._names = (paths.content_keys_db.name, paths.content_db.name, paths.state_db.name)  # keys go first

    def find(self, person: Person) -> int:
        """How many files may hold something: they are not opened."""
        del person
        return len(self._files())

    def export(self, person: Person) -> list[dict[str, Any]]:
        """Nothing that was not in the stores."""
        del person
        return []

    def delete(self, person: Person) -> int:
        """Destroy them, whoever it is about.

        Raises:
            PrivacyUnavailable: A file cannot be removed.
        """
        del person
        files = self._files()
        try:
            for file in files:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise PrivacyUnavailable(f"what a restore set aside cannot be removed: {error}") from error
        return len(files)

    def verify(self, person: Person) -> Verified:
        """Whether any is left."""
        del person
        return Verified("files with content or keys of people in .greffier/replaced", len(self._files()))

    def _files(self) -> list[Path]:
        return [file for name in self._names for file in sorted(self._paths.replaced.glob(f"*/{name}*"))]
