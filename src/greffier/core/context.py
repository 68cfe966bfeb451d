"""What is known about a request, gathered stage by stage; each type is what the stage that learned it returns."""

from typing import Literal

import msgspec

from greffier.core.deployment import Deployment


class Credential(msgspec.Struct, frozen=True):
    """A secret as it arrived. Never logged: its ``repr`` shows the scheme only."""

    scheme: Literal["bearer", "api_key"]
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.scheme})"


Surface = Literal[
    "chat_completions",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "models",
    "guardrails",
    "moderations",
    "feedback",
    "reviews",
    "admin",
]


class Arrival(msgspec.Struct, frozen=True):
    """A request as it came in: nothing in it is trusted.

    Attributes:
        request_id: Ours, generated; returned as ``x-request-id``.
        surface: Which endpoint.
        credential: What the caller offered, if anything.
        peer: Network address of the caller.
        received_ms: Wall clock, milliseconds since the epoch.
        started: Monotonic clock, seconds.
        correlation_id: The caller's own ``x-request-id``, bounded and printable; kept apart from ours.
        traceparent: W3C trace context header, if valid.
        retry_count: From ``x-stainless-retry-count``.
        review: From ``x-greffier-review``: the review that is said to have approved this request, bounded; unverified.
    """

    request_id: str
    surface: Surface
    credential: Credential | None
    peer: str
    received_ms: int
    started: float
    correlation_id: str = ""
    traceparent: str = ""
    retry_count: int = 0
    review: str = ""


class Principal(msgspec.Struct, frozen=True):
    """Who is asking.

    Attributes:
        ref: Stable pseudonymous reference, free of direct identifiers (``key:KEYID``, ``sub:HMAC``).
        type: Kind of actor.
        authn: How it was authenticated.
        credential_id: The key id or the token's client; limits per key count on it.
        groups: Groups, from the key or from mapped claims.
        roles: Roles, likewise.
        attributes: Further attributes that policy rules may read.
    """

    ref: str
    type: Literal["user", "service", "agent"]
    authn: Literal["api_key", "oidc", "mtls", "saml"]
    credential_id: str
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    attributes: dict[str, str] = {}


class RequestContext(msgspec.Struct, frozen=True):
    """An authenticated request. Only `identity` builds one.

    Attributes:
        request_id: As in `Arrival`.
        surface: As in `Arrival`.
        principal: Who.
        tenant: On whose behalf; part of every key and inside every query.
        use_case: The governed use case the credential belongs to.
        purpose: Purpose claimed by the credential, or None to take the use case's own.
        received_ms: Wall clock.
        started: Monotonic clock.
    """

    request_id: str
    surface: Surface
    principal: Principal
    tenant: str
    use_case: str
    purpose: str | None
    received_ms: int
    started: float


class Ask(msgspec.Struct, frozen=True):
    """What the caller wants to do, in the words policy rules use.

    Attributes:
        action: ``chat``, ``embed``, ``list_models``, ``check``, ``feedback``.
        model: Model name asked for; empty takes the use case's default.
        modalities: Kinds of content in the request besides text: ``image``, ``audio``, ``file``.
        tools: Whether the request offers tools to the model.
        stream: Whether the answer is streamed.
        subject: Keyed reference of the end user the caller names; empty for none.
    """

    action: str
    model: str = ""
    modalities: tuple[str, ...] = ()
    tools: bool = False
    stream: bool = False
    subject: str = ""


RiskClass = Literal["minimal", "limited", "high"]
RISK_CLASSES: tuple[RiskClass, ...] = ("high", "limited", "minimal")


class Obligations(msgspec.Struct, frozen=True):
    """What must hold for the rest of the request, retries, fallbacks, caches and shadow traffic included.

    Attributes:
        on_premises_only: Only deployments on our own machines may see the request.
        regions: Regions a deployment must lie in; empty means any.
        human_approval: A person must approve before the call.
        logging: ``standard`` or ``full`` (content captured under keys).
    """

    on_premises_only: bool = False
    regions: tuple[str, ...] = ()
    human_approval: bool = False
    logging: Literal["standard", "full"] = "standard"


class Grant(msgspec.Struct, frozen=True):
    """What policy allows, under which obligations.

    Attributes:
        tenant: Owner of the data.
        use_case: Identifier of the use case.
        use_case_digest: Digest of the use case as approved.
        purpose: The purpose in force.
        lawful_basis: GDPR article, for example ``6(1)(b)``.
        risk_class: AI Act risk class; decides what happens when evidence or a guardrail is unavailable.
        model: Model name after the default was applied.
        data_classes: Data classes the use case may process.
        screen: Name of the guardrail screen that applies.
        prompt: Name of the use case's prompt; empty for none.
        capture: Whether content is kept under keys.
        obligations: What binds the rest of the request.
        rules: Identifiers of the policy rules that allowed it.
        subject: Whose personal data this is, as a keyed reference: the end user, or else the person who is asking.
    """

    tenant: str
    use_case: str
    use_case_digest: str
    purpose: str
    lawful_basis: str
    risk_class: RiskClass
    model: str
    data_classes: tuple[str, ...]
    screen: str
    prompt: str = ""
    capture: bool = False
    obligations: Obligations = Obligations()
    rules: tuple[str, ...] = ()
    subject: str = ""


class Route(msgspec.Struct, frozen=True):
    """Which deployments may answer, best first, and why.

    Attributes:
        model: Model name asked for.
        candidates: Permitted deployments: the choice first, then its fallbacks in order.
        why: One sentence for the record and for ``x-greffier-route``.
        attempts: Most calls to make in all, retries included.
        excluded: Deployments left out, with the reason (``name``, ``reason``).
    """

    model: str
    candidates: tuple[Deployment, ...]
    why: str
    attempts: int = 3
    excluded: tuple[tuple[str, str], ...] = ()
