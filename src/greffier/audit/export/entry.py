"""The canonical event: one flat shape that every format is mapped from.

Entries hold references, digests, counts and codes, as the journal does; never the words of a prompt, an answer or a
comment.
"""

from typing import Literal

import msgspec

from greffier.audit.export.codes import EventCode, Family

_PPM = 1_000_000

Result = Literal["success", "failure", "unknown"]
Decision = Literal["allow", "deny", "cancelled", ""]


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
