"""Names that must exist elsewhere in the workspace, and references to the environment."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from greffier.config.problems import Path, Problem, did_you_mean, quoted
from greffier.config.workspace import Located, Sources

_CREDENTIAL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*@")
_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


def exists(
    place: Located[Any], path: Path, what: str, name: str, known: Collection[str], *, at_key: bool = False
) -> Iterator[Problem]:
    """Complain when a name is not among the known ones."""
    if name not in known:
        message = f"There is no {what} {quoted(name)}."
        yield place.problem(path, "unknown_reference", message, did_you_mean(name, known), at_key=at_key)


def all_exist(
    place: Located[Any], path: Path, what: str, names: Collection[str], known: Collection[str]
) -> Iterator[Problem]:
    """Complain about every name of a list that is not among the known ones."""
    for index, name in enumerate(names):
        yield from exists(place, (*path, index), what, name, known)


def known_models(sources: Sources) -> Collection[str] | None:
    """Names of models; None when a file in ``models/`` could not be read, so that nobody can say."""
    return None if "models" in sources.incomplete else sources.models


def environment(place: Located[Any], path: Path, value: str | None) -> Iterator[Problem]:
    """Complain about a value that begins like a reference to the environment and is none, or holds a credential."""
    if value is not None and _CREDENTIAL.match(value):
        yield place.problem(
            path,
            "plain_secret",
            "The address holds a user name or a password.",
            "Write env:NAME here and put the whole address into that environment variable.",
        )
    if value is not None and value.lower().startswith("env:") and not _ENV.fullmatch(value):
        yield place.problem(
            path,
            "wrong_reference",
            f"Expected env: and the name of an environment variable, got {quoted(value)}.",
            "Names have letters, digits and '_' only, as in env:EXTERNAL_BASE_URL.",
        )
