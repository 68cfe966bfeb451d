"""Which configuration is in force, and whether it may have changed."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from greffier.config.bundle import build
from greffier.config.compile import compile_snapshot
from greffier.config.files import FOLDERS, SETTINGS_FILE
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.releases import current_pointer, load_release, release_in_force, trust_folder
from greffier.config.snapshot import Snapshot
from greffier.core.clock import Clock, SystemClock

NOT_VERIFIED = frozenset(
    {
        "unsigned",
        "signature_invalid",
        "signature_untrusted",
        "signature_unexpected",
        "trust_invalid",
        "release_mismatch",
        "release_outlived",
    }
)
"""Codes of a `ConfigError` that say: what should be in force is not what somebody trusted has signed for this day."""


def outlived(snapshot: Snapshot, clock: Clock) -> bool:
    """Whether the last day on which a configuration may serve has passed (UTC)."""
    last = snapshot.workspace.valid_until
    return last is not None and datetime.fromtimestamp(clock.wall_ms() / 1000, UTC).date() > date.fromisoformat(last)


def load_snapshot(paths: WorkspacePaths, clock: Clock | None = None) -> Snapshot:
    """Load the configuration in force.

    When a release was put in force, it and nothing else is loaded, and its signature must hold. Without one, the
    files themselves are compiled, unsigned, if the workspace declares ``unsafe_development_mode``.

    Raises:
        ConfigError: There is nothing that may be served; the reason and the remedy are in it. Never a fallback.
    """
    clock = clock or SystemClock()
    snapshot = _load(paths, clock.wall_ms())
    if outlived(snapshot, clock):
        raise ConfigError(
            "release_outlived",
            f"The configuration was valid until {snapshot.workspace.valid_until}.",
            "Have it approved again: set valid_until in greffier.yaml, then 'greffier config build --sign'.",
        )
    return snapshot


def _load(paths: WorkspacePaths, now_ms: int) -> Snapshot:
    if release_in_force(paths):
        bundle, signed_by = load_release(paths)
        return compile_snapshot(bundle, signed_by=signed_by, now_ms=now_ms)
    bundle = build(paths.root)
    if not bundle.content.workspace.unsafe_development_mode:
        raise ConfigError(
            "unsigned",
            "The workspace has no signed release and does not run in development mode.",
            "Run 'greffier config build --sign', or set unsafe_development_mode: true where nothing is at stake.",
        )
    return compile_snapshot(bundle, signed_by="", now_ms=now_ms)


def fingerprint(paths: WorkspacePaths) -> str:
    """Cheap sign that `load_snapshot` might now load something else: compares names, sizes and times, reads no file."""
    sign = hashlib.sha256()
    for path in _watched(paths):
        try:
            found = path.stat()
        except OSError as error:
            state = f"!{error.errno}"
        else:
            state = f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"
        sign.update(f"{path}\0{state}\n".encode("utf-8", "surrogateescape"))
    return sign.hexdigest()


def _watched(paths: WorkspacePaths) -> Iterator[Path]:
    try:
        of_release = release_in_force(paths)
    except ConfigError:
        of_release = True  # until it can be seen
    return _watched_release(paths) if of_release else _watched_files(paths.root)


def _watched_release(paths: WorkspacePaths) -> Iterator[Path]:
    yield current_pointer(paths)
    yield trust_folder(paths)
    yield from sorted(trust_folder(paths).glob("*.pem"))


def _watched_files(root: Path) -> Iterator[Path]:
    yield root / SETTINGS_FILE
    for folder in FOLDERS:
        yield root / folder
        if (root / folder).is_dir():
            yield from sorted((root / folder).iterdir())
