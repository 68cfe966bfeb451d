"""The index may only save work: verdicts are those of a plain reading of all rules."""

import msgspec
from hypothesis import given, reject
from hypothesis import strategies as st

from greffier.core.clock import SystemClock
from greffier.core.context import Ask, Principal, RequestContext
from greffier.core.rulings import Allow, Deny
from greffier.policy.decide import PolicyDecisionPoint
from greffier.policy.errors import PolicyMistake
from greffier.policy.rules import gather
from greffier.policy.settings import Approval, Condition, RuleSettings, UseCaseSettings

TENANTS = ("t0", "t1")
CASES = ("u0", "u1", "u2")
MODELS = ("m0", "m1")
NAMES = ("a", "b", "c")


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from((*values, "*")), max_size=2, unique=True)


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "actions": some(("chat", "embed")),
        "tenants": some(TENANTS),
        "use_cases": some(CASES),
        "purposes": some(("p0", "p1", "p2")),
        "models": some(MODELS),
        "groups": some(NAMES),
        "roles": some(NAMES),
        "attributes": st.dictionaries(
            st.sampled_from(NAMES), st.lists(st.sampled_from((*NAMES, "*")), min_size=1, max_size=2), max_size=2
        ),
        "tools": st.booleans(),
    },
)
RULES = st.lists(
    st.tuples(st.sampled_from(("allow", "allow", "deny")), CONDITIONS, st.none() | CONDITIONS), max_size=12
)


def build(rules: list[tuple[str, dict[str, object], dict[str, object] | None]]) -> PolicyDecisionPoint:
    settings = [
        RuleSettings(
            id=f"r{place}",
            description="x",
            effect="deny" if effect == "deny" else "allow",
            when=msgspec.convert(when, Condition),
            unless=msgspec.convert(unless, Condition) if unless else None,
        )
        for place, (effect, when, unless) in enumerate(rules)
    ]
    cases = {
        name: UseCaseSettings(
            id=name,
            title="x",
            tenant=TENANTS[place % 2],
            status="approved",
            owner="o",
            approval=Approval(by=("x",), on="x"),
            purpose=f"p{place}",
            intended_purpose="x",
            risk_class="minimal",
            models=MODELS,
        )
        for place, name in enumerate(CASES)
    }
    return PolicyDecisionPoint(cases, dict.fromkeys(cases, "d"), settings, MODELS, SystemClock())


@given(
    rules=RULES,
    use_case=st.sampled_from(CASES),
    ask=st.builds(Ask, st.sampled_from(("chat", "embed")), st.sampled_from(MODELS), tools=st.booleans()),
    principal=st.builds(
        Principal,
        st.just("key:k"),
        st.just("user"),
        st.just("api_key"),
        st.just("k"),
        some(NAMES).map(tuple),
        some(NAMES).map(tuple),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    ),
)
def test_the_index_never_changes_a_verdict(
    rules: list[tuple[str, dict[str, object], dict[str, object] | None]],
    use_case: str,
    ask: Ask,
    principal: Principal,
) -> None:
    try:
        decision = build(rules)
    except PolicyMistake:
        reject()
    tenant = TENANTS[CASES.index(use_case) % 2]
    context = RequestContext("r", "chat_completions", principal, tenant, use_case, None, 0, 0.0)
    explanation = decision.explain(context, ask)
    applied = [line for line in explanation.rules if line.applied]
    denials = [line.id for line in applied if line.effect == "deny"]
    ruling = explanation.ruling
    if denials:
        assert isinstance(ruling, Deny)
        assert ruling.rule == denials[0]
    elif applied:
        assert isinstance(ruling, Allow)
        assert ruling.value.rules == tuple(line.id for line in applied)
    else:
        assert isinstance(ruling, Deny)
        assert ruling.rule == "builtin:default-deny"


def test_a_decision_looks_at_few_rules_whatever_their_number() -> None:
    """Ten thousand rules about other groups are never touched."""
    others: list[tuple[str, dict[str, object], dict[str, object] | None]] = [
        ("deny", {"groups": [f"g{number}"]}, None) for number in range(10_000)
    ]
    decision = build([("allow", {"actions": ["chat"]}, None), *others])
    principal = Principal("key:k", "user", "api_key", "k", ("g7",))
    context = RequestContext("r", "chat_completions", principal, "t0", "u0", None, 0, 0.0)
    ruling = decision.authorize(context, Ask("chat", "m0"))
    assert isinstance(ruling, Deny)
    assert ruling.rule == "r8"
    facts = gather(context, Ask("chat", "m0"), decision._cases["u0"].settings, "m0", 0)
    assert [rule.settings.id for rule in decision._index.candidates(facts)] == ["r0", "r8"]
