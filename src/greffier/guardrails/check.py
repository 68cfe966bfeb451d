"""The guardrails on their own: a text in, findings and an action out (``POST /v1/guardrails/check``, moderations)."""

import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from greffier.core.chat import ChatRequest
from greffier.core.context import Grant
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Finding, Ruling
from greffier.guardrails.answers import grounded_in
from greffier.guardrails.detectors.leak import Shingles
from greffier.guardrails.outside import Outside, ask_outside
from greffier.guardrails.ports import Passage, Provenance
from greffier.guardrails.prompt import Placed
from greffier.guardrails.redaction import Pseudonyms, apply
from greffier.guardrails.rules import Decided
from greffier.guardrails.screen import Guard
from greffier.guardrails.sieve import Sieve

Context = Literal["direct", "document", "tool_output", "output"]
CheckAction = Literal["allow", "flag", "redact", "block", "escalate"]

_PROVENANCE: dict[Context, Provenance] = {
    "direct": "user",
    "document": "document",
    "tool_output": "tool_output",
    "output": "output",
}
_ACTIONS: dict[str, CheckAction] = {
    "deny": "block",
    "escalate": "escalate",
    "require_approval": "escalate",
    "redact": "redact",
    "pseudonymise": "redact",
    "flag": "flag",
    "on_premises": "flag",
}
_NO_REQUEST = ChatRequest("", ())
_ORDER: tuple[CheckAction, ...] = ("block", "escalate", "redact", "flag")


class CheckSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the conversation holds: what an answer must not repeat, and ``sources``, which it may only quote."""

    system_prompt: str = ""
    canary: str = ""
    sources: tuple[str, ...] = ()


class CheckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to check.

    Attributes:
        text: The text.
        direction: Which rules apply.
        context: Where the text comes from; the same words weigh more in a document than typed by the user.
        lang: ISO 639-1 code if known.
        session: System prompt and canary, to find leaks of them in an output.
        policy: Name of the screen; absent takes the use case's own.
        explain: Whether to return every measured score, below the thresholds too.
    """

    text: str
    direction: Literal["input", "output"] = "input"
    context: Context = "direct"
    lang: str | None = None
    session: CheckSession | None = None
    policy: str | None = None
    explain: bool = False


class CheckFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding as the API shows it; offsets are code points, end exclusive."""

    type: str
    start: int
    end: int
    score: float
    detector: str
    action: str = ""
    rule: str = ""
    view: str = "raw"
    data_class: str = ""


class CheckResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The verdict.

    Attributes:
        action: The gravest action of all findings.
        findings: Those that a rule acts on; with ``explain`` all of them.
        latency_ms: Time the check took.
        scores: Highest score per classifier; with ``explain`` only.
        redacted_text: The text after redaction, if anything was redacted.
        rule: The rule behind the action.
    """

    action: CheckAction
    findings: tuple[CheckFinding, ...]
    latency_ms: float
    scores: dict[str, float] | None = None
    redacted_text: str | None = None
    rule: str = ""


CLASSIFIERS = {
    "prompt_injection": "injection",
    "jailbreak": "injection",
    "indirect_injection": "injection",
    "obfuscation": "obfuscation",
    "toxicity": "toxicity",
    "disallowed_topic": "disallowed_topic",
    "prompt_leak": "prompt_leak",
    "exfiltration": "exfiltration",
}
"""Name under which a finding type's score is reported."""

_CATEGORIES = {
    "prompt_injection": ("greffier/prompt_injection",),
    "jailbreak": ("greffier/prompt_injection",),
    "indirect_injection": ("greffier/prompt_injection",),
    "obfuscation": ("greffier/obfuscation",),
    "toxicity": ("harassment", "hate"),
    "disallowed_topic": ("illicit",),
    "SECRET": ("greffier/secret",),
}


class Moderation(msgspec.Struct, frozen=True):
    """One text in the words of OpenAI's moderation endpoint; our own categories begin with ``greffier/``.

    Attributes:
        flagged: Whether any rule acts on the text.
        scores: Highest score per category.
        categories: Categories that a rule acts on.
    """

    flagged: bool
    scores: dict[str, float]
    categories: tuple[str, ...]


