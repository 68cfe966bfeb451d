"""The explanation of one answer, from its records alone: no model is asked, nothing is recomputed or guessed.

Who asked, for what purpose and on which legal ground, what was found, which rules fired, which model answered and why,
under which release, at what cost, what became of it, and what people said about it afterwards (AI Act Art. 12 and 86,
GDPR Art. 15(1)(h)).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from greffier.audit.ports import Sequenced
from greffier.core.deployment import MICRO
from greffier.core.events import (
    Act,
    Admission,
    AnyEvent,
    Feedback,
    GuardrailLine,
    Outcome,
    RequestFacts,
    ReviewLine,
    parse,
)

Seal = Literal["proven", "unsealed", "contradicted", "unknown"]


class Evidence(msgspec.Struct, frozen=True):
    """Where one record stands.

    Attributes:
        seq: Its number in the journal.
        event: Its identifier.
        kind: ``admission``, ``outcome``, ``feedback`` or ``act``.
        ts_ms: When, milliseconds since the epoch.
        seal: ``proven`` under the newest checkpoint, ``unsealed`` for the moment, ``contradicted`` when the journal
            and the log disagree, ``unknown`` when there is no checkpoint to ask.
    """

    seq: int
    event: str
    kind: str
    ts_ms: int
    seal: Seal = "unknown"


class Explanation(msgspec.Struct, frozen=True):
    """What the records say.

    Attributes:
        request_id: The request.
        tenant: On whose behalf.
        outcome: ``answered``, ``denied``, ``failed``, ``cancelled``, or ``open`` while no outcome is recorded.
        code: Error code, where there is one.
        story: The explanation in sentences, each with its heading.
        facts: Who, what, for what and under which rules, as recorded.
        stages: Ruling of each stage, in order.
        findings: What the guardrails found, counted.
        attempts: Calls to deployments, in order.
        result: Numbers of the answer: tokens, cost, times.
        parts: Content kept apart, by reference.
        feedback: Verdicts of users.
        evidence: The records it was told from.
    """

    request_id: str
    tenant: str
    outcome: str
    code: str
    story: tuple[tuple[str, str], ...]
    facts: dict[str, Any]
    stages: tuple[dict[str, Any], ...]
    findings: tuple[dict[str, Any], ...]
    attempts: tuple[dict[str, Any], ...]
    result: dict[str, Any]
    parts: tuple[dict[str, Any], ...]
    feedback: tuple[dict[str, Any], ...]
    evidence: tuple[Evidence, ...]


def explain(rows: Sequence[Sequenced], seals: dict[int, Seal] | None = None) -> Explanation:
    """Join the records of one request.

    Args:
        rows: All its records, in order.
        seals: What the log says about each, by sequence number.

    Raises:
        ValueError: There is no record, or one cannot be read.
    """
    if not rows:
        raise ValueError("there is no record of this request")
    events = [(row.seq, parse(row.data)) for row in rows]
    admission = next((event for _, event in events if isinstance(event, Admission)), None)
    outcome = next((event for _, event in events if isinstance(event, Outcome)), None)
    said = [event for _, event in events if isinstance(event, Feedback)]
    facts = admission.facts if admission else outcome.facts if outcome and outcome.facts else RequestFacts()
    carriers = [event for event in (admission, outcome) if event is not None]
    evidence = tuple(
        Evidence(seq, event.id, _kind(event), event.ts, (seals or {}).get(seq, "unknown")) for seq, event in events
    )
    return Explanation(
        request_id=events[0][1].request_id,
        tenant=events[0][1].tenant,
        outcome=outcome.outcome if outcome else "open",
        code=outcome.code if outcome else "",
        story=tuple(_story(facts, admission, outcome, said, evidence)),
        facts=_plain(facts),
        stages=tuple(_plain(line) for carrier in carriers for line in carrier.rulings),
        findings=tuple(_plain(line) for carrier in carriers for line in carrier.guardrails),
        attempts=tuple(_plain(line) for line in outcome.attempts) if outcome else (),
        result=_result(outcome),
        parts=tuple(_plain(line) for event in (*carriers, *said) for line in event.parts),
        feedback=tuple(_plain(event) for event in said),
        evidence=evidence,
    )


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def _kind(event: AnyEvent) -> str:
    return str(type(event).__struct_config__.tag)


def _result(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {}
    names = (
        "deployment", "response_model", "finish_reason", "input_tokens", "output_tokens", "cached_tokens",
        "tokens_estimated", "cost_micro", "output_chars", "ai_marked", "latency_us", "first_token_us", "overhead_us",
    )  # fmt: skip
    return {name: getattr(outcome, name) for name in names}


# --- the story


def _story(
    facts: RequestFacts,
    admission: Admission | None,
    outcome: Outcome | None,
    said: list[Feedback],
    evidence: tuple[Evidence, ...],
) -> Iterable[tuple[str, str]]:
    yield "Outcome", _ending(admission, outcome)
    yield "Who", _who(facts, (admission or outcome or said[0]).tenant if admission or outcome or said else "")
    yield "Asked", _asked(facts)
    yield "Purpose", _purpose(facts)
    yield "Rules", _rules(facts, admission, outcome)
    yield from _guardrails(admission, outcome)
    if facts.review is not None:
        yield "Review", _review(facts.review)
    if facts.deployment or facts.why or (outcome and outcome.attempts):
        yield "Model", _model(facts, outcome)
    if outcome is not None and outcome.outcome == "answered":
        yield "Answer", _answer(outcome)
    yield "Version", _version(facts)
    parts = [line for event in (admission, outcome, *said) if event is not None for line in event.parts]
    kept = ", ".join(f"{line.part} ({line.store_id})" for line in parts)
    yield "Content", f"kept encrypted: {kept}" if kept else "not kept; the record holds references and counts only"
    for event in said:
        yield "Feedback", _feedback(event)
    yield "Evidence", _evidence(evidence)


def _ending(admission: Admission | None, outcome: Outcome | None) -> str:
    if outcome is None:
        if admission is None:
            return "no admission and no outcome is recorded"
        return f"admitted {_time(admission.ts)}; no outcome is recorded: still running, or the process was killed"
    took = f" after {outcome.latency_us / 1000:.1f} ms" if outcome.latency_us else ""
    text = f"{outcome.outcome} {_time(outcome.ts)}{took}"
    if outcome.code:
        text += f"; code {outcome.code}"
    if outcome.rule:
        text += f", rule {outcome.rule}"
    if admission is None:
        text += "; nothing was sent to a model"
    return text


def _who(facts: RequestFacts, tenant: str) -> str:
    if not facts.actor:
        return "nobody was authenticated" + (f"; address {facts.peer}" if facts.peer else "")
    text = f"{facts.actor} ({facts.actor_type or 'actor'}, by {facts.authn or 'unknown means'}) of tenant {tenant}"
    if facts.roles:
        text += f", roles {', '.join(facts.roles)}"
    if facts.end_user_ref:
        text += f", for end user {facts.end_user_ref}"
    return text + (f", from {facts.peer}" if facts.peer else "")


def _asked(facts: RequestFacts) -> str:
    text = f"{facts.action or 'a request'} through {facts.surface or 'an unknown surface'}"
    if facts.model:
        text += f", model {facts.model}"
    return text + (", streamed" if facts.stream else "")


def _purpose(facts: RequestFacts) -> str:
    if not facts.use_case:
        return "none was established: the request was refused before its use case was known"
    text = facts.purpose or "no purpose"
    if facts.lawful_basis:
        text += f", lawful basis GDPR Art. {facts.lawful_basis}"
    text += f", use case {facts.use_case}"
    if facts.risk_class:
        text += f" ({facts.risk_class} risk)"
    if facts.data_classes:
        text += f", data classes {', '.join(facts.data_classes)}"
    return text


def _rules(facts: RequestFacts, admission: Admission | None, outcome: Outcome | None) -> str:
    lines = [line for event in (admission, outcome) if event is not None for line in event.rulings]
    ruled = [f"{line.point} {line.verdict} by {line.rule}" + (f" ({line.code})" if line.code else "") for line in lines]
    text = "; ".join(ruled) or "no stage ruled"
    if facts.policy_rules:
        text += f"; policy rules {', '.join(facts.policy_rules)}"
    if facts.obligations:
        text += f"; obligations {', '.join(facts.obligations)}"
    return text


def _guardrails(admission: Admission | None, outcome: Outcome | None) -> Iterable[tuple[str, str]]:
    lines = [line for event in (admission, outcome) if event is not None for line in event.guardrails]
    for heading, stage in (("Prompt", "input"), ("Output", "output")):
        found = [_found(line) for line in lines if line.stage == stage]
        if found:
            yield heading, "; ".join(found)
    if not lines:
        yield "Findings", "none"


def _found(line: GuardrailLine) -> str:
    rule = f", rule {line.rule}" if line.rule else ""
    return f"{line.count} {line.type} found by {line.detector}{rule}: {line.action or 'flagged'}"


def _model(facts: RequestFacts, outcome: Outcome | None) -> str:
    answered = outcome.deployment if outcome and outcome.deployment else facts.deployment
    text = answered or "none"
    if facts.provider:
        text += f" ({facts.provider}{f', region {facts.region}' if facts.region else ''})"
    if facts.why:
        text += f", because {facts.why}"
    if outcome and outcome.attempts:
        calls = [f"{call.deployment} {call.outcome}{f' {call.code}' if call.code else ''}" for call in outcome.attempts]
        text += f"; calls: {', '.join(calls)}"
    return text


def _review(line: ReviewLine) -> str:
    text = f"{line.review} {line.status}"
    if line.by:
        text += f" by {line.by}"
    return f"{text}: {line.reason}" if line.reason else text


def _answer(outcome: Outcome) -> str:
    counted = " (counted by us)" if outcome.tokens_estimated else ""
    text = f"{outcome.input_tokens + outcome.cached_tokens} tokens in, {outcome.output_tokens} out{counted}"
    text += f", cost {outcome.cost_micro // MICRO}.{outcome.cost_micro % MICRO:06d}"
    if outcome.finish_reason:
        text += f", ended by {outcome.finish_reason}"
    return text + ("" if outcome.ai_marked else ", not marked as made by AI")


def _version(facts: RequestFacts) -> str:
    prompt = f"{facts.prompt}@{_short(facts.prompt_digest)}" if facts.prompt else ""
    digests = {
        "bundle": _short(facts.bundle),
        "release": _short(facts.release),
        "use case": _short(facts.use_case_digest),
        "prompt": prompt,
    }
    parts = [f"{name} {digest}" for name, digest in digests.items() if digest]
    return ", ".join(parts) or "not recorded"


def _short(digest: str) -> str:
    return digest[:16]


def _feedback(event: Feedback) -> str:
    words = [event.outcome, f"rating {event.rating}" if event.rating is not None else "", "edited" * event.edited]
    return f"{', '.join(word for word in words if word) or 'given'} by {event.actor} {_time(event.ts)}"


def _evidence(evidence: tuple[Evidence, ...]) -> str:
    words = {
        "proven": "in the signed log",
        "unsealed": "durable, not sealed yet",
        "contradicted": "NOT what was sealed",
        "unknown": "not compared with the log",
    }
    return "; ".join(f"event {line.seq} ({line.kind}) {words[line.seal]}" for line in evidence)


def _time(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def headline(event: AnyEvent) -> str:
    """One line about an event, for lists."""
    match event:
        case Admission():
            return f"{event.facts.actor} admitted to {event.facts.use_case}, model {event.facts.model}"
        case Outcome():
            how = event.code or (f"by {event.deployment}" if event.deployment else "without a model")
            return f"{event.outcome} {how}"
        case Act():
            return f"{event.actor} {event.action} {event.target}".rstrip()
        case Feedback():
            return _feedback(event)
