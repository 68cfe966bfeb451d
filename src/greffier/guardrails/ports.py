"""The detector port: detectors measure and never act."""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from greffier.core.rulings import Finding

Provenance = Literal["user", "system", "assistant", "document", "tool_output", "tool_call", "output"]
"""Where a text comes from. The same words weigh more in a document or a tool result than typed by the user."""


class Passage(msgspec.Struct, frozen=True):
    """A text to examine.

    Attributes:
        text: As it will be sent on; offsets of findings refer to it (code points).
        provenance: Where it comes from.
        lang: ISO 639-1 code if known, else empty.
    """

    text: str
    provenance: Provenance = "user"
    lang: str = ""


class Measured(msgspec.Struct, frozen=True):
    """What detectors found in one passage.

    Attributes:
        findings: Merged, by position.
        failed: Names of detectors that could not measure.
        scores: Highest score per classifier, below the thresholds too; only where they were asked for.
    """

    findings: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()
    scores: dict[str, float] = {}


class DetectorError(Exception):
    """A detector could not measure. The screen's ``on_unavailable`` decides; silence never counts as clean."""


class Detector(Protocol):
    """Measures one kind of thing in a passage. Cost is linear in the text's length; no I/O unless it says so.

    A detector is built once per snapshot and shared by all requests, so it holds no state between calls.
    """

    @property
    def name(self) -> str:
        """Stable name, as screens refer to it."""
        ...

    @property
    def version(self) -> str:
        """Version of its rules or model; stands in the evidence."""
        ...

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return findings with offsets into ``passage.text``, unordered, possibly overlapping.

        Raises:
            DetectorError: It could not measure.
        """
        ...


@runtime_checkable
class ScoringDetector(Protocol):
    """A detector with a classifier behind it, which can also tell a score that is too low for a finding."""

    def scores(self, passage: Passage) -> dict[str, float]:
        """Return the calibrated score per classifier (``injection``, ``toxicity``...), between 0 and 1.

        Raises:
            DetectorError: It could not measure.
        """
        ...


class OutsideDetector(Protocol):
    """Measures in another process: a guard service, an HTTP detector, a model as judge. Built once per snapshot.

    It is asked about all passages of a request at once, before the rules decide.
    """

    @property
    def name(self) -> str:
        """Stable name, as screens and the record refer to it."""
        ...

    async def measure_all(
        self, screen: str, passages: Sequence[Passage], *, scores: bool = False
    ) -> tuple[Measured, ...]:
        """Measure passages; one answer each, in order.

        Args:
            screen: Name of the screen that asks.
            passages: Not empty.
            scores: Whether classifiers shall tell their scores too.

        Raises:
            DetectorError: It could not measure within its time; nothing is known about any of them.
        """
        ...
