"""Views of a text as a reader or model would decode it, each with the way back to the original offsets."""

from collections.abc import Callable

from greffier.core.rulings import Finding


class View:
    """A decoded text.

    Attributes:
        name: What was undone (``base64``, ``leet``...).
        text: The decoded text.
        origin: Maps a span of ``text`` to the span of the original that carries it.
    """

    __slots__ = ("name", "origin", "text")

    def __init__(self, name: str, text: str, origin: Callable[[int, int], tuple[int, int]]) -> None:
        self.name = name
        self.text = text
        self.origin = origin


def views(_text: str) -> tuple[tuple[View, ...], tuple[Finding, ...]]:
    """Return the views worth examining, and findings about hidden characters."""
    return (), ()
