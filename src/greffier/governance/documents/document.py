"""A built document: sections of statements, each with the digest of what it describes."""

import hashlib
from typing import Literal

import msgspec

State = Literal["complete", "missing", "stale", "not_applicable"]
FORMAT: Literal["greffier.document/1"] = "greffier.document/1"


class Statement(msgspec.Struct, frozen=True):
    """Something the document says.

    Attributes:
        says: The statement.
        about: What it describes: ``use_case:NAME``, ``deployment:NAME``, ``text:PATH``, ``log:SIZE``...
        digest: SHA-256 of what it describes, hex, when it was built.
    """

    says: str
    about: str
    digest: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a section.

    Attributes:
        state: ``missing``: nothing, or not everything, is said. ``stale``: a text was written for other settings.
        reason: Why it does not apply, or what is missing and where to write it.
    """

    id: str
    article: str
    title: str
    state: State
    reason: str = ""
    statements: tuple[Statement, ...] = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section of the document."""

    id: str
    article: str
    title: str
    parts: tuple[Part, ...]

    @property
    def settled(self) -> bool:
        """Whether everything in it is said, or said not to apply."""
        return all(part.state in {"complete", "not_applicable"} for part in self.parts)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was built.

    Attributes:
        scope: Use case it is about; empty for the whole workspace.
        revision: Digest of the configuration in force.
        signed_by: Whose signature the configuration bore; empty in development mode.
        law: Version of the law's data.
        digest: SHA-256 of everything else, hex.
    """

    format: Literal["greffier.document/1"] = FORMAT
    kind: str
    title: str
    article: str
    source: str
    scope: str
    workspace: str
    built_at: str
    revision: str
    signed_by: str
    law: str
    sections: tuple[Section, ...]
    digest: str = ""

    @property
    def settled(self) -> int:
        """How many sections are complete."""
        return sum(section.settled for section in self.sections)

    def computed_digest(self) -> str:
        """SHA-256 over the canonical JSON of the document without its digest."""
        bare = msgspec.structs.replace(self, digest="")
        return hashlib.sha256(msgspec.json.encode(bare, order="sorted")).hexdigest()
