import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.audit.explain import explain, headline
from greffier.audit.ports import Sequenced
from greffier.core.events import (
    Act,
    Admission,
    AnyEvent,
    AttemptLine,
    Feedback,
    GuardrailLine,
    Outcome,
    PartLine,
    RequestFacts,
    RulingLine,
    canonical,
)

FACTS = RequestFacts(
    actor="key:k_7", actor_type="service", authn="api_key", roles=("agent",), surface="chat_completions", action="chat",
    use_case="claims", use_case_digest="a" * 64, risk_class="high", purpose="claims-handling", lawful_basis="6(1)(b)",
    bundle="b" * 64, policy_rules=("allow-claims",), obligations=("on_premises_only",), prompt="claims",
    prompt_digest="c" * 64, model="assistant", deployment="local", provider="local", region="eu",
    why="health data was found, so only our own machines may answer", stream=True, peer="10.0.0.9",
    data_classes=("health",),
)  # fmt: skip
ADMISSION = Admission(
    id="evt_1", ts=1_700_000_000_000, tenant="acme", request_id="req_1", facts=FACTS,
    rulings=(RulingLine("authenticate", "allow", "api-key"), RulingLine("authorize", "allow", "allow-claims")),
    guardrails=(GuardrailLine("patterns", "CREDIT_CARD", "input", "redact", 2, 990_000, "pii.cards"),),
    parts=(PartLine("prompt", "part_1", "d" * 64),),
)  # fmt: skip
OUTCOME = Outcome(
    id="evt_2", ts=1_700_000_000_800, tenant="acme", request_id="req_1", outcome="answered",
    rulings=(RulingLine("screen_output", "allow", "default"),),
    attempts=(AttemptLine("first", "failed", 900, "upstream_timeout"), AttemptLine("local", "answered", 700_000)),
    deployment="local", finish_reason="stop", input_tokens=100, cached_tokens=20, output_tokens=55, cost_micro=1_234,
    latency_us=812_400,
)  # fmt: skip
FEEDBACK = Feedback(
    id="evt_3", ts=1_700_000_100_000, tenant="acme", request_id="req_1", actor="key:k_7", use_case="claims",
    rating=2, outcome="wrong", edited=True,
)  # fmt: skip


def rows(*events: AnyEvent) -> list[Sequenced]:
    return [Sequenced(number, canonical(event)) for number, event in enumerate(events, 11)]


def story(*events: AnyEvent) -> dict[str, str]:
    return dict(explain(rows(*events)).story)


def test_the_story_answers_every_question_of_the_record() -> None:
    told = story(ADMISSION, OUTCOME, FEEDBACK)
    assert told["Outcome"] == "answered 2023-11-14 22:13:20 UTC after 812.4 ms"
    assert told["Who"] == "key:k_7 (service, by api_key) of tenant acme, roles agent, from 10.0.0.9"
    assert told["Asked"] == "chat through chat_completions, model assistant, streamed"
    assert "claims-handling, lawful basis GDPR Art. 6(1)(b), use case claims (high risk)" in told["Purpose"]
    assert "data classes health" in told["Purpose"]
    assert "authenticate allow by api-key; authorize allow by allow-claims; screen_output allow" in told["Rules"]
    assert "obligations on_premises_only" in told["Rules"]
    assert told["Prompt"] == "2 CREDIT_CARD found by patterns, rule pii.cards: redact"
    assert told["Model"] == (
        "local (local, region eu), because health data was found, so only our own machines may answer; "
        "calls: first failed upstream_timeout, local answered"
    )
    assert told["Answer"] == "120 tokens in, 55 out, cost 0.001234, ended by stop"
    assert "bundle bbbbbbbbbbbbbbbb" in told["Version"]
    assert "prompt claims@cccccccccccccccc" in told["Version"]
    assert told["Content"] == "kept encrypted: prompt (part_1)"
    assert told["Feedback"].startswith("wrong, rating 2, edited by key:k_7")
    assert "event 11 (admission) not compared" in told["Evidence"]


def test_a_refusal_says_which_rule_and_that_nothing_left() -> None:
    refused = Outcome(
        id="evt_2", ts=1, tenant="acme", request_id="req_1", outcome="denied", code="guardrail_blocked",
        rule="default.injection", facts=FACTS,
        rulings=(RulingLine("screen_input", "deny", "default.injection", 9, "guardrail_blocked"),),
    )  # fmt: skip
    told = story(refused)
    assert "code guardrail_blocked, rule default.injection; nothing was sent to a model" in told["Outcome"]
    assert "screen_input deny by default.injection (guardrail_blocked)" in told["Rules"]
    assert "Answer" not in told


def test_a_refused_stranger_is_not_given_a_name() -> None:
    stranger = Outcome(
        id="evt",
        ts=1,
        request_id="req_1",
        outcome="denied",
        code="invalid_api_key",
        facts=RequestFacts(peer="10.0.0.9"),
    )
    told = story(stranger)
    assert told["Who"] == "nobody was authenticated; address 10.0.0.9"
    assert told["Purpose"].startswith("none was established")


def test_an_admission_without_outcome_is_told_as_such() -> None:
    explanation = explain(rows(ADMISSION))
    assert explanation.outcome == "open"
    assert "still running, or the process was killed" in dict(explanation.story)["Outcome"]


def test_feedback_alone_and_no_record_at_all() -> None:
    assert explain(rows(FEEDBACK)).outcome == "open"
    with pytest.raises(ValueError, match="no record"):
        explain([])


def test_the_seals_reach_the_story() -> None:
    explanation = explain(rows(ADMISSION, OUTCOME), {11: "proven", 12: "contradicted"})
    assert "event 12 (outcome) NOT what was sealed" in dict(explanation.story)["Evidence"]


@pytest.mark.parametrize(
    "event", [ADMISSION, OUTCOME, FEEDBACK, Act(id="e", ts=1, action="key.create", actor="os:root:0")]
)
def test_every_kind_of_event_has_a_headline(event: AnyEvent) -> None:
    assert headline(event)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
        max_leaves=5,
    )
)
def test_canonical_bytes_are_those_of_any_json_library(value: Any) -> None:
    """RFC 8785 for our subset: a verifier in any language can write the same bytes again."""
    text = json.dumps(value, default=str)
    event = Act(id="e", ts=1, action="a.b", actor=text, reason=str(value), details={"t": text, "n": 1, "b": True})
    again = json.dumps(json.loads(canonical(event)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == canonical(event)
