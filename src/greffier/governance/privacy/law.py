"""Read the data-protection law the platform computes with."""

from functools import cache
from importlib.resources import files

import msgspec

from greffier.config.documents import read_yaml


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number of months, and where it stands."""

    months: int
    article: str
    told_within_months: int = 0


class Computation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How periods are counted."""

    article: str
    note: str


class Deadlines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Periods of Art. 12(3)."""

    answer: Period
    extension: Period
    computation: Computation


class RequestLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A right, and the grounds on which it may be denied in part."""

    article: str
    title: str
    exceptions: dict[str, str]


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A least time of storage, and where it stands."""

    days: int
    article: str


class Law(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``governance/law/gdpr.yaml``."""

    version: str
    regulation: str
    source: str
    verified_on: str
    pending: str
    deadlines: Deadlines
    requests: dict[str, RequestLaw]
    refusals: dict[str, str]
    access_items: dict[str, str]
    processing_record: dict[str, str]
    retained: dict[str, str]
    floors: dict[str, Floor]
    inside_eea: frozenset[str]

    @property
    def citation(self) -> str:
        """Version and source, as they stand on what was computed from it."""
        return f"{self.regulation}, data of {self.version}"


@cache
def law() -> Law:
    """The law in force here.

    Raises:
        ValueError: The file that came with the platform was damaged.
    """
    text = files("greffier.governance.law").joinpath("gdpr.yaml").read_text(encoding="utf-8")
    document, problems = read_yaml("gdpr.yaml", text)
    if document is None or problems:
        raise ValueError(f"gdpr.yaml cannot be read: {problems}")
    return msgspec.convert(document.value, Law)
