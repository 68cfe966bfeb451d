"""Rules, compiled: every condition becomes a short list of named tests over plain facts."""

from collections.abc import Callable, Iterable

import msgspec

from greffier.core.context import Ask, RequestContext
from greffier.policy.errors import PolicyMistake
from greffier.policy.hours import Hours
from greffier.policy.settings import Condition, RuleSettings, UseCaseSettings

ANY = "*"


class Facts(msgspec.Struct, frozen=True, gc=False):
    """Everything a rule may look at, gathered once per decision.

    The purpose and the risk class are the use case's own; the credential's purpose was compared before.
    """

    action: str
    tenant: str
    use_case: str
    purpose: str
    risk_class: str
    model: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    principal_type: str
    authn: str
    attributes: dict[str, str]
    modalities: tuple[str, ...]
    tools: bool
    wall_ms: int


def gather(context: RequestContext, ask: Ask, use_case: UseCaseSettings, model: str, wall_ms: int) -> Facts:
    """Bring the facts of a request together."""
    principal = context.principal
    return Facts(
        ask.action,
        use_case.tenant,
        use_case.id,
        use_case.purpose,
        use_case.risk_class,
        model,
        principal.groups,
        principal.roles,
        principal.type,
        principal.authn,
        principal.attributes,
        ask.modalities,
        ask.tools,
        wall_ms,
    )


Test = tuple[str, Callable[[Facts], bool]]
"""Name of the key in the rule, and whether the facts satisfy it."""


class Rule(msgspec.Struct, frozen=True):
    """A compiled rule.

    Attributes:
        order: Position among all rules; the first denial is the one reported.
        settings: As its author wrote it.
        when: All must hold.
        unless: None for no exception; otherwise the rule steps back when all hold.
    """

    order: int
    settings: RuleSettings
    when: tuple[Test, ...]
    unless: tuple[Test, ...] | None

    @property
    def denies(self) -> bool:
        """Whether the rule forbids."""
        return self.settings.effect == "deny"

    def applies(self, facts: Facts) -> bool:
        """Whether the rule has something to say about the request."""
        for _, holds in self.when:
            if not holds(facts):
                return False
        if self.unless is None:
            return True
        return not all(holds(facts) for _, holds in self.unless)

    def why_not(self, facts: Facts) -> str:
        """The key that keeps the rule from applying; empty when it applies."""
        for key, holds in self.when:
            if not holds(facts):
                return f"when.{key} does not match"
        if self.unless is not None and all(holds(facts) for _, holds in self.unless):
            return "unless matches"
        return ""


def compile_rules(rules: Iterable[RuleSettings]) -> tuple[Rule, ...]:
    """Compile rules in order.

    Raises:
        PolicyMistake: A rule cannot mean what it says, or two rules share an identifier.
    """
    compiled: dict[str, Rule] = {}
    for order, settings in enumerate(rules):
        if settings.id in compiled:
            raise PolicyMistake(settings.id, "another rule has the same id; rename one of them")
        unless = None if settings.unless is None else _tests(settings, settings.unless, "unless")
        if unless == ():
            raise PolicyMistake(settings.id, "unless is empty, so the rule would never apply; remove unless")
        compiled[settings.id] = Rule(order, settings, _tests(settings, settings.when, "when"), unless)
    return tuple(compiled.values())


def _tests(rule: RuleSettings, condition: Condition, part: str) -> tuple[Test, ...]:
    tests: list[Test] = []
    singles: tuple[tuple[str, tuple[str, ...], Callable[[Facts], str]], ...] = (
        ("actions", condition.actions, lambda facts: facts.action),
        ("tenants", condition.tenants, lambda facts: facts.tenant),
        ("use_cases", condition.use_cases, lambda facts: facts.use_case),
        ("purposes", condition.purposes, lambda facts: facts.purpose),
        ("risk_classes", condition.risk_classes, lambda facts: facts.risk_class),
        ("models", condition.models, lambda facts: facts.model),
        ("principal_types", condition.principal_types, lambda facts: facts.principal_type),
        ("authn", condition.authn, lambda facts: facts.authn),
    )
    for key, values, read in singles:
        if allowed := _values(rule, values, f"{part}.{key}"):
            tests.append((key, _one_of(allowed, read)))
    several: tuple[tuple[str, tuple[str, ...], Callable[[Facts], tuple[str, ...]]], ...] = (
        ("groups", condition.groups, lambda facts: facts.groups),
        ("roles", condition.roles, lambda facts: facts.roles),
        ("modalities", condition.modalities, lambda facts: facts.modalities),
    )
    for key, values, read_all in several:
        if allowed := _values(rule, values, f"{part}.{key}"):
            tests.append((key, _any_of(allowed, read_all)))
    for name, values in condition.attributes.items():
        if not values:
            raise PolicyMistake(rule.id, f"{part}.attributes.{name} lists no value, so it never matches")
        allowed = _values(rule, values, f"{part}.attributes.{name}")
        tests.append((f"attributes.{name}", _attribute(name, allowed)))
    if condition.tools is not None:
        tests.append(("tools", _tools(wanted=condition.tools)))
    if condition.time is not None:
        try:
            hours = Hours(condition.time)
        except ValueError as error:
            raise PolicyMistake(rule.id, f"{part}.time: {error}") from error
        tests.append(("time", lambda facts: hours.contains(facts.wall_ms)))
    return tuple(tests)


def _values(rule: RuleSettings, values: tuple[str, ...], where: str) -> frozenset[str]:
    """The values to match; empty when ``*`` lifts the condition."""
    for value in values:
        if ANY in value and value != ANY:
            # A pattern that is compared literally never matches: in a deny rule that would be an open door.
            raise PolicyMistake(rule.id, f"{where}: {value!r} is no pattern; name each value, or write '*' for any")
    return frozenset() if ANY in values else frozenset(values)


def _one_of(allowed: frozenset[str], read: Callable[[Facts], str]) -> Callable[[Facts], bool]:
    return lambda facts: read(facts) in allowed


def _any_of(allowed: frozenset[str], read: Callable[[Facts], tuple[str, ...]]) -> Callable[[Facts], bool]:
    return lambda facts: not allowed.isdisjoint(read(facts))


def _attribute(name: str, allowed: frozenset[str]) -> Callable[[Facts], bool]:
    if not allowed:  # "*": the attribute is there, whatever it says
        return lambda facts: name in facts.attributes
    return lambda facts: facts.attributes.get(name) in allowed


def _tools(*, wanted: bool) -> Callable[[Facts], bool]:
    return lambda facts: facts.tools is wanted
