"""Events of every kind, as the journal holds them, and what they become."""

from collections.abc import Iterator

from greffier.audit.checkpoint import Checkpoint
from greffier.audit.export.canonical import Canonicaliser
from greffier.audit.export.entry import Entry
from greffier.audit.export.notices import checkpoint_entry, marked_entry, missing
from greffier.audit.ports import Sequenced
from greffier.core.events import (
    Act,
    Admission,
    AnyEvent,
    Feedback,
    GuardrailLine,
    Outcome,
    PartLine,
    RequestFacts,
    RulingLine,
    canonical,
)
from greffier.testing.clock import ManualClock

TIME_MS = 1_795_467_240_123
FACTS = RequestFacts(
    actor="user:u-8f3a",
    actor_type="human",
    authn="api_key",
    credential="key_client7",
    surface="chat_completions",
    action="chat",
    use_case="credit",
    use_case_digest="sha256:1111",
    risk_class="high",
    purpose="customer_support",
    lawful_basis="6(1)(f)",
    bundle="sha256:2222",
    policy_rules=("staff-may-ask",),
    model="assistant",
    deployment="onprem",
    provider="openai_compatible",
    region="eu",
    end_user_ref="hmac:77aa",
    correlation_id="s-9",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    peer="10.1.2.3",
    data_classes=("personal",),
)


def _head(number: int) -> dict[str, object]:
    return {"id": f"evt_{number:04}", "ts": TIME_MS + number, "tenant": "acme", "request_id": f"req_{number // 2}"}


EVENTS: dict[str, AnyEvent] = {
    "admission": Admission(
        **_head(2),  # type: ignore[arg-type]
        facts=FACTS,
        rulings=(RulingLine("policy:authorize", "allow", "staff-may-ask", 12),),
        guardrails=(
            GuardrailLine("identifiers", "EMAIL", "input", "redact", 2, 990_000, "gdpr-minimise"),
            GuardrailLine("injection", "prompt_injection", "input", "flag", 1, 610_000, "default-suspicion"),
        ),
        parts=(PartLine("prompt", "p1", "hmac-sha256:aaaa"),),
        reserved_tokens=900,
    ),
    "answered": Outcome(
        **_head(3),  # type: ignore[arg-type]
        outcome="answered",
        deployment="onprem",
        response_model="m-70b",
        finish_reason="stop",
        input_tokens=512,
        output_tokens=211,
        cost_micro=1234,
        latency_us=812_000,
        parts=(PartLine("answer", "p2", "hmac-sha256:bbbb"),),
    ),
    "blocked": Outcome(
        **_head(4),  # type: ignore[arg-type]
        outcome="denied",
        code="guardrail_blocked",
        rule="default-injection",
        facts=FACTS,
        guardrails=(
            GuardrailLine("injection_model", "indirect_injection", "input", "deny", 1, 934_000, "default-injection"),
        ),
    ),
    "card": Outcome(
        **_head(6),  # type: ignore[arg-type]
        outcome="answered",
        facts=FACTS,
        guardrails=(
            GuardrailLine("identifiers", "CREDIT_CARD", "output", "redact", 1, 1_000_000, "default-output-cards"),
            GuardrailLine("secrets", "SECRET", "output", "deny", 1, 1_000_000, "no-secrets"),
            GuardrailLine("health", "HEALTH", "output", "on_premises", 3, 700_000, "special"),
        ),
    ),
    "purpose": Outcome(**_head(8), outcome="denied", code="purpose_mismatch", rule="builtin:purpose", facts=FACTS),  # type: ignore[arg-type]
    "unauthenticated": Outcome(
        **{**_head(10), "tenant": ""},  # type: ignore[arg-type]
        outcome="denied",
        code="missing_credentials",
        rule="builtin:authenticate",
        facts=RequestFacts(surface="chat_completions", peer="unix:"),
    ),
    "upstream": Outcome(**_head(12), outcome="failed", code="upstream_timeout", facts=FACTS),  # type: ignore[arg-type]
    "cancelled": Outcome(**_head(14), outcome="cancelled", code="cancelled", facts=FACTS),  # type: ignore[arg-type]
    "key": Act(
        id="evt_0020",
        ts=TIME_MS,
        action="key.create",
        actor="os:olga:1000",
        target="key:ak_1",
        details={"use_case": "credit"},
    ),
    "revoke": Act(
        id="evt_0021",
        ts=TIME_MS,
        action="key.revoke",
        actor="os:olga:1000",
        target="key:ak_1",
        reason='left | the=firm\\ "now"\nbye ]',
    ),
    "release": Act(
        id="evt_0022",
        ts=TIME_MS,
        action="release.activate",
        actor="os:olga:1000",
        target="bundle:abc",
        details={"n": 2},
    ),
    "unknown_act": Act(id="evt_0023", ts=TIME_MS, action="moon.howl", actor="platform"),
    "verified": Act(
        id="evt_0024",
        ts=TIME_MS,
        action="audit.verify",
        actor="os:ada:0",
        target="log",
        details={"ok": True, "findings": 0},
    ),
    "tampered": Act(
        id="evt_0025",
        ts=TIME_MS,
        action="audit.verify",
        actor="os:ada:0",
        target="log",
        details={"ok": False, "findings": 3},
    ),
    "incident": Act(
        id="evt_0026", ts=TIME_MS, action="incident.open", actor="os:ada:0", target="case:7", reason="breach of Art. 33"
    ),
    "searched": Act(
        id="evt_0031", ts=TIME_MS, action="content.search", actor="os:ada:0", target="dsr:1", tenant="acme"
    ),
    "revealed": Act(
        id="evt_0032",
        ts=TIME_MS,
        action="content.reveal",
        actor="os:ada:0",
        target="request:req_1",
        reason="complaint 7",
    ),
    "purged": Act(
        id="evt_0033",
        ts=TIME_MS,
        action="content.purge",
        actor="platform:retention",
        target="content:prompt",
        tenant="acme",
        details={"parts": 4, "rule": "claims"},
    ),
    "erased": Act(id="evt_0034", ts=TIME_MS, action="dsr.erase", actor="os:ada:0", target="dsr:1", details={"refs": 1}),
    "stale": Act(
        id="evt_0035",
        ts=TIME_MS,
        action="document.verify",
        actor="os:ada:0",
        target="sha256:3333",
        details={"ok": False, "findings": 2},
    ),
    "feedback": Feedback(**_head(30), actor="user:u-8f3a", use_case="credit", rating=-1, reason="SECRET-WORDS"),  # type: ignore[arg-type]
}


