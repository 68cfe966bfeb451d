"""Read the workspace's files and nothing else: bounded in size and number, regular files only, never outside it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greffier.config.problems import Problem, did_you_mean

MAX_FILE_BYTES = 1_048_576
MAX_FILES = 10_000
MAX_TOTAL_BYTES = 67_108_864

SETTINGS_FILE = "greffier.yaml"
FOLDERS = {"use_cases": ".yaml", "models": ".yaml", "policies": ".yaml", "guardrails": ".yaml", "prompts": ".md"}
RESERVED = ("tools", "corpora", "evals")
DOCUMENTS = "documents"
"""What people write for the documents of compliance (``greffier docs``). No part of the bundle: nothing runs on it."""
_IGNORED = ("readme.md",)
_BESIDE = (
    "policies/tests",
    "guardrails/tests",
    "guardrails/packs",
)  # cases of the test commands; packs are read by name


class SourceFile(msgspec.Struct, frozen=True):
    """A file as read: its path inside the workspace (with ``/``) and its bytes."""

    name: str
    data: bytes


def read_workspace(root: Path) -> tuple[dict[str, list[SourceFile]], list[Problem]]:
    """Read every file that belongs to the workspace, by folder; ``""`` holds ``greffier.yaml``.

    Files come in the order of their names, whatever the file system says. Symbolic links are followed as long as they
    stay inside the workspace (Kubernetes mounts ConfigMaps that way).
    """
    problems: list[Problem] = []
    found: dict[str, list[SourceFile]] = {"": [], **{folder: [] for folder in FOLDERS}}
    budget = _Budget()
    if not root.is_dir():
        return found, [
            _problem("workspace_missing", ".", f"There is no folder {root}.", "Run 'greffier init DIR' first.")
        ]
    try:
        problems.extend(_lookalikes(root))
    except OSError as error:
        reason = f"The workspace cannot be read: {error.strerror}."
        return found, [_problem("unreadable", ".", reason, "Correct the folder's mode.")]
    inside = root.resolve()
    for folder, name in _members(root, problems):
        relative = f"{folder}/{name}" if folder else name
        source = _read(inside, relative, budget, problems)
        if source is not None:
            found[folder].append(source)
        if budget.spent:
            problems.append(
                _problem(
                    "workspace_too_large",
                    relative,
                    f"A workspace has at most {MAX_FILES} files and {MAX_TOTAL_BYTES >> 20} MiB; reading stopped here.",
                    "Split it into several workspaces.",
                )
            )
            break
    if not found[""] and not problems:
        problems.append(
            _problem("settings_missing", SETTINGS_FILE, "The workspace has no greffier.yaml.", "Run 'greffier init'.")
        )
    return found, problems


def read_documents(root: Path, scope: str) -> tuple[dict[str, SourceFile], list[Problem]]:
    """Read the files in ``documents/<scope>/`` and in its folder ``evidence/``, by path, within the same bounds."""
    problems: list[Problem] = []
    found: dict[str, SourceFile] = {}
    budget = _Budget()
    inside = root.resolve()
    for folder in (f"{DOCUMENTS}/{scope}", f"{DOCUMENTS}/{scope}/evidence"):
        for entry in _listed(root, folder, problems):
            relative = f"{folder}/{entry}"
            if entry.startswith(".") or (root / relative).is_dir() or budget.spent:
                continue
            source = _read(inside, relative, budget, problems)
            if source is not None:
                found[relative] = source
    return found, problems


class _Budget:
    def __init__(self) -> None:
        self.files = MAX_FILES
        self.bytes = MAX_TOTAL_BYTES

    @property
    def spent(self) -> bool:
        return self.files <= 0 or self.bytes <= 0


def _members(root: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Yield ``(folder, name)`` of every file to read; complain about what would be passed over in silence."""
    if os.path.lexists(root / SETTINGS_FILE):
        yield "", SETTINGS_FILE
    for folder, suffix in FOLDERS.items():
        for entry in _listed(root, folder, problems):
            if entry.lower() in _IGNORED or entry.startswith(".") or f"{folder}/{entry}" in _BESIDE:
                continue
            if entry.endswith(suffix) and not (root / folder / entry).is_dir():
                yield folder, entry
            else:
                problems.append(
                    _problem(
                        "unexpected_file",
                        f"{folder}/{entry}",
                        f"Expected only files named *{suffix} in {folder}/.",
                        f"Rename it to end in {suffix}, or move it out of {folder}/.",
                    )
                )
    for folder in RESERVED:
        entries = [
            entry for entry in _listed(root, folder, problems) if entry.lower() not in _IGNORED and entry[0] != "."
        ]
        if entries:
            problems.append(
                _problem(
                    "not_supported",
                    f"{folder}/{entries[0]}",
                    f"{folder}/ is not supported by this version of Greffier.",
                    f"Move the files out of {folder}/ until you upgrade.",
                )
            )


def _listed(root: Path, folder: str, problems: list[Problem]) -> list[str]:
    """Names in a folder, sorted by code point; a missing folder is empty, any other obstacle is a problem."""
    path = root / folder
    if not os.path.lexists(path):
        return []
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names only
    except OSError as error:
        message = f"The folder cannot be read: {error.strerror}."
        problems.append(_problem("unreadable", folder, message, "Make it a folder that can be read, or remove it."))
        return []


def _lookalikes(root: Path) -> Iterator[Problem]:
    for entry in sorted(os.listdir(root)):  # noqa: PTH208 - names only
        known = [*FOLDERS, *RESERVED, DOCUMENTS] if (root / entry).is_dir() else [SETTINGS_FILE]
        if entry in known or entry.startswith("."):
            continue
        advice = did_you_mean(entry, known)
        same_letters = {word.replace("_", "").rstrip("s") for word in known}
        letters = entry.lower().replace("_", "").replace("-", "").replace(".yml", ".yaml").rstrip("s")
        if advice.startswith("Did you mean") and letters in same_letters | {"policie", "policy", "usecase"}:
            yield _problem("lookalike", entry, f"Nothing in '{entry}' is read.", advice)


def _read(inside: Path, relative: str, budget: _Budget, problems: list[Problem]) -> SourceFile | None:
    path = inside / relative
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(inside):
            problems.append(
                _problem(
                    "outside_workspace",
                    relative,
                    "The symbolic link leads out of the workspace.",
                    "Replace the link with the file itself.",
                )
            )
            return None
        data = _read_regular(real)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links (Python 3.11)
        reason = error.strerror if isinstance(error, OSError) else "a loop of symbolic links"
        problems.append(
            _problem("unreadable", relative, f"The file cannot be read: {reason}.", "Correct the file or its mode.")
        )
        return None
    if data is None:
        problems.append(_problem("unreadable", relative, "This is not a regular file.", "Replace it with a file."))
        return None
    if len(data) > MAX_FILE_BYTES:
        problems.append(
            _problem(
                "file_too_large",
                relative,
                f"A file has at most {MAX_FILE_BYTES >> 10} KiB.",
                "Split it into several files.",
            )
        )
        return None
    budget.files -= 1
    budget.bytes -= len(data)
    return SourceFile(relative, data)


def _read_regular(path: Path) -> bytes | None:
    """Read at most one byte more than allowed; never wait for a pipe or a device, never follow a link swapped in."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        return file.read(MAX_FILE_BYTES + 1)


def _problem(code: str, file: str, message: str, remedy: str) -> Problem:
    return Problem(code=code, file=file, message=message, remedy=remedy)
