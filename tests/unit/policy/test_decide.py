from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import pytest

from greffier.core.context import Ask, Grant, Principal, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny
from greffier.policy.decide import PolicyDecisionPoint
from greffier.policy.errors import PolicyMistake
from greffier.policy.settings import (
    Approval,
    Condition,
    LawfulBasis,
    ObligationSettings,
    RuleSettings,
    TimeWindow,
    UseCaseSettings,
)


class At:
    def __init__(self, text: str = "2026-11-24T12:00") -> None:
        self.ms = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    def wall_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


CLAIMS = UseCaseSettings(
    id="claims",
    title="Claims",
    tenant="acme",
    status="approved",
    owner="olga",
    approval=Approval(by=("dora",), on="2026-01-01"),
    purpose="claims-handling",
    intended_purpose="Summarise claims.",
    lawful_basis=LawfulBasis(article_6="6(1)(b)"),
    risk_class="limited",
    data_classes=("public", "personal"),
    models=("chat", "embedder"),
    default_model="chat",
)
HR = msgspec.structs.replace(CLAIMS, id="hr", purpose="recruiting", models=("hr-chat",), default_model=None)
FOREIGN = msgspec.structs.replace(CLAIMS, id="foreign", tenant="globex", models=("secret-model",), default_model=None)
EVERYONE = RuleSettings(id="everyone", description="All may chat.", effect="allow", when=Condition(actions=("chat",)))
CONTEXT = RequestContext(
    request_id="r",
    surface="chat_completions",
    principal=Principal("key:k", "service", "api_key", "k", ("claims-team",), ("agent",), {"site": "bonn"}),
    tenant="acme",
    use_case="claims",
    purpose=None,
    received_ms=0,
    started=0.0,
)
NONE = ObligationSettings()
MODELS = ("chat", "embedder", "hr-chat", "secret-model", "unused")


def point(*rules: RuleSettings, claims: UseCaseSettings = CLAIMS, at: str = "2026-11-24T12:00") -> PolicyDecisionPoint:
    cases = {case.id: case for case in (claims, HR, FOREIGN)}
    return PolicyDecisionPoint(cases, {name: f"digest-{name}" for name in cases}, rules or (EVERYONE,), MODELS, At(at))


def context(**changes: object) -> RequestContext:
    return msgspec.structs.replace(CONTEXT, **changes)


def rule(
    name: str,
    effect: Literal["allow", "deny"] = "allow",
    obligations: ObligationSettings = NONE,
    **when: object,
) -> RuleSettings:
    condition = msgspec.convert(when, Condition)
    return RuleSettings(id=name, description=name, effect=effect, when=condition, obligations=obligations)


def granted(decision: PolicyDecisionPoint, ask: Ask | None = None, who: RequestContext = CONTEXT) -> Grant:
    ruling = decision.authorize(who, ask or Ask("chat", "chat"))
    assert isinstance(ruling, Allow), ruling
    return ruling.value


def refused(decision: PolicyDecisionPoint, ask: Ask | None = None, who: RequestContext = CONTEXT) -> Deny:
    ruling = decision.authorize(who, ask or Ask("chat", "chat"))
    assert isinstance(ruling, Deny), ruling
    return ruling


def test_a_grant_says_everything_later_stages_need() -> None:
    grant = granted(point())
    assert grant.tenant == "acme"
    assert grant.use_case_digest == "digest-claims"
    assert grant.purpose == "claims-handling"
    assert grant.lawful_basis == "6(1)(b)"
    assert grant.model == "chat"
    assert grant.rules == ("everyone",)


def test_an_empty_model_takes_the_default_and_then_the_first() -> None:
    assert granted(point(), Ask("chat")).model == "chat"
    assert granted(point(), Ask("chat"), context(use_case="hr")).model == "hr-chat"


def changed(**changes: object) -> UseCaseSettings:
    return msgspec.structs.replace(CLAIMS, **changes)


