"""Trying policies out: cases with an expected verdict, as authors keep them beside their rules."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greffier.core.clock import Clock, SystemClock
from greffier.core.context import Ask, Grant, Principal, RequestContext, Surface
from greffier.core.rulings import Deny, Ruling
from greffier.core.settings import Identifier, Settings
from greffier.policy.decide import Explanation, PolicyDecisionPoint
from greffier.policy.settings import Modality, RuleSettings, UseCaseSettings

_SURFACES: dict[str, Surface] = {
    "chat": "chat_completions",
    "embed": "embeddings",
    "list_models": "models",
    "check": "guardrails",
    "feedback": "feedback",
}


class Trial(Settings, frozen=True, kw_only=True):
    """A request to decide. ``tenant`` and ``purpose`` are the use case's own unless stated; ``at`` is ISO 8601."""

    use_case: Identifier
    action: str = "chat"
    model: str = ""
    tenant: Identifier | None = None
    purpose: str | None = None
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    type: Literal["user", "service", "agent"] = "service"
    authn: Literal["api_key", "oidc", "mtls", "saml"] = "api_key"
    modalities: tuple[Modality, ...] = ()
    tools: bool = False
    at: str | None = None


class PolicyCase(Trial, frozen=True, kw_only=True):
    """A trial with its expected end. ``code`` and ``rule`` are compared when stated, and so are the obligations."""

    name: str
    expect: Literal["allow", "deny"]
    code: str | None = None
    rule: str | None = None
    on_premises_only: bool | None = None
    regions: tuple[str, ...] | None = None
    screen: str | None = None


class PolicyTestFile(Settings, frozen=True, kw_only=True):
    """A file in ``policies/tests/``."""

    cases: Annotated[tuple[PolicyCase, ...], Meta(min_length=1)]


class CaseResult(msgspec.Struct, frozen=True):
    """How a case ended.

    Attributes:
        case: The case.
        ruling: What policy said.
        failures: How that differs from what was expected, a sentence each; empty when the case passed.
    """

    case: PolicyCase
    ruling: Ruling[Grant]
    failures: tuple[str, ...]


class _Stopped:
    """A clock that shows the time a trial states, or else the real one."""

    def __init__(self) -> None:
        self._real: Clock = SystemClock()
        self.at_ms: int | None = None

    def wall_ms(self) -> int:
        return self._real.wall_ms() if self.at_ms is None else self.at_ms

    def monotonic(self) -> float:
        return self._real.monotonic()


class PolicyTrials:
    """Decides trials against a workspace's use cases and rules, by the same code as the gateway."""

    def __init__(
        self,
        use_cases: Mapping[str, UseCaseSettings],
        use_case_digests: Mapping[str, str],
        rules: Iterable[RuleSettings],
        models: Collection[str],
    ) -> None:
        """Compile.

        Raises:
            PolicyMistake: A rule cannot mean what it says.
        """
        self._use_cases = use_cases
        self._clock = _Stopped()
        self._policy = PolicyDecisionPoint(use_cases, use_case_digests, rules, models, self._clock)

    def explain(self, trial: Trial) -> Explanation:
        """Decide and show why.

        Raises:
            ValueError: ``at`` is no instant with a time zone.
        """
        self._clock.at_ms = None if trial.at is None else _instant_ms(trial.at)
        ask = Ask(trial.action, trial.model, trial.modalities, trial.tools)
        return self._policy.explain(self._context(trial), ask)

    def run(self, case: PolicyCase) -> CaseResult:
        """Decide a case and compare.

        Raises:
            ValueError: ``at`` is no instant with a time zone.
        """
        ruling = self.explain(case).ruling
        return CaseResult(case, ruling, tuple(_failures(case, ruling)))

    def _context(self, trial: Trial) -> RequestContext:
        use_case = self._use_cases.get(trial.use_case)
        own = "" if use_case is None else use_case.tenant
        principal = Principal(
            ref="trial:principal",
            type=trial.type,
            authn=trial.authn,
            credential_id="trial",
            groups=trial.groups,
            roles=trial.roles,
            attributes=trial.attributes,
        )
        return RequestContext(
            request_id="trial",
            surface=_SURFACES.get(trial.action, "admin"),
            principal=principal,
            tenant=own if trial.tenant is None else trial.tenant,
            use_case=trial.use_case,
            purpose=trial.purpose,
            received_ms=self._clock.wall_ms(),
            started=0.0,
        )


def _instant_ms(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time; write one such as 2026-11-24T09:30:00+01:00") from error
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} lacks a time zone; write +00:00, Z or another offset after it")
    return int(instant.timestamp() * 1000)


def _failures(case: PolicyCase, ruling: Ruling[Grant]) -> Iterable[str]:
    if isinstance(ruling, Deny):
        if case.expect == "allow":
            yield f"refused by {ruling.rule} ({ruling.code}): {ruling.reason}"
            return
        if case.code is not None and case.code != ruling.code:
            yield f"refused with {ruling.code}, not {case.code}"
        if case.rule is not None and case.rule != ruling.rule:
            yield f"refused by {ruling.rule}, not by {case.rule}"
        return
    grant = ruling.value
    if case.expect == "deny":
        yield f"allowed by {', '.join(grant.rules)}"
        return
    if case.rule is not None and case.rule not in grant.rules:
        yield f"allowed by {', '.join(grant.rules)}, not by {case.rule}"
    found = {
        "on_premises_only": (case.on_premises_only, grant.obligations.on_premises_only),
        "regions": (case.regions, grant.obligations.regions),
        "screen": (case.screen, grant.screen),
    }
    for name, (wanted, got) in found.items():
        if wanted is not None and wanted != got:
            yield f"{name} is {got!r}, not {wanted!r}"
