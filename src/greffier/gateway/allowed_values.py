"""What a field of a request may say, read from the types that decode it: msgspec's message names only what was sent."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from msgspec import inspect

_STEP = re.compile(r"\[[^\]]*\]|[^.\[]+")


@lru_cache(maxsize=256)
def allowed_values(kind: Any, path: str) -> tuple[str, ...]:
    """The values that a field of a fixed choice may have; empty where it is no such field.

    Args:
        kind: The type of the whole body.
        path: Where the field is, as msgspec says it without the root: ``messages[0].role``.
    """
    steps = _STEP.findall(path)
    here: list[inspect.Type] = [inspect.type_info(kind)]
    for position, step in enumerate(steps):
        members = list(_members(here))
        tags = [str(m.tag) for m in members if isinstance(m, inspect.StructType) and m.tag_field == step]
        if tags and position == len(steps) - 1:
            return tuple(dict.fromkeys(tags))
        here = list(_inside(members, step))
    values = [value for member in _members(here) if isinstance(member, inspect.LiteralType) for value in member.values]
    return tuple(dict.fromkeys(str(value) for value in values))


def _members(kinds: Iterable[inspect.Type]) -> Iterator[inspect.Type]:
    """The types themselves, without what only wraps them."""
    for kind in kinds:
        if isinstance(kind, inspect.Metadata):
            yield from _members((kind.type,))
        elif isinstance(kind, inspect.UnionType):
            yield from _members(kind.types)
        else:
            yield kind


def _inside(kinds: Iterable[inspect.Type], step: str) -> Iterator[inspect.Type]:
    """The types one step further."""
    for kind in kinds:
        if isinstance(kind, inspect.StructType):
            yield from (field.type for field in kind.fields if field.encode_name == step)
        elif step.startswith("[") and isinstance(kind, inspect.CollectionType):
            yield kind.item_type
        elif step.startswith("[") and isinstance(kind, inspect.DictType):
            yield kind.value_type
