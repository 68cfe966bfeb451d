"""Building nested events from flat attributes."""

from typing import Any


def plain(value: Any) -> Any:
    """An attribute of an entry as JSON has it: pairs become an object."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return dict(value)
    return value


def put(event: dict[str, Any], path: str, value: Any) -> None:
    """Set a value at a dotted path; empty text, empty lists and None leave no trace."""
    if value is None or value in ("", (), [], {}):
        return
    *parents, last = path.split(".")
    for name in parents:
        event = event.setdefault(name, {})
    event[last] = value