class Rows:
    """`JournalReader` over the events above."""

    def __init__(self) -> None:
        self.rows = [Sequenced(number, canonical(event)) for number, event in enumerate(EVENTS.values(), 1)]

    def size(self) -> int:
        """How many."""
        return len(self.rows)

    def first(self) -> int:
        """Nothing was dropped."""
        return 1

    def read(self, start: int, limit: int) -> list[Sequenced]:
        """See `JournalReader.read`."""
        return self.rows[start - 1 : start - 1 + limit]

    def find(self, request_id: str) -> list[Sequenced]:
        """See `JournalReader.find`."""
        wanted = [seq for seq, event in enumerate(EVENTS.values(), 1) if event.request_id == request_id]
        return [self.rows[seq - 1] for seq in wanted]

    def scan(self, start: int = 1) -> Iterator[Sequenced]:
        """See `JournalReader.scan`."""
        return iter(self.rows[start - 1 :])


def all_entries() -> dict[str, Entry]:
    """Everything the exporters may meet, by name; the entries of detections end in ``-findingN``."""
    journal = Rows()
    canonicaliser = Canonicaliser("prod", journal, ManualClock())
    found: dict[str, Entry] = {}
    for name, row in zip(EVENTS, journal.rows, strict=True):
        for number, entry in enumerate(canonicaliser.entries(row)):
            found[f"{name}-finding{number}" if number else name] = entry
    broken = Sequenced(99, b"\xff not an event")
    found["unreadable"] = canonicaliser.entries(broken)[0]
    found["missing"] = missing(5, 7, "prod", TIME_MS)
    found["checkpoint"] = checkpoint_entry(Checkpoint("acme.example/log", 42, b"\x01" * 32, TIME_MS), "prod")
    found["test"] = marked_entry("evt_test", TIME_MS, "prod", "os:olga:1000")
    return found
