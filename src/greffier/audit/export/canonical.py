"""How journal events become entries, the canonical events that every format is mapped from.

One journal event becomes one entry about the act or request itself and one entry per detection in it. Entries hold
references, digests, counts and codes, as the journal does; never the words of a prompt, an answer or a comment.
"""

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import msgspec

from greffier.audit.export import taxonomy
from greffier.audit.export.codes import ACTS, CODES, NOUNS, OTHER_CODE, REFUSED, EventCode, Severity
from greffier.audit.export.entry import Detection, Entry
from greffier.audit.export.notices import unreadable
from greffier.audit.ports import JournalReader, Sequenced
from greffier.core.clock import Clock
from greffier.core.errors import Code
from greffier.core.events import Act, Admission, AnyEvent, Feedback, GuardrailLine, Outcome, RequestFacts, parse

_REMEMBERED = 5_000  # admissions kept until their outcome; an older one is looked up in the journal
_PPM = 1_000_000
_MAX_REASON = 512
_FAILED = {"audit.verify": "GW-3034", "document.verify": "GW-3075"}

OPERATIONS = {
    "chat": "llm.chat",
    "embed": "llm.embeddings",
    "check": "guardrail.check",
    "list_models": "model.list",
    "feedback": "feedback.give",
    "chat_completions": "llm.chat",
    "messages": "llm.chat",
    "responses": "llm.chat",
    "completions": "llm.chat",
    "embeddings": "llm.embeddings",
}
"""Actions and surfaces in the words of the exported events."""


class Canonicaliser:
    """Turns journal events into entries. Give it the events in order; outcomes take the facts of their admission.

    Args:
        workspace: Name of the workspace; stands for the environment.
        reader: Where an admission is looked up that was not seen, as after a restart.
        clock: Gives the time of what carries none.
    """

    def __init__(self, workspace: str, reader: JournalReader, clock: Clock) -> None:
        self._workspace = workspace
        self._reader = reader
        self._clock = clock
        self._facts: OrderedDict[str, RequestFacts] = OrderedDict()

    def entries(self, row: Sequenced) -> tuple[Entry, ...]:
        """The entries of one journal event, itself first. Bytes that are no event become a GW-5900.

        Raises:
            JournalUnavailable: An admission had to be looked up and could not be.
        """
        try:
            event = parse(row.data)
        except (msgspec.MsgspecError, ValueError):
            return (unreadable(row.seq, self._workspace, self._clock.wall_ms()),)
        facts = self._facts_of(event)
        main = msgspec.structs.replace(_main(event, facts, row.seq), workspace=self._workspace)
        return (main, *_detections(main, event))

    def _facts_of(self, event: AnyEvent) -> RequestFacts:
        match event:
            case Admission():
                self._facts[event.request_id] = event.facts
                if len(self._facts) > _REMEMBERED:
                    self._facts.popitem(last=False)
                return event.facts
            case Outcome(facts=RequestFacts() as facts):
                return facts
            case Outcome():
                return self._facts.pop(event.request_id, None) or self._look_up(event.request_id)
        return RequestFacts()

    def _look_up(self, request_id: str) -> RequestFacts:
        for row in self._reader.find(request_id):
            try:
                event = parse(row.data)
            except (msgspec.MsgspecError, ValueError):
                continue
            if isinstance(event, Admission):
                return event.facts
        return RequestFacts()


def _main(event: AnyEvent, facts: RequestFacts, seq: int) -> Entry:
    match event:
        case Admission():
            fields = _request_fields(facts)
            commits = tuple(part.commit for part in event.parts)
            return Entry(**_head(event, seq, "GW-2000"), **fields, result="success", decision="allow", commits=commits)
        case Outcome():
            return _outcome(event, facts, seq)
        case Act():
            return _act(event, seq)
        case Feedback():
            return Entry(
                **_head(event, seq, "GW-2003"),
                action="feedback.give",
                result="success",
                actor=event.actor,
                use_case=event.use_case,
                rating=event.rating,
                commits=tuple(part.commit for part in event.parts),
            )


def _head(event: AnyEvent, seq: int, code: str) -> dict[str, Any]:
    return {
        "id": event.id,
        "seq": seq,
        "time_ms": event.ts,
        "tenant": event.tenant,
        "request_id": event.request_id,
        "code": CODES[code],
    }


