"""What becomes of journal events, and what must never leave."""

import msgspec

from greffier.audit.export import taxonomy
from greffier.audit.export.canonical import Canonicaliser
from greffier.audit.export.codes import ACTS, CODES, NOUNS, REFUSED
from greffier.audit.export.ecs import to_json as ecs
from greffier.audit.export.entry import Entry
from greffier.audit.export.ocsf import to_json as ocsf
from greffier.config.checks.guardrails import TYPES
from greffier.core.errors import Code
from greffier.core.events import Act, Outcome
from greffier.testing.clock import ManualClock
from greffier.testing.siem_events import EVENTS, FACTS, Rows


def test_every_error_code_has_an_event_code() -> None:
    assert set(REFUSED) == set(Code)
    assert set(REFUSED.values()) <= set(CODES)
    assert {*ACTS.values(), *NOUNS.values()} <= set(CODES)
    assert {kind.code for kind in taxonomy.FINDINGS.values()} <= set(CODES)


def test_every_reference_to_a_taxonomy_is_in_its_table() -> None:
    for kind in (*taxonomy.FINDINGS.values(), *taxonomy.REFUSALS.values()):
        assert not kind.owasp or kind.owasp in taxonomy.OWASP_LLM
        assert set(kind.atlas) <= set(taxonomy.ATLAS)
        assert {technique.rpartition(".")[0] for technique in kind.atlas if technique.count(".") > 1} <= set(
            taxonomy.ATLAS
        )


def test_everything_the_built_in_detectors_find_is_of_a_known_kind() -> None:
    """GW-6099 is for findings of the workspace's own detectors; a rule of a SIEM cannot tell what they are."""
    unknown = [kind for kind in TYPES if taxonomy.kind_of(kind).code == "GW-6099"]
    assert not unknown
    attacks = {"prompt_injection", "jailbreak", "external_link", "untrusted_argument", "conversation_risk"}
    assert all(taxonomy.kind_of(kind).owasp and taxonomy.kind_of(kind).atlas for kind in attacks)


def test_an_act_about_a_tenant_is_found_under_that_tenant() -> None:
    journal = Rows()
    act = Act(
        id="evt_1", ts=1, action="restriction.enter", actor="person:ann", target="subject:x", details={"tenant": "acme"}
    )
    row = msgspec.structs.replace(journal.rows[0], data=msgspec.json.encode(act))
    (entry,) = Canonicaliser("prod", journal, ManualClock()).entries(row)
    assert entry.tenant == "acme"


def test_an_outcome_takes_the_facts_of_its_admission(entries: dict[str, Entry]) -> None:
    assert entries["answered"].use_case == FACTS.use_case
    assert entries["answered"].trace_id == FACTS.trace_id


def test_after_a_restart_the_admission_is_looked_up() -> None:
    journal = Rows()
    fresh = Canonicaliser("prod", journal, ManualClock())
    seq = list(EVENTS).index("answered") + 1
    assert fresh.entries(journal.rows[seq - 1])[0].use_case == FACTS.use_case


def test_a_refusal_that_is_a_detection_is_both(entries: dict[str, Entry]) -> None:
    assert entries["purpose"].family == "request"
    assert entries["purpose-finding1"].family == "finding"
    assert entries["purpose-finding1"].related == entries["purpose"].id


def test_ids_are_unique_and_stable(entries: dict[str, Entry]) -> None:
    ids = [entry.id for entry in entries.values()]
    assert len(set(ids)) == len(ids)
    assert entries["blocked-finding1"].id == "evt_0004.1"


def test_what_was_only_flagged_is_no_alert(entries: dict[str, Entry]) -> None:
    flagged, blocked = entries["admission-finding2"], entries["blocked-finding1"]
    assert flagged.detection is not None
    assert blocked.detection is not None
    assert not flagged.detection.alert
    assert blocked.detection.alert
    assert flagged.code.severity < blocked.code.severity
    assert blocked.detection.owasp == "LLM01:2026"
    assert blocked.detection.atlas == ("AML.T0051.001",)


def test_a_users_own_words_never_leave(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        assert b"SECRET-WORDS" not in ocsf(entry) + ecs(entry)


def test_every_code_of_the_core_leads_somewhere() -> None:
    journal = Rows()
    make = Canonicaliser("prod", journal, ManualClock())
    for code in Code:
        event = msgspec.structs.replace(EVENTS["upstream"], code=str(code))
        assert isinstance(event, Outcome)
        row = msgspec.structs.replace(journal.rows[0], data=msgspec.json.encode(event))
        assert make.entries(row)[0].code.code == REFUSED[code]
