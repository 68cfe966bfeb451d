"""Read one file of the law: YAML without surprises, into a frozen type that knows no other field."""

from importlib.resources import files
from typing import TypeVar

import msgspec

from greffier.config.documents import read_yaml

T = TypeVar("T")
_MAX_CHARS = 262_144


def read_law(name: str, into: type[T]) -> T:
    """The file of that name in this package.

    Raises:
        ValueError: The file that came with the platform was damaged.
    """
    text = files("greffier.governance.law").joinpath(name).read_text(encoding="utf-8")
    if len(text) > _MAX_CHARS:
        raise ValueError(f"{name} is larger than {_MAX_CHARS} characters")
    document, problems = read_yaml(name, text)
    if document is None or problems:
        raise ValueError(f"{name} cannot be read: {problems}")
    try:
        return msgspec.convert(document.value, into)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name} does not fit: {error}") from error
