"""The decision: may this principal do this, for this use case, and under which obligations?

Built-in checks first, then the rules: a matching denial wins over any permission, and nothing is allowed unless a rule
allows it. What the rules that matched ask for is merged to the strictest.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from greffier.core.clock import Clock
from greffier.core.context import Ask, Grant, Obligations, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.policy.checks import (
    CHECKS,
    IMPERSONAL_ACTIONS,
    MODELLESS_ACTIONS,
    UNKNOWN_USE_CASE,
    Case,
    Question,
    prepare,
    subjects_of,
    unknown_use_case,
)
from greffier.policy.index import RuleIndex
from greffier.policy.rules import Facts, Rule, compile_rules, gather
from greffier.policy.settings import ObligationSettings, RuleSettings, UseCaseSettings
from greffier.policy.standing import LEDGER, Standing

DATA_CLASSES = "builtin:data-classes"
_NO_OBLIGATIONS = ObligationSettings()


class CheckLine(msgspec.Struct, frozen=True):
    """One built-in check inside an explanation: its identifier, whether it passed, and the refusal if not."""

    id: str
    passed: bool
    code: str = ""
    reason: str = ""


class RuleLine(msgspec.Struct, frozen=True):
    """One rule inside an explanation: whether it applied, and if not, which of its keys kept it from applying."""

    id: str
    effect: str
    applied: bool
    why_not: str
    description: str


class Explanation(msgspec.Struct, frozen=True):
    """Why a request is allowed or refused: the answer, and every check and rule behind it."""

    ruling: Ruling[Grant]
    checks: tuple[CheckLine, ...]
    rules: tuple[RuleLine, ...]


class PolicyDecisionPoint:
    """Decides for one snapshot. Holds no mutable state; a decision costs the same for ten rules and ten thousand."""

    def __init__(
        self,
        use_cases: Mapping[str, UseCaseSettings],
        use_case_digests: Mapping[str, str],
        rules: Iterable[RuleSettings],
        models: Collection[str],
        clock: Clock,
        *,
        standing: Standing | None = None,
    ) -> None:
        """Compile.

        Args:
            use_cases: By identifier.
            use_case_digests: SHA-256 per use case, hex.
            rules: In the order of the workspace.
            models: Names of all models of the workspace.
            clock: For rules with hours.
            standing: What people said about their data; None where nobody's data is processed (trials of rules).

        Raises:
            PolicyMistake: A rule cannot mean what it says.
            KeyError: A use case has no digest.
        """
        known = frozenset(models)
        by_tenant: dict[str, set[str]] = {}
        for settings in use_cases.values():
            by_tenant.setdefault(settings.tenant, set()).update(settings.models)
        shared = {tenant: frozenset(names) for tenant, names in by_tenant.items()}
        self._cases = {
            name: prepare(settings, use_case_digests[name], known, shared[settings.tenant])
            for name, settings in use_cases.items()
        }
        self._rules = compile_rules(rules)
        self._index = RuleIndex(self._rules)
        self._clock = clock
        self._standing = standing

    def authorize(self, context: RequestContext, ask: Ask) -> Ruling[Grant]:
        """Decide. Every refusal names the check or rule that refused."""
        case = self._cases.get(context.use_case)
        if case is None:
            return unknown_use_case()
        question = Question(context, ask, case, _model_for(ask, case))
        for _, check in CHECKS:
            refusal = check(question)
            if refusal is not None:
                return refusal
        subjects = subjects_of(context, ask)
        refusal = self._said(context, ask, case, subjects)
        if refusal is not None:
            return refusal
        facts = gather(context, ask, case.settings, question.model, self._clock.wall_ms())
        return _apply(self._index.candidates(facts), facts, case, subjects[0] if subjects else "")

    def _said(self, context: RequestContext, ask: Ask, case: Case, subjects: tuple[str, ...]) -> Deny | None:
        """What the people concerned have said about it."""
        if self._standing is None or ask.action in IMPERSONAL_ACTIONS:
            return None
        settings = case.settings
        return self._standing.ruling(
            context.tenant,
            subjects,
            settings.purpose,
            personal=case.personal,
            needs_consent=settings.requires_consent,
        )

    @staticmethod
    def permit_data(grant: Grant, found: tuple[str, ...]) -> Ruling[None]:
        """Decide about the classes of data that screening found and left in the request.

        A use case is approved for the data it names; what nobody approved it for goes no further, wherever it would go.
        """
        unapproved = [name for name in found if name not in grant.data_classes]
        if unapproved:
            return Deny(
                Code.DATA_CLASS_DENIED,
                DATA_CLASSES,
                f"The request holds data of a class the use case is not approved for: {', '.join(unapproved)}.",
                param="messages",
            )
        return Allow(None, DATA_CLASSES)

    def visible_models(self, context: RequestContext) -> tuple[str, ...]:
        """Names of the models the caller may use right now, in the order of the use case."""
        case = self._cases.get(context.use_case)
        if case is None:
            return ()
        return tuple(
            name
            for name in case.settings.models
            if any(isinstance(self.authorize(context, Ask(action, name)), Allow) for action in ("chat", "embed"))
        )

    def explain(self, context: RequestContext, ask: Ask) -> Explanation:
        """Decide as `authorize` does, and show every check and rule. For people; not for the request path."""
        case = self._cases.get(context.use_case)
        if case is None:
            refusal = unknown_use_case()
            return Explanation(refusal, (_failed(refusal),), ())
        question = Question(context, ask, case, _model_for(ask, case))
        checks = [CheckLine(UNKNOWN_USE_CASE, passed=True)]
        for name, check in CHECKS:
            found = check(question)
            checks.append(CheckLine(name, passed=True) if found is None else _failed(found))
        if self._standing is not None:
            found = self._said(context, ask, case, subjects_of(context, ask))
            checks.append(CheckLine(LEDGER, passed=True) if found is None else _failed(found))
        facts = gather(context, ask, case.settings, question.model, self._clock.wall_ms())
        return Explanation(
            ruling=self.authorize(context, ask),
            checks=tuple(checks),
            rules=tuple(_line(rule, facts) for rule in self._rules),
        )


def _failed(refusal: Deny) -> CheckLine:
    return CheckLine(refusal.rule, passed=False, code=refusal.code, reason=refusal.reason)


def _line(rule: Rule, facts: Facts) -> RuleLine:
    why_not = rule.why_not(facts)
    settings = rule.settings
    return RuleLine(settings.id, settings.effect, not why_not, why_not, settings.description)


def _model_for(ask: Ask, case: Case) -> str:
    if ask.model or ask.action in MODELLESS_ACTIONS:
        return ask.model
    return case.default_model


def _apply(candidates: Sequence[Rule], facts: Facts, case: Case, subject: str) -> Ruling[Grant]:
    allowing: list[Rule] = []
    for rule in candidates:
        try:
            applies = rule.applies(facts)
        except (ArithmeticError, LookupError, TypeError, ValueError, OSError):
            # A rule that cannot be evaluated might have been the one that forbids.
            return Deny(
                Code.POLICY_DENIED,
                rule.settings.id,
                f"The rule {rule.settings.id} could not be evaluated, so the request is refused.",
            )
        if not applies:
            continue
        if rule.denies:
            return Deny(
                Code.POLICY_DENIED,
                rule.settings.id,
                f"The rule {rule.settings.id} forbids this: {rule.settings.description}",
            )
        allowing.append(rule)
    if not allowing:
        return Deny(Code.POLICY_DENIED, "builtin:default-deny", "No rule allows this.")
    return _grant(allowing, facts, case, subject)


def _grant(allowing: Sequence[Rule], facts: Facts, case: Case, subject: str) -> Ruling[Grant]:
    settings = case.settings
    on_premises_only = settings.on_premises_only
    full = False
    regions = settings.regions
    screen = ""
    for rule in allowing:
        asked = rule.settings.obligations
        if asked == _NO_OBLIGATIONS:
            continue
        if asked.human_approval:
            # Nothing can approve a single request yet, so an obligation to have one approved is a refusal.
            return Deny(
                Code.APPROVAL_REQUIRED,
                rule.settings.id,
                f"The rule {rule.settings.id} demands that a person approves this first.",
            )
        on_premises_only = on_premises_only or asked.on_premises_only
        full = full or asked.logging == "full"
        if asked.regions:
            regions = tuple(region for region in regions if region in asked.regions) if regions else asked.regions
            if not regions:
                return Deny(
                    Code.REGION_DENIED,
                    rule.settings.id,
                    f"The regions that the rule {rule.settings.id} demands leave none that the use case allows.",
                )
        if asked.screen is not None:
            if screen and screen != asked.screen:
                return Deny(
                    Code.POLICY_DENIED,
                    rule.settings.id,
                    f"The rule {rule.settings.id} demands another screen than a rule before it does.",
                    "Let the rules that apply together name the same screen; neither screen is known to be stricter.",
                )
            screen = asked.screen
    names = tuple([rule.settings.id for rule in allowing])
    grant = Grant(
        tenant=settings.tenant,
        use_case=settings.id,
        use_case_digest=case.digest,
        purpose=settings.purpose,
        lawful_basis=case.lawful_basis,
        risk_class=settings.risk_class,
        model=facts.model,
        data_classes=settings.data_classes,
        screen=screen or settings.screen,
        prompt=settings.prompt or "",
        capture=settings.capture_content or full,
        obligations=Obligations(
            on_premises_only=on_premises_only,
            regions=regions,
            logging="full" if full else "standard",
        ),
        rules=names,
        subject=subject,
    )
    return Allow(grant, names[0])
