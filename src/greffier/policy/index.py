"""Find the few rules that can apply to a request, whatever the number of rules.

A rule is filed under the narrowest scope it names (use case, tenant or everyone), the action, and one further key it
names (model, purpose, group, role or attribute). A decision looks into the drawers its facts point to and nowhere
else. A rule found in a drawer is still tested whole, so the index can only save work, never change a verdict.
"""

from collections.abc import Iterable

from greffier.policy.rules import ANY, Facts, Rule

_Key = tuple[str, ...]
_EVERY: _Key = ()


class RuleIndex:
    """Rules by scope, action and key."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        drawers: dict[tuple[str, str, str], dict[_Key, list[Rule]]] = {}
        for rule in rules:
            when = rule.settings.when
            for kind, name in _scopes(rule):
                for action in _listed(when.actions) or ("",):
                    drawer = drawers.setdefault((kind, name, action), {})
                    for key in _keys(rule):
                        drawer.setdefault(key, []).append(rule)
        self._drawers = {
            place: {key: tuple(found) for key, found in drawer.items()} for place, drawer in drawers.items()
        }

    def candidates(self, facts: Facts) -> list[Rule]:
        """Rules that may apply, in their order, each once."""
        found: dict[int, Rule] = {}
        keys: list[_Key] | None = None
        drawers = self._drawers
        for kind, name in (("use_case", facts.use_case), ("tenant", facts.tenant), ("all", "")):
            for action in (facts.action, ""):
                drawer = drawers.get((kind, name, action))
                if drawer is None:
                    continue
                if keys is None:
                    keys = _pointers(facts)
                for key in keys:
                    for rule in drawer.get(key, ()):
                        found[rule.order] = rule
        return [found[order] for order in sorted(found)]


def _listed(values: tuple[str, ...]) -> tuple[str, ...]:
    return () if ANY in values else values


def _scopes(rule: Rule) -> list[tuple[str, str]]:
    when = rule.settings.when
    if use_cases := _listed(when.use_cases):
        return [("use_case", name) for name in use_cases]
    if tenants := _listed(when.tenants):
        return [("tenant", name) for name in tenants]
    return [("all", "")]


def _keys(rule: Rule) -> list[_Key]:
    when = rule.settings.when
    for kind, values in (
        ("model", when.models),
        ("group", when.groups),
        ("role", when.roles),
        ("purpose", when.purposes),
    ):
        if listed := _listed(values):
            return [(kind, value) for value in listed]
    for name, values in when.attributes.items():
        if listed := _listed(values):
            return [("attribute", name, value) for value in listed]
    return [_EVERY]


def _pointers(facts: Facts) -> list[_Key]:
    keys: list[_Key] = [_EVERY, ("model", facts.model), ("purpose", facts.purpose)]
    keys.extend([("group", group) for group in facts.groups])
    keys.extend([("role", role) for role in facts.roles])
    keys.extend([("attribute", name, value) for name, value in facts.attributes.items()])
    return keys
