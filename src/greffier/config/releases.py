"""Signed releases in the state folder, and the one pointer that says which is in force.

``releases/REVISION/bundle.json`` and ``bundle.sig`` never change once written; ``releases/current`` holds a revision
and is replaced by a rename, so a reader sees the old release or the new one, never half of each.
"""

import os
import re
from pathlib import Path

from greffier.config.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.signing import MAX_SIGNATURE_BYTES, fingerprint, trusted_keys, verify

BUNDLE_FILE = "bundle.json"
SIGNATURE_FILE = "bundle.sig"
_MAX_POINTER_BYTES = 128
_REVISION = re.compile(r"[0-9a-f]{64}")


def trust_folder(paths: WorkspacePaths) -> Path:
    """Where the public keys that count lie."""
    return paths.secrets / "trusted"


def current_pointer(paths: WorkspacePaths) -> Path:
    """The file that names the release in force."""
    return paths.releases / "current"


def release_in_force(paths: WorkspacePaths) -> bool:
    """Whether a release is in force, whatever its state. Only a pointer that is not there means that none is.

    Raises:
        ConfigError: It cannot be seen. To go on with the workspace's files then would be to serve them unsigned.
    """
    try:
        os.lstat(current_pointer(paths))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(
            "release_unreadable",
            f"Whether a release is in force cannot be seen: {paths.releases}: {error.strerror}.",
            "Run as the user the gateway runs as, and see to it that this user can read .greffier.",
        ) from error
    return True


def store_release(paths: WorkspacePaths, data: bytes, signature: bytes) -> Bundle:
    """Store a signed bundle as a release, not yet in force.

    Args:
        paths: The workspace.
        data: The bundle's bytes.
        signature: The bytes of its signature file.

    Raises:
        ConfigError: The signature is not one by a key that this machine trusts and the bundle expects.
    """
    bundle, _ = _verified(paths, data, signature)
    paths.ensure()
    folder = paths.releases / bundle.revision
    folder.mkdir(mode=0o700, exist_ok=True)
    replace_file(folder / BUNDLE_FILE, data)
    replace_file(folder / SIGNATURE_FILE, signature)
    return bundle


def activate(paths: WorkspacePaths, revision: str) -> None:
    """Put a stored release in force. The gateway checks the signature again when it loads it.

    Raises:
        ConfigError: The release is missing, damaged or not signed by a trusted key; what is in force stays in force.
    """
    check_release(paths, revision)
    replace_file(current_pointer(paths), revision.encode() + b"\n")


def revision_in_force(paths: WorkspacePaths) -> str:
    """The revision that ``releases/current`` names, unchecked; empty when there is no release in force."""
    pointer = current_pointer(paths)
    if not release_in_force(paths) or not pointer.exists():
        return ""
    return read_bounded(pointer, _MAX_POINTER_BYTES).decode("ascii", "replace").strip()


def load_release(paths: WorkspacePaths) -> tuple[Bundle, str]:
    """Load the release in force; return it with the name of the key that signed it.

    Raises:
        ConfigError: It is missing, damaged, or not signed by a trusted key. There is no fallback.
    """
    return check_release(
        paths, read_bounded(current_pointer(paths), _MAX_POINTER_BYTES).decode("ascii", "replace").strip()
    )


def check_release(paths: WorkspacePaths, revision: str) -> tuple[Bundle, str]:
    """Load a stored release; return it with the name of the key that signed it.

    Raises:
        ConfigError: It is missing, damaged, or not signed by a trusted key.
    """
    if not _REVISION.fullmatch(revision):
        raise ConfigError(
            "release_missing",
            "A release is named by a revision of 64 hexadecimal digits.",
            "Run 'greffier config build --sign' to make one, or 'greffier config activate' to choose one.",
        )
    folder = paths.releases / revision
    data = read_bounded(folder / BUNDLE_FILE, MAX_BUNDLE_BYTES)
    bundle, signed_by = _verified(paths, data, read_bounded(folder / SIGNATURE_FILE, MAX_SIGNATURE_BYTES))
    if bundle.revision != revision:
        raise ConfigError(
            "release_mismatch",
            f"releases/{revision[:16]}... holds another bundle than its name says.",
            "Restore the release's files, or build it again.",
        )
    return bundle, signed_by


def _verified(paths: WorkspacePaths, data: bytes, signature: bytes) -> tuple[Bundle, str]:
    trusted = trusted_keys(trust_folder(paths))
    signed_by = verify(data, signature, trusted)
    bundle = parse_bundle(data)  # only now: nothing of an unverified bundle is looked at
    _expected(bundle, fingerprint(trusted[signed_by]))
    return bundle, signed_by


def _expected(bundle: Bundle, key: str) -> None:
    expected = bundle.content.workspace.bundle_keys
    if expected and key not in expected:
        raise ConfigError(
            "signature_unexpected",
            f"The workspace's bundle_keys do not list the key {key[:16]}....",
            "Sign with a key that bundle_keys lists, or add the fingerprint there.",
        )


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that it holds the old bytes or the new ones, whatever happens in between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes.

    Raises:
        ConfigError: It is missing or larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(
            "release_missing",
            f"{path.parent.name}/{path.name} cannot be read: {error.strerror}.",
            "Restore the release's files, or build it again with 'greffier config build --sign'.",
        ) from error
    if len(data) > limit:
        raise ConfigError("bundle_invalid", f"{path.name} is larger than {limit} bytes.", "Restore the file.")
    return data