class Checker:
    """Runs the screens of a `Guard` over single texts."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def check(self, request: CheckRequest, grant: Grant) -> Ruling[CheckResponse]:
        """Check one text with the use case's screen, or with the screen that ``policy`` names."""
        began = time.perf_counter_ns()
        examined = await self._examine(request, grant)
        if isinstance(examined, Deny):
            return examined
        sieve, outside = examined
        decided = sieve.decided
        edits = sieve.edits(request.text, decided)
        action, rule = _gravest(decided)
        screen = self._guard.screen(request.policy or grant.screen)
        raw: dict[str, float] = {}
        if request.explain:
            passage = _passage(request)
            raw = {**screen.engine.scores(passage), **outside.scores(passage)}
        response = CheckResponse(
            action=action,
            findings=tuple(_shown(item.finding) for item in decided if request.explain or item.rule is not None),
            latency_ms=(time.perf_counter_ns() - began) / 1e6,
            scores=_scores(decided, raw) if request.explain else None,
            redacted_text=apply(request.text, edits) if edits else None,
            rule=rule,
        )
        return Allow(response, rule=rule or screen.name, findings=sieve.findings)

    async def judge(self, request: CheckRequest, grant: Grant) -> Ruling[tuple[CheckAction, str]]:
        """The gravest action and its rule, with every finding beside; for tests of policies."""
        examined = await self._examine(request, grant)
        if isinstance(examined, Deny):
            return examined
        action, rule = _gravest(examined[0].decided)
        return Allow((action, rule), findings=examined[0].findings)

    async def _examine(self, request: CheckRequest, grant: Grant) -> Deny | tuple[Sieve, Outside]:
        name = request.policy or grant.screen
        if name not in self._guard.screens:
            return Deny(
                Code.INVALID_REQUEST,
                "check-policy",
                f"There is no screen called '{name}'.",
                f"Use one of: {', '.join(sorted(self._guard.screens))}.",
                param="policy",
            )
        session = request.session
        placed = None
        if session is not None and request.direction == "output":
            shingles = Shingles(session.system_prompt) if session.system_prompt else None
            placed = Placed(_NO_REQUEST, canary=session.canary.lower(), shingles=shingles)
        screen = self._guard.screen(name)
        passage = _passage(request)
        outside = await ask_outside(
            name,
            screen.outside,
            lambda change: change(passage.text, passage.provenance),
            lang=passage.lang,
            scores=request.explain,
        )
        extras = screen.extras
        if session is not None and request.direction == "output":
            extras = (*extras, *grounded_in(screen, session.sources))
        sieve = Sieve(screen, request.direction, grant.risk_class, Pseudonyms(), placed, outside=outside, extras=extras)
        sieve.decided += sieve.measure(passage.text, passage.provenance, passage.lang)
        refused = sieve.refused()
        if refused is not None and refused.code is Code.GUARDRAIL_UNAVAILABLE:
            return refused
        return sieve, outside

    async def moderate(self, texts: Sequence[str], grant: Grant) -> Ruling[tuple[Moderation, ...]]:
        """Measure texts with the use case's screen and report OpenAI's categories."""
        verdicts = []
        findings: list[Finding] = []
        screen = self._guard.screen(grant.screen)
        outside = await ask_outside(
            screen.name, screen.outside, lambda change: [change(text, "user") for text in texts]
        )
        for text in texts:
            sieve = Sieve(screen, "input", grant.risk_class, Pseudonyms(), outside=outside)
            sieve.decided += sieve.measure(text, "user")
            refused = sieve.refused()
            if refused is not None and refused.code is Code.GUARDRAIL_UNAVAILABLE:
                return refused
            verdicts.append(_moderation(sieve.decided))
            findings += sieve.findings
        return Allow(tuple(verdicts), rule=grant.screen, findings=tuple(findings))


def _passage(request: CheckRequest) -> Passage:
    provenance: Provenance = "output" if request.direction == "output" else _PROVENANCE[request.context]
    return Passage(request.text, provenance, request.lang or "")


def _moderation(decided: Sequence[Decided]) -> Moderation:
    scores: dict[str, float] = {}
    flagged: dict[str, None] = {}
    acted = False
    for item in decided:
        finding = item.finding
        acts = item.action not in {"", "allow"}
        acted = acted or acts
        for category in _CATEGORIES.get(finding.type, (_own_category(finding),)):
            scores[category] = max(scores.get(category, 0.0), finding.score)
            if acts:
                flagged[category] = None
    return Moderation(acted, scores, tuple(flagged))


def _own_category(finding: Finding) -> str:
    if finding.type.startswith("topic:"):
        return f"greffier/{finding.type}"
    return "greffier/personal_data" if finding.data_class else f"greffier/{finding.type}"


def _gravest(decided: Sequence[Decided]) -> tuple[CheckAction, str]:
    for wanted in _ORDER:
        for item in decided:
            if item.rule is not None and _ACTIONS.get(item.action) == wanted:
                return wanted, item.rule.id
    return "allow", ""


def _shown(finding: Finding) -> CheckFinding:
    return CheckFinding(
        finding.type,
        finding.start,
        finding.end,
        finding.score,
        finding.detector,
        action=finding.action,
        rule=finding.rule,
        view=finding.view,
        data_class=finding.data_class,
    )


def _scores(decided: Sequence[Decided], raw: dict[str, float]) -> dict[str, float]:
    scores = {**dict.fromkeys(CLASSIFIERS.values(), 0.0), **raw}
    for item in decided:
        name = CLASSIFIERS.get(item.finding.type, item.finding.type)
        scores[name] = max(scores.get(name, 0.0), item.finding.score)
    return scores
