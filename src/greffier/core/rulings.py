"""What a stage answers: `Allow` with the value it let through, or `Deny` with a rule a person can look up."""

from typing import Generic, TypeVar

import msgspec

from greffier.core.errors import REFUSALS, Code

T = TypeVar("T")

LIKELY = 0.5
"""Score from which a detector says that it found something; below, it only says how near a text came."""


class Finding(msgspec.Struct, frozen=True):
    """What a detector measured, without the text it measured.

    Attributes:
        detector: Name of the detector.
        type: What was found (``EMAIL``, ``CREDIT_CARD``, ``prompt_injection``...); research/guardrails section 4.
        start: First code point of the span, in the text that was screened.
        end: One past the last code point.
        score: Confidence between 0 and 1.
        rule: Rule or signature inside the detector, for the explanation.
        action: What the screen did about it (``flag``, ``redact``...); empty while only measured.
        where: Which text: ``input``, ``output``, ``system``, ``tool_output``, ``tool_call``.
        data_class: Data class the finding implies (``personal``, ``special_category``...); empty for none.
        view: ``raw``, or the decoding under which the span was seen (``base64``, ``leet``...).
    """

    detector: str
    type: str
    start: int
    end: int
    score: float
    rule: str = ""
    action: str = ""
    where: str = "input"
    data_class: str = ""
    view: str = "raw"

    @property
    def counts(self) -> bool:
        """Whether it is worth a record: somebody acted on it, or its detector means it."""
        return bool(self.action) or self.score >= LIKELY


class Allow(msgspec.Struct, Generic[T], frozen=True):
    """The stage lets the request through.

    Attributes:
        value: What the next stage takes as its argument.
        rule: Identifier of the rule that allowed it.
        findings: What was measured on the way.
    """

    value: T
    rule: str = "default"
    findings: tuple[Finding, ...] = ()


class Deny(msgspec.Struct, frozen=True):
    """The stage refuses.

    Attributes:
        code: Stable error code; status and retry follow from it.
        rule: Identifier of the rule that refused, which a person can look up in the workspace.
        reason: One sentence for the caller; never holds content or secrets.
        remedy: What to do; empty means the catalogue's remedy.
        findings: What was measured on the way.
        retry_after_s: Seconds after which a retry may succeed, if known.
        param: Request field at fault, if one is.
        final: The same request can never succeed, even where its code says that a retry may.
    """

    code: Code
    rule: str
    reason: str
    remedy: str = ""
    findings: tuple[Finding, ...] = ()
    retry_after_s: float | None = None
    param: str | None = None
    final: bool = False

    @property
    def advice(self) -> str:
        """The remedy to show: the ruling's own, or the catalogue's."""
        return self.remedy or REFUSALS[self.code].remedy


Ruling = Allow[T] | Deny


class Refused(Exception):  # noqa: N818 - it is a verdict that travels, not an error in the program
    """Carries a `Deny` out of the pipeline to the surface that renders it.

    Attributes:
        ruling: What was refused, and why.
        headers: Response headers that go with it (``x-ratelimit-*``, ``x-greffier-*``).
    """

    def __init__(self, ruling: Deny, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{ruling.code}: {ruling.reason}")
        self.ruling = ruling
        self.headers = headers
