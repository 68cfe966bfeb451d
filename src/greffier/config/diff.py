"""What differs between two bundles, setting by setting."""

import difflib
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from greffier.config.bundle import Bundle, explicit

Kind = Literal["added", "removed", "changed"]
_MISSING = object()


class Change(msgspec.Struct, frozen=True):
    """One difference.

    Attributes:
        kind: What happened to the setting.
        path: Where, as in ``use_cases.claims.models[0]``; rules are named by their id.
        before: The old value; None when added.
        after: The new value; None when removed.
        lines: For texts of several lines, a unified diff.
    """

    kind: Kind
    path: str
    before: Any = None
    after: Any = None
    lines: tuple[str, ...] = ()


def diff(before: Bundle, after: Bundle) -> list[Change]:
    """Return what changed from one bundle to another, in a stable order; empty when they are the same."""
    return list(_changes("", _comparable(explicit(before.content)), _comparable(explicit(after.content))))


def _comparable(value: Any) -> Any:
    """Key every list of things with ids by these ids, so that one inserted rule is one change; keep the order apart."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_comparable(item) for item in value]
        ids = [item["id"] for item in items if isinstance(item, dict) and "id" in item]
        if items and len(ids) == len(items) == len(set(ids)):
            return {"order": ids, **{f"[{item['id']}]": item for item in items}}
        return items
    return value


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if before is _MISSING:
        yield Change("added", path, after=_plain(after))
    elif after is _MISSING:
        yield Change("removed", path, before=_plain(before))
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key == "order" and not _reordered(before, after):
                continue
            step = key if key.startswith("[") else f".{key}"
            yield from _changes(f"{path}{step}".removeprefix("."), before.get(key, _MISSING), after.get(key, _MISSING))
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        lines = difflib.unified_diff(before.split("\n"), after.split("\n"), "before", "after", lineterm="", n=2)
        yield Change("changed", path, before, after, tuple(lines)[2:])
    else:
        yield Change("changed", path, _plain(before), _plain(after))


def _reordered(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether things present on both sides changed places; insertions and removals are told on their own."""
    old, new = before.get("order"), after.get("order")
    if not isinstance(old, list) or not isinstance(new, list):
        return True  # a setting that happens to be called "order"
    return [name for name in old if name in new] != [name for name in new if name in old]


def _plain(value: Any) -> Any:
    """Undo `_comparable`."""
    if isinstance(value, dict):
        keyed = [item for key, item in value.items() if key.startswith("[")]
        if keyed:
            return [_plain(item) for item in keyed]
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
