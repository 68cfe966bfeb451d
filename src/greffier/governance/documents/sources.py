"""What documents are made from, and the present digest of each thing a statement may describe."""

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from greffier import __version__
from greffier.audit.merkle import frontier_at
from greffier.audit.tiles import BadLog, TileNodes, TileStore
from greffier.config.bundle import digest
from greffier.config.files import SourceFile
from greffier.config.snapshot import Snapshot


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the sealed log says about a use case, counted over its first ``size`` events from ``since_ms`` on."""

    size: int
    root: str
    since: str
    until: str
    answered: int = 0
    denied: int = 0
    failed: int = 0
    cancelled: int = 0
    findings: Mapping[str, int] = {}
    ratings: int = 0


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a document is built from.

    Attributes:
        files: What people wrote and attached for the scope, by path in the workspace.
        usage: None where the log holds nothing that is sealed.
    """

    snapshot: Snapshot
    scope: str
    files: Mapping[str, SourceFile]
    usage: Usage | None = None


class Digests:
    """Present digests of what statements cite."""

    def __init__(self, snapshot: Snapshot, files: Mapping[str, SourceFile], store: TileStore) -> None:
        self._snapshot = snapshot
        self._files = files
        self._store = store
        self._find: dict[str, Callable[[str], str | None]] = {
            "workspace": self._workspace,
            "use_case": snapshot.use_case_digests.get,
            "deployment": lambda name: _of(snapshot.deployment_settings.get(name)),
            "model": lambda name: _of(snapshot.models.get(name)),
            "screen": lambda name: _of(snapshot.screens.get(name)),
            "prompt": lambda name: snapshot.prompts[name].digest if name in snapshot.prompts else None,
            "rules": lambda _: digest(snapshot.rules),
            "software": lambda _: software_digest(),
            "text": self._file,
            "evidence": self._file,
            "log": self._root,
        }

    def of(self, about: str) -> str | None:
        """The present digest; None if there is no such thing any more."""
        kind, _, name = about.partition(":")
        find = self._find.get(kind)
        return None if find is None else find(name)

    def _workspace(self, name: str) -> str | None:
        value = getattr(self._snapshot.workspace, name, None)
        return None if value is None else digest(value)

    def _file(self, path: str) -> str | None:
        source = self._files.get(path)
        return None if source is None else hashlib.sha256(source.data).hexdigest()

    def _root(self, size: str) -> str | None:
        if not size.isdecimal():
            return None
        try:
            return frontier_at(int(size), TileNodes(self._store, int(size))).root().hex()
        except BadLog:
            return None


def software_digest() -> str:
    """Stands for the version of the platform."""
    return hashlib.sha256(f"greffier {__version__}".encode()).hexdigest()


def _of(value: object) -> str | None:
    return None if value is None else digest(value)
