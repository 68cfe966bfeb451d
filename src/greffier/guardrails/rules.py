"""A screen compiled: which rule meets which finding, and what follows from the actions taken together."""

from collections.abc import Iterable, Sequence

import msgspec

from greffier.core.errors import Code
from greffier.core.rulings import Deny, Finding
from greffier.guardrails.ports import Provenance
from greffier.guardrails.settings import ScreenRule

WHERE: dict[Provenance, str] = {
    "user": "input",
    "assistant": "input",
    "document": "document",
    "system": "system",
    "tool_output": "tool_output",
    "tool_call": "tool_call",
    "output": "output",
}
REMOVING = frozenset({"redact", "pseudonymise"})
_STOPS = ("deny", "escalate", "require_approval")  # the gravest first


class Decided(msgspec.Struct, frozen=True):
    """A finding with what the screen does about it.

    Attributes:
        finding: With ``action`` and ``where`` filled in.
        rule: The rule that decided, or None when no rule matched and the finding is only recorded.
    """

    finding: Finding
    rule: ScreenRule | None

    @property
    def action(self) -> str:
        """What is done."""
        return self.rule.then if self.rule else ""


class RuleList:
    """Ordered rules of one direction; the first that matches a finding decides."""

    def __init__(self, rules: Sequence[ScreenRule]) -> None:
        self._rules = tuple(rules)
        self._by_type: dict[tuple[str, str], tuple[ScreenRule, ...]] = {}

    def decide(self, finding: Finding, provenance: Provenance) -> Decided:
        """Find the rule for a finding."""
        where = WHERE[provenance]
        for rule in self._matching(finding.type, provenance):
            if finding.score >= rule.at_least:
                return Decided(msgspec.structs.replace(finding, action=rule.then, where=where), rule)
        return Decided(msgspec.structs.replace(finding, where=where), None)

    def concerns(self, kinds: Iterable[str]) -> bool:
        """Whether any rule names one of these types of findings, or all types."""
        return any(_covers(rule.types, kind) for rule in self._rules for kind in kinds)

    def _matching(self, kind: str, provenance: Provenance) -> tuple[ScreenRule, ...]:
        key = (kind, provenance)
        rules = self._by_type.get(key)
        if rules is None:
            rules = tuple(
                rule
                for rule in self._rules
                if _covers(rule.types, kind) and (not rule.provenance or provenance in rule.provenance)
            )
            self._by_type[key] = rules
        return rules


def _covers(types: tuple[str, ...], kind: str) -> bool:
    family, colon, _ = kind.partition(":")
    return kind in types or "*" in types or (bool(colon) and f"{family}:*" in types)


def refusal(decided: Sequence[Decided], *, output: bool, approved: bool = False) -> Deny | None:
    """The refusal that follows from the gravest stopping action, or None; what a reviewer approved is only denied."""
    for action in _STOPS[:1] if approved else _STOPS:
        for item in decided:
            if item.rule is not None and item.rule.then == action:
                return _deny(item.rule, tuple(each.finding for each in decided), output=output)
    return None


def _deny(rule: ScreenRule, findings: tuple[Finding, ...], *, output: bool) -> Deny:
    if rule.then == "escalate":
        code, default = Code.ESCALATED, "A reviewer must decide about this content."
    elif rule.then == "require_approval":
        code, default = Code.APPROVAL_REQUIRED, "A person must approve this request first."
    elif output:
        code, default = Code.OUTPUT_BLOCKED, "The answer broke an output rule."
    else:
        code, default = Code.GUARDRAIL_BLOCKED, "The request broke an input rule."
    return Deny(code, rule.id, rule.message or default, findings=findings)