@pytest.mark.parametrize(
    ("use_case", "code", "rule_id"),
    [
        (changed(status="draft"), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(status="suspended"), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(status="retired"), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(approval=None), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(approval=Approval(by=(), on="x")), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(approval=Approval(by=("olga",), on="x")), Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved"),
        (changed(tenant="globex"), Code.TENANT_MISMATCH, "builtin:tenant"),
        (changed(lawful_basis=None), Code.LAWFUL_BASIS_MISSING, "builtin:lawful-basis"),
        (changed(data_classes=("special_category",)), Code.LAWFUL_BASIS_MISSING, "builtin:lawful-basis"),
        (changed(purpose="marketing"), None, ""),
        (changed(data_classes=("public",), lawful_basis=None), None, ""),
    ],
)
def test_builtin_checks_have_their_own_code_and_rule(
    use_case: UseCaseSettings, code: Code | None, rule_id: str
) -> None:
    decision = point(claims=use_case)
    if code is None:
        granted(decision)
    else:
        refusal = refused(decision)
        assert (refusal.code, refusal.rule) == (code, rule_id)


def test_an_article_9_ground_opens_special_categories() -> None:
    basis = LawfulBasis(article_6="6(1)(a)", article_9="9(2)(a)")
    grant = granted(point(claims=changed(data_classes=("special_category",), lawful_basis=basis)))
    assert grant.lawful_basis == "6(1)(a), 9(2)(a)"


def test_the_credentials_purpose_must_be_the_use_cases() -> None:
    granted(point(), who=context(purpose="claims-handling"))
    assert refused(point(), who=context(purpose="marketing")).code is Code.PURPOSE_MISMATCH


def test_an_unknown_use_case_is_refused() -> None:
    refusal = refused(point(), who=context(use_case="nobody"))
    assert refusal.code is Code.USE_CASE_UNKNOWN
    assert "nobody" not in refusal.reason


def test_another_tenants_model_is_indistinguishable_from_one_that_does_not_exist() -> None:
    """Otherwise a caller could list the models of other tenants by guessing names."""
    foreign = refused(point(), Ask("chat", "secret-model"))
    unused = refused(point(), Ask("chat", "unused"))
    absent = refused(point(), Ask("chat", "no-such-model"))
    assert foreign == unused == absent
    assert foreign.code is Code.MODEL_NOT_FOUND


def test_a_model_of_the_own_tenant_is_named_as_not_allowed() -> None:
    assert refused(point(), Ask("chat", "hr-chat")).code is Code.MODEL_NOT_ALLOWED


def test_a_model_that_left_the_workspace_is_not_found() -> None:
    assert refused(point(claims=changed(models=("gone",))), Ask("chat", "gone")).code is Code.MODEL_NOT_FOUND


def test_modalities_and_tools_need_approval() -> None:
    assert refused(point(), Ask("chat", "chat", modalities=("image",))).code is Code.MODALITY_DENIED
    granted(point(claims=changed(modalities=("image",))), Ask("chat", "chat", modalities=("image",)))
    granted(point(), Ask("chat", "chat", tools=True))
    assert refused(point(claims=changed(tools=False)), Ask("chat", "chat", tools=True)).rule == "builtin:tools"


def test_nothing_is_allowed_unless_a_rule_allows_it() -> None:
    refusal = refused(point(rule("hr-only", use_cases=["hr"])))
    assert (refusal.code, refusal.rule) == (Code.POLICY_DENIED, "builtin:default-deny")
    assert refused(point(), Ask("embed", "embedder")).rule == "builtin:default-deny"
    assert refused(point(), Ask("no-such-action", "chat")).rule == "builtin:default-deny"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_denial_wins_wherever_it_stands(order: tuple[int, int]) -> None:
    rules = (EVERYONE, rule("stop", "deny", groups=["claims-team"]))
    refusal = refused(point(*(rules[place] for place in order)))
    assert (refusal.code, refusal.rule) == (Code.POLICY_DENIED, "stop")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, True),
        ({"tenants": ["acme"]}, True),
        ({"tenants": ["globex"]}, False),
        ({"use_cases": ["claims", "hr"]}, True),
        ({"purposes": ["recruiting"]}, False),
        ({"risk_classes": ["limited"]}, True),
        ({"risk_classes": ["high"]}, False),
        ({"models": ["chat"]}, True),
        ({"models": ["*"], "groups": ["*"]}, True),
        ({"models": ["embedder"]}, False),
        ({"groups": ["other", "claims-team"]}, True),
        ({"groups": ["other"]}, False),
        ({"roles": ["agent"]}, True),
        ({"roles": ["agent"], "groups": ["other"]}, False),
        ({"principal_types": ["user"]}, False),
        ({"authn": ["api_key"]}, True),
        ({"attributes": {"site": ["bonn", "kiel"]}}, True),
        ({"attributes": {"site": ["kiel"]}}, False),
        ({"attributes": {"site": ["*"]}}, True),
        ({"attributes": {"floor": ["*"]}}, False),
        ({"modalities": ["image"]}, False),
        ({"tools": True}, False),
        ({"tools": False}, True),
    ],
)
def test_conditions(when: dict[str, Any], expected: bool) -> None:
    decision = point(rule("tested", **when))
    assert isinstance(decision.authorize(CONTEXT, Ask("chat", "chat")), Allow) is expected
    (line,) = decision.explain(CONTEXT, Ask("chat", "chat")).rules
    assert line.applied is expected
    assert bool(line.why_not) is not expected