def _request_fields(facts: RequestFacts) -> dict[str, Any]:
    return {
        "action": OPERATIONS.get(facts.action) or OPERATIONS.get(facts.surface) or facts.surface or "llm.request",
        "bundle": facts.bundle,
        "actor": facts.actor,
        "actor_type": facts.actor_type,
        "authn": facts.authn,
        "credential": facts.credential,
        "on_behalf_of": facts.end_user_ref,
        "ip": facts.peer if _is_ip(facts.peer) else "",
        "source": facts.peer,
        "session": facts.correlation_id,
        "trace_id": facts.trace_id,
        "use_case": facts.use_case,
        "use_case_digest": facts.use_case_digest,
        "risk_class": facts.risk_class or "",
        "purpose": facts.purpose,
        "lawful_basis": facts.lawful_basis,
        "data_classes": facts.data_classes,
        "model": facts.model,
        "provider": facts.provider,
        "deployment": facts.deployment,
        "region": facts.region,
        "rule": _policy_rule(facts),
    }


def _outcome(event: Outcome, facts: RequestFacts, seq: int) -> Entry:
    if event.outcome == "answered":
        code = "GW-2001"
    elif event.outcome == "cancelled":
        code = "GW-2002"
    else:
        code = refusal_code(event.code)
    answered = event.outcome == "answered"
    fields = _request_fields(facts) | {
        "result": "success" if answered else "unknown" if event.outcome == "cancelled" else "failure",
        "decision": {"answered": "allow", "denied": "deny", "cancelled": "cancelled", "failed": ""}[event.outcome],
        "error": event.code,
        "rule": event.rule or ("" if event.code else _policy_rule(facts)),
        "response_model": event.response_model,
        "commits": (*(part.commit for part in event.parts), *((event.output_commit,) if event.output_commit else ())),
        "cost_micro": event.cost_micro,
        "latency_us": event.latency_us,
    }
    if event.deployment:
        fields["deployment"] = event.deployment
    if event.input_tokens or event.output_tokens:
        fields |= {
            "input_tokens": event.input_tokens + event.cached_tokens,
            "output_tokens": event.output_tokens,
            "cached_tokens": event.cached_tokens,
        }
    return Entry(**_head(event, seq, code), **fields)


def _policy_rule(facts: RequestFacts) -> str:
    return facts.policy_rules[0] if facts.policy_rules else ""


def refusal_code(error: str) -> str:
    """The event code of an error code."""
    try:
        return REFUSED[Code(error)]
    except (ValueError, KeyError):
        return OTHER_CODE


def _act(event: Act, seq: int) -> Entry:
    noun = event.action.partition(".")[0]
    code = ACTS.get(event.action) or NOUNS.get(noun, "GW-3000")
    if event.details.get("ok") is False:
        code = _FAILED.get(event.action, code)
    return Entry(
        **_head(event, seq, code) | {"tenant": event.tenant or _text(event.details.get("tenant", ""))},
        action=event.action,
        result="failure" if event.details.get("ok") is False else "success",
        actor=event.actor,
        target=event.target,
        reason=event.reason[:_MAX_REASON],
        details=tuple((key, _text(value)) for key, value in sorted(event.details.items())),
    )


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _detections(main: Entry, event: AnyEvent) -> Iterator[Entry]:
    if not isinstance(event, Admission | Outcome):
        return
    number = 0
    for line in event.guardrails:
        number += 1
        yield _detection(main, number, line)
    kind = taxonomy.REFUSALS.get(main.code.code)
    if kind is not None:
        detection = Detection(
            type=main.error, action="deny", alert=True, owasp=kind.owasp, atlas=kind.atlas, data_class=kind.data_class
        )
        yield _found(main, number + 1, CODES[kind.code], detection, main.rule)


def _detection(main: Entry, number: int, line: GuardrailLine) -> Entry:
    kind = taxonomy.kind_of(line.type)
    code = CODES[kind.code]
    alert = line.action in {"deny", "escalate"}
    if not alert and code.family == "finding" and code.severity > Severity.LOW:
        code = msgspec.structs.replace(code, severity=Severity(code.severity - 1))  # seen, and let pass by the screen
    detection = Detection(
        type=line.type,
        detector=line.detector,
        learned="model" in line.detector or line.detector in _LEARNED,
        stage=line.stage,
        action=line.action,
        count=line.count,
        score_ppm=line.score_ppm,
        alert=alert,
        owasp=kind.owasp,
        atlas=kind.atlas,
        data_class=kind.data_class,
    )
    return _found(main, number, code, detection, line.rule)


_LEARNED = frozenset({"injection_model", "learned", "toxicity", "disallowed", "harm", "names"})


def _found(main: Entry, number: int, code: EventCode, detection: Detection, rule: str) -> Entry:
    return msgspec.structs.replace(
        main,
        id=f"{main.id}.{number}",
        related=main.id,
        code=code,
        detection=detection,
        rule=rule,
        decision="deny" if detection.alert else "allow",
        result="success",
        error="",
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        cost_micro=None,
        latency_us=None,
    )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
