"""Keeps hold of the request that the pipeline had decoded, for what only the surface cares about."""

from collections.abc import Callable
from typing import Generic, TypeVar

from greffier.core.rulings import Allow, Ruling

T = TypeVar("T")


class Remember(Generic[T]):
    """A ``decode`` to hand to the pipeline, which remembers what it returned.

    Attributes:
        request: The decoded request.
    """

    __slots__ = ("_decode", "request")

    request: T

    def __init__(self, decode: Callable[[], Ruling[T]]) -> None:
        self._decode = decode

    def __call__(self) -> Ruling[T]:
        """Decode; called by the pipeline after it knows who is asking."""
        ruling = self._decode()
        if isinstance(ruling, Allow):
            self.request = ruling.value
        return ruling
