"""What each document must say (``governance/law/documents.yaml``)."""

from collections.abc import Iterator
from functools import cache
from typing import Literal

import msgspec

from greffier.governance.law.reading import read_law


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the document is kept."""

    years: int
    article: str


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing the law asks for.

    Attributes:
        live: Names of the facts that are taken from what runs.
        text: Whether a person must write something too.
        attached: Pattern of the name of a file that must be attached, where the law asks for the thing itself.
    """

    id: str
    article: str
    title: str
    live: tuple[str, ...] = ()
    text: Literal["none", "required"] = "none"
    attached: str = ""


class SectionLaw(Item, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section: one item, or several."""

    items: tuple[Item, ...] = ()

    def parts(self) -> tuple[Item, ...]:
        """The items of the section; itself, where it has none."""
        return self.items or (self,)


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A document."""

    title: str
    scope: Literal["workspace", "use_case"]
    article: str
    source: str
    verified_on: str
    mark: Literal["verified", "secondary"]
    dates: dict[str, str]
    keep: Keep | None = None
    sections: tuple[SectionLaw, ...]

    def items(self) -> Iterator[Item]:
        """All items, in order."""
        for section in self.sections:
            yield from section.parts()


class DocumentLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All documents."""

    version: str
    kinds: dict[str, Kind]


@cache
def document_law() -> DocumentLaw:
    """The law in force here.

    Raises:
        ValueError: The file that came with the platform was damaged.
    """
    return read_law("documents.yaml", DocumentLaw)