def test_unless_lifts_a_rule() -> None:
    freeze = RuleSettings(
        id="freeze",
        description="Nobody but the on-call team.",
        effect="deny",
        when=Condition(),
        unless=Condition(groups=("on-call",)),
    )
    assert refused(point(EVERYONE, freeze)).rule == "freeze"
    on_call = context(principal=msgspec.structs.replace(CONTEXT.principal, groups=("on-call",)))
    granted(point(EVERYONE, freeze), who=on_call)


def test_obligations_merge_to_the_strictest() -> None:
    rules = (
        rule("a", obligations=ObligationSettings(regions=("eu", "ch"))),
        rule("b", obligations=ObligationSettings(regions=("eu", "us"), screen="strict")),
        rule("c", obligations=ObligationSettings(on_premises_only=True, logging="full", screen="strict")),
        rule("d"),
    )
    grant = granted(point(*rules))
    assert grant.obligations.regions == ("eu",)
    assert grant.obligations.on_premises_only
    assert grant.obligations.logging == "full"
    assert grant.capture
    assert grant.screen == "strict"
    assert grant.rules == ("a", "b", "c", "d")


def test_a_rule_that_demands_approval_lets_nothing_through_without_one() -> None:
    """An obligation that nobody enforces would be worse than none."""
    refusal = refused(point(EVERYONE, rule("ask", obligations=ObligationSettings(human_approval=True))))
    assert (refusal.code, refusal.rule) == (Code.APPROVAL_REQUIRED, "ask")


def test_regions_that_exclude_each_other_leave_nothing_rather_than_everything() -> None:
    """An empty tuple means any region to the router; the merge must never produce it by accident."""
    rules = (rule("a", obligations=ObligationSettings(regions=("us",))),)
    refusal = refused(point(*rules, claims=changed(regions=("eu",))))
    assert (refusal.code, refusal.rule) == (Code.REGION_DENIED, "a")


def test_a_rule_cannot_widen_the_use_cases_regions() -> None:
    grant = granted(point(EVERYONE, claims=changed(regions=("eu",), on_premises_only=True)))
    assert grant.obligations.regions == ("eu",)
    assert grant.obligations.on_premises_only


def test_two_rules_with_two_screens_are_refused() -> None:
    rules = (
        rule("a", obligations=ObligationSettings(screen="strict")),
        rule("b", obligations=ObligationSettings(screen="other")),
    )
    assert refused(point(*rules)).rule == "b"


@pytest.mark.parametrize(
    ("when", "unless", "word"),
    [
        ({"models": ["gpt-*"]}, None, "pattern"),
        ({"groups": ["team?*"]}, None, "pattern"),
        ({"attributes": {"site": []}}, None, "never matches"),
        ({}, {}, "unless"),
        ({"time": {"timezone": "Europe/Atlantis"}}, None, "time zone"),
        ({"time": {"timezone": "../../etc/passwd"}}, None, "time zone"),
        ({"time": {"timezone": "Europe"}}, None, "time zone"),
        ({"time": {"between": "09:00-09:00"}}, None, "empty"),
        ({"time": {"between": "09:00-25:00"}}, None, "hour"),
        ({"time": {"between": "24:00-09:00"}}, None, "24:00"),
    ],
)
def test_rules_that_cannot_mean_what_they_say_stop_the_build(
    when: dict[str, object], unless: dict[str, object] | None, word: str
) -> None:
    settings = msgspec.convert(
        {"id": "odd", "description": "odd", "effect": "deny", "when": when}
        | ({"unless": unless} if unless is not None else {}),
        RuleSettings,
    )
    with pytest.raises(PolicyMistake, match=word):
        point(settings)


