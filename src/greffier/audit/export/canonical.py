"""The canonical event: one flat shape that every format is mapped from, and how journal events become it.

One journal event becomes one entry about the act or request itself and one entry per detection in it. Entries hold
references, digests, counts and codes, as the journal does; never the words of a prompt, an answer or a comment.
"""

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Literal

import msgspec

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export import taxonomy
from greffier.audit.export.codes import ACTS, CODES, NOUNS, OTHER_CODE, REFUSED, EventCode, Family, Severity
from greffier.audit.ports import JournalReader, Sequenced
from greffier.core.clock import Clock
from greffier.core.errors import Code
from greffier.core.events import Act, Admission, AnyEvent, Feedback, GuardrailLine, Outcome, RequestFacts, parse

_REMEMBERED = 5_000  # admissions kept until their outcome; an older one is looked up in the journal
_PPM = 1_000_000
_MAX_REASON = 512

Result = Literal["success", "failure", "unknown"]
Decision = Literal["allow", "deny", "cancelled", ""]

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


class Detection(msgspec.Struct, frozen=True):
    """What a detector or a rule found.

    Attributes:
        type: Type of the finding, as the screen's rules name it.
        detector: Which detector measured it; empty for a refusal that is a detection by itself.
        learned: Whether a classifier measured it (OCSF analytic type 4), not a rule (1).
        stage: Where: in the input or in the output.
        action: What was done about it.
        count: How often it was found.
        score_ppm: Highest confidence, millionths.
        alert: Whether something was stopped because of it.
        owasp: Entry of the OWASP LLM Top 10 with its year.
        atlas: MITRE ATLAS techniques.
        data_class: For sensitive data: its class.
    """

    type: str
    detector: str = ""
    learned: bool = False
    stage: str = ""
    action: str = ""
    count: int = 1
    score_ppm: int = _PPM
    alert: bool = False
    owasp: str = ""
    atlas: tuple[str, ...] = ()
    data_class: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical event.

    Attributes:
        seq: Sequence number in the journal, from 1 without gaps; entries of one journal event share it.
        prev_seq: ``seq`` of the last journal event this sink was sent something about before. Following it backwards
            shows every gap, whatever the sink's filter leaves out. 0 for the first.
        code: What kind of event.
        related: For a detection: the id of the entry it was found in.
    """

    id: str
    seq: int
    time_ms: int
    code: EventCode
    prev_seq: int = 0
    workspace: str = ""
    tenant: str = ""
    action: str = ""
    result: Result = "unknown"
    error: str = ""
    reason: str = ""
    decision: Decision = ""
    rule: str = ""
    bundle: str = ""
    actor: str = ""
    actor_type: str = ""
    authn: str = ""
    credential: str = ""
    on_behalf_of: str = ""
    ip: str = ""
    source: str = ""
    request_id: str = ""
    session: str = ""
    trace_id: str = ""
    use_case: str = ""
    use_case_digest: str = ""
    risk_class: str = ""
    purpose: str = ""
    lawful_basis: str = ""
    data_classes: tuple[str, ...] = ()
    model: str = ""
    response_model: str = ""
    provider: str = ""
    deployment: str = ""
    region: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_micro: int | None = None
    latency_us: int | None = None
    rating: int | None = None
    commits: tuple[str, ...] = ()
    target: str = ""
    details: tuple[tuple[str, str], ...] = ()
    related: str = ""
    detection: Detection | None = None

    @property
    def family(self) -> Family:
        """Which kind of event it is: that of its code, but a refusal that is a detection by itself is a finding too."""
        return "finding" if self.detection is not None and self.code.family == "request" else self.code.family


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
    if event.action == "audit.verify" and event.details.get("ok") is False:
        code = "GW-3034"
    return Entry(
        **_head(event, seq, code),
        action=event.action,
        result="failure" if code == "GW-3034" else "success",
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


def checkpoint_entry(checkpoint: Checkpoint, workspace: str) -> Entry:
    """A signed tree head as an event: it anchors the log in the SIEM, outside of the operator's own files."""
    return Entry(
        id=f"chk_{checkpoint.size}_{checkpoint.time_ms}",
        seq=checkpoint.size,
        time_ms=checkpoint.time_ms,
        code=CODES["GW-3090"],
        workspace=workspace,
        action="audit.checkpoint",
        result="success",
        actor="platform",
        target=checkpoint.origin,
        details=(("root", checkpoint.root.hex()), ("size", str(checkpoint.size))),
    )


def marked_entry(identifier: str, time_ms: int, workspace: str, actor: str) -> Entry:
    """A marked event for trying a sink out; it is not in the journal and has sequence number 0."""
    return Entry(
        id=identifier,
        seq=0,
        time_ms=time_ms,
        code=CODES["GW-9000"],
        workspace=workspace,
        action="sink.test",
        result="success",
        actor=actor,
        target="sink",
    )


def unreadable(seq: int, workspace: str, now_ms: int) -> Entry:
    """A record that is no event: somebody changed the journal. Its sequence number is kept, so that no gap opens."""
    return Entry(
        id=f"unreadable_{seq}",
        seq=seq,
        time_ms=now_ms,
        code=CODES["GW-5900"],
        workspace=workspace,
        action="audit.read",
        result="failure",
        actor="platform",
        target=f"event:{seq}",
    )


def missing(first: int, last: int, workspace: str, now_ms: int) -> Entry:
    """Records that the journal no longer has although a sink was not sent them: deleted, or past their retention."""
    return Entry(
        id=f"missing_{first}_{last}",
        seq=last,
        time_ms=now_ms,
        code=CODES["GW-5901"],
        workspace=workspace,
        action="audit.read",
        result="failure",
        actor="platform",
        target=f"events:{first}-{last}",
    )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
