"""Checks of ``policies/``: rules that mean what they say."""

from collections.abc import Collection, Iterator

from greffier.config.checks.references import exists, known_models
from greffier.config.problems import Path, Problem
from greffier.config.workspace import Located, Sources
from greffier.policy.errors import PolicyMistake
from greffier.policy.rules import ANY, compile_rules
from greffier.policy.settings import Condition, RuleSettings

ACTIONS = ("chat", "embed", "list_models", "check", "feedback")


def check_policies(sources: Sources) -> Iterator[Problem]:
    """Check every rule."""
    purposes = {use_case.value.purpose for use_case in sources.use_cases.values()}
    for place in sources.rules:
        rule = place.value
        yield from _references(place, "when", rule.when, sources, purposes)
        if rule.unless is not None:
            yield from _references(place, "unless", rule.unless, sources, purposes)
        yield from _compiles(place)
        if rule.effect == "allow" and rule.when == Condition():
            yield place.problem(
                ("when",),
                "allows_everything",
                f"The rule '{rule.id}' allows every approved use case everything.",
                "Name use cases, tenants or roles, unless this is what you want.",
                at_key=True,
                warning=True,
            )
        screen = rule.obligations.screen
        if screen is not None and "guardrails" not in sources.incomplete:
            yield from exists(place, ("obligations", "screen"), "screen", screen, sources.screens)


def _references(
    place: Located[RuleSettings], part: str, condition: Condition, sources: Sources, purposes: set[str]
) -> Iterator[Problem]:
    yield from _known(place, (part, "actions"), "action", condition.actions, ACTIONS)
    yield from _known(place, (part, "models"), "model", condition.models, known_models(sources))
    if sources.settings is not None:
        tenants = sources.settings.value.tenants
        yield from _known(place, (part, "tenants"), "tenant", condition.tenants, tenants)
    if "use_cases" not in sources.incomplete:
        yield from _known(place, (part, "use_cases"), "use case", condition.use_cases, sources.use_cases)
        yield from _known(place, (part, "purposes"), "use case with the purpose", condition.purposes, purposes)


def _known(
    place: Located[RuleSettings], path: Path, what: str, names: Collection[str], known: Collection[str] | None
) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if known is not None and ANY not in name:  # a misplaced '*' is for the policy engine to explain
            yield from exists(place, (*path, index), what, name, known)


def _compiles(place: Located[RuleSettings]) -> Iterator[Problem]:
    """Let the engine itself say whether it can evaluate the rule, so that the check and the engine never disagree."""
    try:
        compile_rules((place.value,))
    except PolicyMistake as mistake:
        key = mistake.reason.partition(":")[0].partition(" ")[0]
        yield place.problem(
            tuple(key.split(".")),
            "wrong_rule",
            f"{mistake.reason[:1].upper()}{mistake.reason[1:]}.",
            "Correct the rule.",
        )
