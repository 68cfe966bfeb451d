"""Where records are kept: read from the configuration in force, without compiling the rest of it."""

import os
from typing import Any

import msgspec

from greffier.config.documents import read_yaml
from greffier.config.files import SETTINGS_FILE
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.releases import current_pointer, load_release
from greffier.config.storage_settings import StorageSettings

_MOST_BYTES = 1 << 24


def storage_in_force(paths: WorkspacePaths) -> StorageSettings:
    """The settings of the release in force, or of the workspace's files where there is none.

    Acts must be put on record also while a draft elsewhere in the workspace has mistakes, so only ``storage`` is read.

    Raises:
        ConfigError: They cannot be read. Never a fallback: evidence written to another place is lost.
    """
    if os.path.lexists(current_pointer(paths)):
        return load_release(paths)[0].content.workspace.storage
    try:
        with paths.settings.open("rb") as file:
            text = file.read(_MOST_BYTES).decode()
    except FileNotFoundError:  # no workspace yet: there is nothing that could name a database
        return StorageSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(error)) from error
    document, problems = read_yaml(SETTINGS_FILE, text)
    if document is None or not isinstance(document.value, dict):
        raise _unreadable(problems[0].message if problems else "it is no mapping")
    stated: Any = document.value.get("storage", {})
    try:
        return msgspec.convert(stated, StorageSettings)
    except msgspec.ValidationError as error:
        raise _unreadable(f"storage: {error}") from error


def _unreadable(why: str) -> ConfigError:
    return ConfigError(
        "workspace_invalid", f"{SETTINGS_FILE} cannot be read: {why}", "Run 'greffier config check' and correct it."
    )
