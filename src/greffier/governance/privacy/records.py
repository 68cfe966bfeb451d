"""The case objects of data protection. References and digests only: who a person is never stands in them."""

from typing import Any, Literal

import msgspec

from greffier.policy.standing import Kind

RequestType = Literal["access", "rectify", "erase", "restrict", "port", "object", "contest"]
RequestState = Literal["open", "identified", "running", "done", "refused"]


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger of consents, objections and restrictions. Lines are added, never changed.

    Attributes:
        number: Grows with every line.
        subject: Keyed reference of the person.
        purpose: The purpose it is about; empty for every purpose.
        active: Entered or given; False when lifted or withdrawn.
        actor: Who entered it.
        channel: How the person said it: ``letter``, ``portal``...
        text_version: Version of the text they were shown (Art. 7(1)); empty for objections.
        proof: Reference or digest of what proves it.
        origin: The request that keeps it up; empty for the ledger itself.
    """

    number: int = 0
    tenant: str
    subject: str
    purpose: str
    kind: Kind
    active: bool
    at_ms: int
    actor: str
    channel: str = ""
    text_version: str = ""
    proof: str = ""
    reason: str = ""
    origin: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold: what it covers is not deleted until it ends. Empty fields cover everything of that kind.

    It protects at once; unless a second person approves it in time, it lapses. It always ends.
    """

    id: str
    tenant: str
    subject: str = ""
    use_case: str = ""
    request_id: str = ""
    reason: str
    placed_by: str
    placed_ms: int
    approve_by_ms: int
    expires_ms: int
    approved_by: str | None = None
    approved_ms: int | None = None
    release_asked_by: str | None = None
    released_by: str | None = None
    released_ms: int | None = None

    def active(self, now_ms: int) -> bool:
        """Whether it protects now."""
        if self.released_ms is not None or now_ms >= self.expires_ms:
            return False
        return self.approved_ms is not None or now_ms < self.approve_by_ms

    def covers(self, tenant: str, subject: str, use_case: str, request_id: str) -> bool:
        """Whether it is about this piece of data."""
        return (
            self.tenant == tenant
            and self.subject in ("", subject)
            and self.use_case in ("", use_case)
            and self.request_id in ("", request_id)
        )


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """A request to see the content of one answer; it needs a second person."""

    id: str
    request_id: str
    reason: str
    requested_by: str
    requested_ms: int
    expires_ms: int
    approved_by: str | None = None
    approved_ms: int | None = None


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of a request did."""

    name: str
    at_ms: int
    result: dict[str, Any] = {}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient of the person's data is told (GDPR Art. 19), until it was told.

    Attributes:
        id: Equal for repeated deliveries, so that the recipient can drop them.
        recipient: Key in the workspace's register; empty for one that is not in it.
        name: Of the recipient, as it stands in documents.
        how: By which transport; ``hand`` leaves it to a person.
        state: ``impossible`` also stands for disproportionate effort (Art. 19, first sentence).
        requests: Answers that the data went to the recipient with; forgotten once it was told.
        attempts: Deliveries that failed.
        next_ms: When it is tried again.
        error: Why the last delivery failed.
        done_ms: When it was told, or given up with a reason.
        by: Who told it, or gave it up.
        reason: How it was told by hand, or why it cannot be told.
        digest: SHA-256 of what was sent, hex; the log holds it too.
    """

    id: str
    recipient: str = ""
    name: str
    how: Literal["webhook", "mail", "hand"]
    state: Literal["queued", "told", "impossible"] = "queued"
    queued_ms: int
    requests: tuple[str, ...] = ()
    attempts: int = 0
    next_ms: int = 0
    error: str = ""
    done_ms: int | None = None
    by: str = ""
    reason: str = ""
    digest: str = ""


class SubjectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a data subject (GDPR Art. 12, 15-22).

    Attributes:
        refs: Keyed references of the person, confirmed by the operator; emptied once an erasure is done.
        parts: Content parts of others in which the person occurs, confirmed by the operator.
        purpose: The purpose an objection or restriction is about; empty for all.
        identity_check: How it was established that the person is who they say; empty while it was not.
        due_ms: When it must be answered.
        law: Version of the law's data by which ``due_ms`` was computed.
        exceptions: Grounds for not doing all of it, each ``article: reason``.
        kept: Requests whose content an exception keeps from erasure.
        steps: What was done, in order.
        outcome: The certificate or answer, once there is one.
        notices: What recipients are told; goes on after the request is done.
    """

    id: str
    type: RequestType
    tenant: str
    state: RequestState
    received_ms: int
    due_ms: int
    law: str
    opened_by: str
    refs: tuple[str, ...]
    parts: tuple[str, ...] = ()
    purpose: str = ""
    identity_check: str = ""
    identified_by: str = ""
    extended_reason: str = ""
    extended_ms: int | None = None
    exceptions: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    refused_reason: str = ""
    steps: tuple[StepResult, ...] = ()
    outcome: dict[str, Any] = {}
    notices: tuple[Notice, ...] = ()


class Tombstone(msgspec.Struct, frozen=True):
    """One line of the ledger of erasures: enough to erase again, not enough to learn whom.

    Attributes:
        number: Grows with every line.
        kind: What was erased: everything of a ``subject``, or one content ``part``.
        mark: HMAC of what was erased, under the ledger's own key.
        request: The request it was erased for.
    """

    number: int
    at_ms: int
    kind: Literal["subject", "part"]
    tenant: str
    mark: str
    request: str
