"""Configurations that were in force, kept for as long as records cite them by their digest (ADR 0119).

A signed release lies in ``releases/``; what ran unsigned, in development, lies in ``configurations/``, compressed. The
file ``configurations/in-force.jsonl`` says since when each was in force; lines go with what they are about.
"""

import gzip
import hashlib
import os
import shutil
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from greffier.config.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.releases import BUNDLE_FILE, read_bounded, replace_file, revision_in_force
from greffier.config.snapshot import Snapshot

ROLLBACK = 5
"""How many of the newest configurations stay whatever the records say, so that one can go back."""
SLACK_MS = 86_400_000
"""How long after a configuration was replaced a request may still be answered under it; longer than any takes."""


class InForceLine(msgspec.Struct, frozen=True):
    """Since when a configuration was in force."""

    revision: str
    from_ms: int


def keep_configuration(paths: WorkspacePaths, snapshot: Snapshot, now_ms: int) -> None:
    """Keep what is about to be put in force. Many workers may do so at once.

    Raises:
        OSError: It cannot be kept.
    """
    folder = paths.configurations
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (paths.releases / snapshot.revision / BUNDLE_FILE).exists():
        file = folder / f"{snapshot.revision}.json.gz"
        if not file.exists():
            replace_file(file, gzip.compress(snapshot.document, mtime=0))
    lines = in_force(paths)
    if not lines or lines[-1].revision != snapshot.revision:
        descriptor = os.open(folder / "in-force.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file_:
            file_.write(msgspec.json.encode(InForceLine(snapshot.revision, now_ms)) + b"\n")
            file_.flush()
            os.fsync(file_.fileno())


def in_force(paths: WorkspacePaths) -> list[InForceLine]:
    """What was in force since when, in order; a line that a crash cut short is left out.

    Raises:
        OSError: It cannot be read.
    """
    try:
        text = (paths.configurations / "in-force.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=InForceLine))
        except msgspec.MsgspecError:
            continue
    return found


def kept_configuration(paths: WorkspacePaths, revision: str) -> Bundle:
    """A configuration by its digest; what is returned has that digest.

    Raises:
        ConfigError: It is not kept here, or damaged.
    """
    try:
        if (paths.releases / revision / BUNDLE_FILE).exists():
            data = read_bounded(paths.releases / revision / BUNDLE_FILE, MAX_BUNDLE_BYTES)
        else:
            with gzip.open(paths.configurations / f"{revision}.json.gz") as file:
                data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            "configuration_missing",
            f"The configuration {revision[:16]} is not kept here.",
            "Name all 64 digits of a revision; look on the machine that served it, or in its backup.",
        ) from error
    if hashlib.sha256(data).hexdigest() != revision:
        raise ConfigError(
            "release_mismatch",
            f"What is kept as {revision[:16]} is another configuration.",
            "Restore it from a backup, or build it again from the workspace's history in Git.",
        )
    return parse_bundle(data)


def is_kept(paths: WorkspacePaths, revision: str) -> bool:
    """Whether a configuration is kept here, unread."""
    release = paths.releases / revision / BUNDLE_FILE
    return bool(revision) and (release.exists() or (paths.configurations / f"{revision}.json.gz").exists())


def forgettable(lines: Sequence[InForceLine], current: str, first_kept_ms: int) -> list[str]:
    """Configurations that no kept record can cite any more.

    Args:
        lines: What was in force since when.
        current: The release in force, or empty.
        first_kept_ms: Time of the first record that is kept.
    """
    until: dict[str, int | None] = {
        line.revision: None if following is None else following.from_ms
        for line, following in zip_longest(lines, lines[1:])
    }
    newest = list(dict.fromkeys(line.revision for line in reversed(lines)))[:ROLLBACK]
    return [
        revision
        for revision, end_ms in until.items()
        if end_ms is not None and end_ms + SLACK_MS < first_kept_ms and revision != current and revision not in newest
    ]


def forget_configuration(paths: WorkspacePaths, revision: str) -> None:
    """Remove a configuration, and the lines about it.

    Raises:
        OSError: It cannot be removed.
    """
    (paths.configurations / f"{revision}.json.gz").unlink(missing_ok=True)
    if revision and revision != revision_in_force(paths):
        shutil.rmtree(paths.releases / revision, ignore_errors=True)
    left = [line for line in in_force(paths) if line.revision != revision]
    replace_file(paths.configurations / "in-force.jsonl", b"".join(msgspec.json.encode(one) + b"\n" for one in left))
