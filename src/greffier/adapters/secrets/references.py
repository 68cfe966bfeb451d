"""Resolve the references a workspace holds instead of secrets: ``env:NAME`` and ``file:PATH``."""

import os
from pathlib import Path

_MAX_SECRET_BYTES = 65_536


class SecretMissing(Exception):  # noqa: N818 - named for the condition; the start stops on it
    """A reference points to nothing. The message names the reference, never a value."""


def resolve_secret(reference: str, base: Path) -> str:
    """Return the secret behind a reference; relative file paths start at ``base`` (the workspace).

    Raises:
        SecretMissing: The variable is unset or empty, or the file is missing, empty or larger than 64 KiB.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name, "")
        if not value:
            raise SecretMissing(f"the environment variable {name} is not set")
        return value
    path = base / name
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretMissing(f"the secret file {path} cannot be read: {error.strerror}") from error
    if not data.strip() or len(data) > _MAX_SECRET_BYTES:
        raise SecretMissing(f"the secret file {path} is empty or larger than {_MAX_SECRET_BYTES} bytes")
    return data.decode().strip()


def resolve_value(value: str) -> str:
    """Return the value itself, or for ``env:NAME`` what the environment says.

    Raises:
        SecretMissing: The variable is unset or empty.
    """
    return resolve_secret(value, Path()) if value.startswith("env:") else value