def test_two_rules_with_one_id_stop_the_build() -> None:
    with pytest.raises(PolicyMistake, match="same id"):
        point(EVERYONE, EVERYONE)


def test_a_rule_that_cannot_be_evaluated_refuses() -> None:
    """It might have been the rule that forbids."""

    class Broken(At):
        def wall_ms(self) -> int:
            return 10**20

    night = RuleSettings(id="night", description="n", effect="deny", when=Condition(time=TimeWindow()))
    cases = {"claims": CLAIMS}
    decision = PolicyDecisionPoint(cases, {"claims": "d"}, (EVERYONE, night), MODELS, Broken())
    refusal = refused(decision)
    assert (refusal.code, refusal.rule) == (Code.POLICY_DENIED, "night")


HOURS: list[tuple[str, str, str, bool]] = [
    ("mon,tue,wed,thu,fri", "09:00-17:00", "2026-11-24T08:00", True),  # Tuesday, 09:00 in Berlin
    ("mon,tue,wed,thu,fri", "09:00-17:00", "2026-11-24T07:59", False),
    ("mon,tue,wed,thu,fri", "09:00-17:00", "2026-11-24T15:59", True),
    ("mon,tue,wed,thu,fri", "09:00-17:00", "2026-11-24T16:00", False),
    ("mon,tue,wed,thu,fri", "09:00-17:00", "2026-11-28T10:00", False),  # Saturday
    ("fri", "22:00-06:00", "2026-11-27T21:30", True),  # Friday 22:30
    ("fri", "22:00-06:00", "2026-11-28T03:00", True),  # Saturday 04:00 belongs to Friday's night
    ("fri", "22:00-06:00", "2026-11-28T05:00", False),  # 06:00
    ("fri", "22:00-06:00", "2026-11-28T21:30", False),  # Saturday night
    ("fri", "22:00-06:00", "2026-11-27T03:00", False),  # Thursday's night
    ("sun", "22:00-06:00", "2026-11-30T03:00", True),  # Monday 04:00 belongs to Sunday
    ("", "09:00-17:00", "2026-07-01T07:00", True),  # summer time: 09:00
    ("", "09:00-17:00", "2026-07-01T15:00", False),
    ("", "00:00-24:00", "2026-07-01T22:00", True),
]


@pytest.mark.parametrize(("days", "between", "at", "inside"), HOURS)
def test_hours(days: str, between: str, at: str, inside: bool) -> None:
    time = {"days": [day for day in days.split(",") if day], "between": between, "timezone": "Europe/Berlin"}
    decision = point(rule("hours", time=time), at=at)
    assert isinstance(decision.authorize(CONTEXT, Ask("chat", "chat")), Allow) is inside


def test_visible_models_are_those_a_call_would_reach() -> None:
    assert point().visible_models(CONTEXT) == ("chat", "embedder")
    assert point(rule("all")).visible_models(CONTEXT) == ("chat", "embedder")
    assert point(rule("all"), rule("no", "deny", models=["chat"])).visible_models(CONTEXT) == ("embedder",)
    assert point(rule("all"), claims=changed(status="draft")).visible_models(CONTEXT) == ()
    assert point().visible_models(context(use_case="nobody")) == ()
    assert point(rule("all")).visible_models(context(tenant="globex")) == ()


def test_explain_shows_every_check_and_rule() -> None:
    decision = point(EVERYONE, rule("hr-only", use_cases=["hr"]), rule("stop", "deny", groups=["claims-team"]))
    explanation = decision.explain(context(purpose="marketing"), Ask("chat", "hr-chat"))
    assert isinstance(explanation.ruling, Deny)
    assert explanation.ruling.code is Code.PURPOSE_MISMATCH
    failed = [line.id for line in explanation.checks if not line.passed]
    assert failed == ["builtin:purpose", "builtin:model-allowed"]
    assert {line.id: line.why_not for line in explanation.rules} == {
        "everyone": "",
        "hr-only": "when.use_cases does not match",
        "stop": "",
    }


def test_asking_for_no_model_is_fine_where_none_is_needed() -> None:
    decision = point(rule("lists", actions=["list_models"]))
    assert granted(decision, Ask("list_models")).model == ""
