"""What the journal keeps. Frozen, identifier-free skeletons: references, digests, counts and codes, never content.

The bytes that become a Merkle leaf are `canonical` JSON: sorted ASCII keys, no white space, integers only (a subset of
RFC 8785). Fields follow AI Act Art. 12 and docs/reference/events.md, which is generated from these types.

An event type may gain optional fields; a field never changes its meaning. ``v`` counts incompatible changes.
"""

from typing import Literal

import msgspec

from greffier.core.clock import TimeSource
from greffier.core.context import RiskClass

EVENT_VERSION = 1


class RulingLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stage's ruling inside a record."""

    point: str
    verdict: Literal["allow", "deny", "cancelled"]
    rule: str
    us: int = 0
    code: str = ""


class GuardrailLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Findings of one type from one detector, counted; offsets stay out because they would describe content."""

    detector: str
    type: str
    stage: Literal["input", "output"]
    action: str
    count: int
    score_ppm: int
    rule: str = ""


class AttemptLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call to one deployment."""

    deployment: str
    outcome: str
    us: int
    code: str = ""


class PartLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A content part stored apart under a key, with its salted commitment."""

    part: str
    store_id: str
    commit: str
    subject_ref: str = ""


class ReviewLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's decision about a request that a screen held back; ``pending`` while there is none."""

    review: str
    status: Literal["pending", "approved", "rejected", "expired"]
    by: str = ""
    reason: str = ""


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What every event has.

    Attributes:
        id: Unique, time-ordered.
        ts: Milliseconds since the epoch, UTC.
        tenant: Owner of the data; empty for acts on the platform itself.
        request_id: The request it belongs to; empty for acts of people.
        v: Version of the event format.
    """

    id: str
    ts: int
    tenant: str = ""
    request_id: str = ""
    v: int = msgspec.field(default_factory=lambda: EVENT_VERSION)  # a factory, so that it is always written out


class RequestFacts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who asked, for what, under which rules: the skeleton shared by admission and outcome.

    ``ts_src`` is left out while the machine's clock was synchronised.
    """

    actor: str = ""
    actor_type: str = ""
    authn: str = ""
    credential: str = ""
    roles: tuple[str, ...] = ()
    surface: str = ""
    action: str = ""
    use_case: str = ""
    use_case_digest: str = ""
    risk_class: RiskClass | None = None
    purpose: str = ""
    lawful_basis: str = ""
    bundle: str = ""
    release: str = ""
    policy_rules: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    prompt: str = ""
    prompt_digest: str = ""
    model: str = ""
    deployment: str = ""
    provider: str = ""
    region: str = ""
    why: str = ""
    stream: bool = False
    params_digest: str = ""
    end_user_ref: str = ""
    correlation_id: str = ""
    trace_id: str = ""
    peer: str = ""
    data_classes: tuple[str, ...] = ()
    review: ReviewLine | None = None
    ts_src: TimeSource = "synchronised"


class Admission(Event, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", tag="admission"):
    """Durable before the prompt leaves for a model: the request was let through every stage so far."""

    facts: RequestFacts
    rulings: tuple[RulingLine, ...] = ()
    guardrails: tuple[GuardrailLine, ...] = ()
    parts: tuple[PartLine, ...] = ()
    reserved_tokens: int = 0
    reserved_micro: int = 0


class Outcome(Event, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", tag="outcome"):
    """Durable before the last byte of the answer leaves: what became of the request.

    ``facts`` is present when no admission precedes it (the request was refused on the way in).
    """

    outcome: Literal["answered", "denied", "failed", "cancelled"]
    code: str = ""
    rule: str = ""
    facts: RequestFacts | None = None
    rulings: tuple[RulingLine, ...] = ()
    guardrails: tuple[GuardrailLine, ...] = ()
    attempts: tuple[AttemptLine, ...] = ()
    parts: tuple[PartLine, ...] = ()
    deployment: str = ""
    response_model: str = ""
    finish_reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    tokens_estimated: bool = False
    cost_micro: int = 0
    charged_micro: int | None = None
    output_chars: int = 0
    output_commit: str = ""
    ai_marked: bool = True
    latency_us: int = 0
    first_token_us: int = 0
    overhead_us: int = 0


class Act(Event, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", tag="act"):
    """An act of a person or of the platform: key created, audit read, snapshot activated, start, stop.

    ``action`` is ``noun.verb``; ``details`` holds references and digests only.
    """

    action: str
    actor: str
    target: str = ""
    reason: str = ""
    details: dict[str, str | int | bool] = {}


class Feedback(Event, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", tag="feedback"):
    """A verdict of a user on an answer; the comment, if any, is a content part."""

    actor: str
    use_case: str
    rating: int | None = None
    outcome: str = ""
    edited: bool = False
    reason: str = ""
    parts: tuple[PartLine, ...] = ()


AnyEvent = Admission | Outcome | Act | Feedback

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(AnyEvent)


def canonical(event: AnyEvent) -> bytes:
    """The bytes of an event that enter the Merkle log (RFC 8785 subset: sorted ASCII keys, integers, no floats)."""
    return _ENCODER.encode(event)


def parse(data: bytes) -> AnyEvent:
    """Read canonical bytes back.

    Raises:
        msgspec.DecodeError: The bytes are not an event.
    """
    event: AnyEvent = _DECODER.decode(data)
    return event
