"""Trying screens out: cases with an expected verdict, as authors keep them in ``guardrails/tests/*.yaml``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greffier.core.context import Grant, RiskClass
from greffier.core.rulings import Deny, Finding
from greffier.core.settings import Identifier, Settings
from greffier.guardrails.check import CheckAction, Checker, CheckRequest, CheckSession, Context
from greffier.guardrails.disguises import DISGUISES, Disguise

Expected = Literal["stop", "pass", "allow", "flag", "redact", "block", "escalate"]
Direction = Literal["input", "output"]
STOPPING = frozenset({"block", "escalate"})


class GuardCase(Settings, frozen=True, kw_only=True):
    """A text with its expected end.

    ``expect``: ``stop`` (blocked or escalated), ``pass`` (anything else), or the exact action. ``finds``: types that
    must be among the findings. ``disguise``: encoding applied to ``text`` before it is checked, so that files stay
    readable. ``sources``: what an answer may only quote, where its screen asks for grounding.
    ``owasp``, ``asi`` and ``atlas`` name the risk (OWASP LLM 2026, OWASP Agentic 2026, MITRE ATLAS).
    ``known_gap``: why the case is known to fail; it is reported, and fails nothing.
    """

    name: str
    text: Annotated[str, Meta(min_length=1, max_length=100_000)]
    expect: Expected
    finds: tuple[str, ...] = ()
    screen: Identifier | None = None
    direction: Direction = "input"
    context: Context = "direct"
    lang: str = ""
    system_prompt: str = ""
    canary: str = ""
    sources: tuple[str, ...] = ()
    disguise: Disguise | None = None
    owasp: tuple[str, ...] = ()
    asi: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    known_gap: str = ""


class GuardTestFile(Settings, frozen=True, kw_only=True):
    """A file in ``guardrails/tests/``."""

    cases: Annotated[tuple[GuardCase, ...], Meta(min_length=1)]


class Verdict(msgspec.Struct, frozen=True):
    """What a screen says about a text.

    Attributes:
        action: The gravest action; ``unavailable`` where a detector could not measure and the screen refuses then.
        rule: The rule behind it.
        findings: Everything measured, as the screen decided it.
    """

    action: CheckAction | Literal["unavailable"]
    rule: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether the text does not pass."""
        return self.action in STOPPING or self.action == "unavailable"

    def score(self, types: frozenset[str], detector: str = "") -> float:
        """Highest score among the findings of some types, of one detector or of any."""
        return max((f.score for f in self.findings if f.type in types and detector in {"", f.detector}), default=0.0)


class CaseResult(msgspec.Struct, frozen=True):
    """How a case ended: what the screen said, and how that differs from what was expected."""

    case: GuardCase
    verdict: Verdict
    failures: tuple[str, ...]

    @property
    def gap(self) -> bool:
        """Whether it failed as its author knew it would."""
        return bool(self.failures and self.case.known_gap)


class Trials:
    """Runs texts through the screens of one policy version.

    Args:
        checker: The policy version.
        screen: Screen of texts that name none.
        risk_class: Decides what an unavailable detector means.
    """

    def __init__(self, checker: Checker, *, screen: str = "default", risk_class: RiskClass = "high") -> None:
        self._checker = checker
        self._grant = Grant(
            tenant="", use_case="", use_case_digest="", purpose="", lawful_basis="", risk_class=risk_class, model="",
            data_classes=(), screen=screen,
        )  # fmt: skip

    async def judge(
        self,
        text: str,
        *,
        screen: str | None = None,
        direction: Direction = "input",
        context: Context = "direct",
        lang: str = "",
        session: CheckSession | None = None,
    ) -> Verdict:
        """What the screen says about one text.

        Raises:
            ValueError: There is no such screen.
        """
        request = CheckRequest(text, direction, context, lang or None, session, screen)
        ruling = await self._checker.judge(request, self._grant)
        if isinstance(ruling, Deny):
            if ruling.param:
                raise ValueError(ruling.reason)
            return Verdict("unavailable", ruling.rule, ruling.findings)
        action, rule = ruling.value
        return Verdict(action, rule, ruling.findings)

    async def run(self, case: GuardCase) -> CaseResult:
        """Run one case.

        Raises:
            ValueError: It names a screen that does not exist.
        """
        text = DISGUISES[case.disguise](case.text) if case.disguise else case.text
        known = case.system_prompt or case.canary or case.sources
        session = CheckSession(case.system_prompt, case.canary, case.sources) if known else None
        verdict = await self.judge(
            text,
            screen=case.screen,
            direction=case.direction,
            context=case.context,
            lang=case.lang,
            session=session,
        )
        return CaseResult(case, verdict, tuple(_differences(case, verdict)))


def _differences(case: GuardCase, verdict: Verdict) -> list[str]:
    differences = []
    wanted = case.expect
    met = verdict.stopped == (wanted == "stop") if wanted in {"stop", "pass"} else verdict.action == wanted
    if not met:
        by = f" by {verdict.rule}" if verdict.rule else ""
        differences.append(f"expected {wanted}, got {verdict.action}{by}")
    found = {finding.type for finding in verdict.findings}
    differences += [f"expected a finding of {kind}" for kind in case.finds if kind not in found]
    return differences
