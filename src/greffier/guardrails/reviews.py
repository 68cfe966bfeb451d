"""Reviews: a person decides about a request that a screen held back.

The review knows the request by digest only; what it said lies encrypted in the content store. An approval is for
exactly that request of exactly that caller, once, and until it expires.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from greffier.core.chat import ChatRequest
from greffier.core.rulings import Finding
from greffier.guardrails.conversation import rewrite_request
from greffier.guardrails.ports import Provenance

Status = Literal["pending", "approved", "rejected", "expired"]
_ENCODER = msgspec.json.Encoder(order="sorted")


class FoundLine(msgspec.Struct, frozen=True):
    """Findings of one type by one rule, counted, as a reviewer sees them."""

    type: str
    rule: str
    action: str
    count: int
    score: float


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A review.

    Attributes:
        id: ``rev_...``.
        tenant: Owner of the data.
        use_case: The governed use case.
        principal: Who asked, as a pseudonymous reference.
        request_id: The request that opened it.
        digest: SHA-256 of the request with tenant, use case and principal, hex.
        rule: The screen's rule that escalated.
        code: ``escalated`` or ``approval_required``.
        opened_ms: When.
        deadline_ms: An undecided review has expired from then on.
        valid_ms: How long an approval lasts.
        found: What the screen found.
        parts: Store ids of ``input`` (the whole request) and ``preview`` (redacted).
        decision: ``approved`` or ``rejected``; empty while undecided.
        decided_by: Who decided.
        decided_ms: When; 0 while undecided.
        reason: Why.
        used_by: The request that used the approval.
    """

    id: str
    tenant: str
    use_case: str
    principal: str
    request_id: str
    digest: str
    rule: str
    code: str
    opened_ms: int
    deadline_ms: int
    valid_ms: int
    found: tuple[FoundLine, ...] = ()
    parts: dict[str, str] = {}
    decision: Literal["", "approved", "rejected"] = ""
    decided_by: str = ""
    decided_ms: int = 0
    reason: str = ""
    used_by: str = ""

    def status(self, now_ms: int) -> Status:
        """What became of it; an approval that nobody used in time has expired too."""
        if self.decision == "rejected":
            return "rejected"
        if self.decision == "approved":
            return "approved" if self.used_by or now_ms < self.decided_ms + self.valid_ms else "expired"
        return "pending" if now_ms < self.deadline_ms else "expired"


class ReviewNotFound(Exception):  # noqa: N818 - named for the condition
    """There is no such review."""


class ReviewConflict(Exception):  # noqa: N818 - named for the condition
    """The review cannot be decided, or used, like this; the message says why."""


class ReviewsUnavailable(Exception):  # noqa: N818 - named for the condition
    """The reviews cannot be read or written."""


class ReviewStore(Protocol):
    """Keeps reviews. Synchronous; callers on an event loop use a thread. Every method raises `ReviewsUnavailable`."""

    def open(self, review: Review) -> None:
        """Keep a new review."""
        ...

    def get(self, review_id: str) -> Review:
        """One review.

        Raises:
            ReviewNotFound: There is none.
        """
        ...

    def those(self, review_ids: Sequence[str]) -> tuple[Review, ...]:
        """Several reviews in one question, in no order; those that are not there are left out."""
        ...

    def list(self, *, undecided: bool = False) -> tuple[Review, ...]:
        """All reviews, oldest first."""
        ...

    def decide(
        self, review_id: str, decision: Literal["approved", "rejected"], *, by: str, reason: str, now_ms: int
    ) -> Review:
        """Decide a review that is pending.

        Raises:
            ReviewNotFound: There is none.
            ReviewConflict: It was decided, it expired, or the reviewer is the one who asked.
        """
        ...

    def use(self, review_id: str, digest: str, *, request_id: str, now_ms: int) -> Review:
        """Use an approval, once.

        Raises:
            ReviewNotFound: There is none.
            ReviewConflict: It is not approved (any more), was used, or was given for something else.
        """
        ...


def digest_of(tenant: str, use_case: str, principal: str, request: ChatRequest) -> str:
    """What an approval is bound to: the exact request, and who asks it for what."""
    return hashlib.sha256(_ENCODER.encode([tenant, use_case, principal, request])).hexdigest()


def found_lines(findings: Sequence[Finding]) -> tuple[FoundLine, ...]:
    """Findings for the reviewer, those that a rule acted on first."""
    lines: dict[tuple[str, str, str], FoundLine] = {}
    for finding in findings:
        key = (finding.type, finding.rule, finding.action)
        old = lines.get(key)
        count = old.count + 1 if old else 1
        score = max(old.score, finding.score) if old else finding.score
        lines[key] = FoundLine(*key, count, round(score, 3))
    return tuple(sorted(lines.values(), key=lambda line: (not line.action, -line.score, line.type)))


def preview_of(request: ChatRequest, mask: "Mask", *, longest: int = 4000) -> str:
    """The conversation with everything that was found in it replaced by its type: enough to judge most cases by."""
    lines: list[str] = []

    def add(text: str, provenance: Provenance) -> str:
        lines.append(f"{provenance}: {mask(text, provenance)}")
        return text

    rewrite_request(request, add)
    text = "\n".join(lines)
    return text if len(text) <= longest else text[:longest] + " [...]"


class Mask(Protocol):
    """Hides in a text what was found in it."""

    def __call__(self, text: str, provenance: Provenance) -> str:
        """The text with every entity replaced by its type."""
        ...
