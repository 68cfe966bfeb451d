"""Who is told under GDPR Art. 19, in which words, how it is signed, and how it is repeated."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.adapters.notices.webhook import NotTold, signature
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.governance.privacy.ports import Disclosure
from greffier.governance.privacy.records import Notice, SubjectRequest
from greffier.governance.privacy.telling import (
    FIRST_PAUSE_MS,
    LONGEST_PAUSE_MS,
    Use,
    disclosures,
    failed,
    message,
    put,
    told,
)
from greffier.testing.workspaces import write_workspace

FILES = {
    "greffier.yaml": """
schema: 1
name: telling
unsafe_development_mode: true
tenants: {acme: {title: Acme}, other: {title: Other}}
controller: {name: Acme AG, contact: privacy@acme.example, dpo: dpo@acme.example}
recipients:
  claims: {name: Acme Claims GmbH, webhook: "https://claims.example/notices", secret: "env:S"}
  hosting: {name: Model Hosting AG, contact: dpo@hosting.example, mail_folder: out, deployments: [cloud]}
  printer: {name: Printing House KG}
""",
    "use_cases/one.yaml": """
id: one
title: One
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: assistance
intended_purpose: Answers.
lawful_basis: {article_6: "6(1)(b)"}
risk_class: limited
data_classes: [public, internal, personal]
recipients: [Acme Claims GmbH, printer, Legal Aid e.V.]
models: [assistant]
""",
    "models/models.yaml": """
deployments:
  house: {provider: openai_compatible, model: m, location: on_premises, region: local, base_url: "env:A",
          price: {input_per_million: "0", output_per_million: "0"}}
  cloud: {provider: openai_compatible, model: m, location: external, region: eu, base_url: "env:B",
          price: {input_per_million: "0", output_per_million: "0"}}
  spare: {provider: openai_compatible, model: m, location: external, region: us, base_url: "env:C",
          price: {input_per_million: "0", output_per_million: "0"}}
models:
  assistant: {targets: [{deployment: house}, {deployment: cloud, priority: 1}, {deployment: spare, priority: 2}]}
""",
}
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own tests


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load_snapshot(WorkspacePaths(write_workspace(tmp_path_factory.mktemp("telling"), FILES)))


def shown(found: tuple[Disclosure, ...]) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    return {one.name: (one.recipient, one.how, one.requests) for one in found}


def test_everyone_who_received_something_is_told_and_nobody_else(snapshot: Snapshot) -> None:
    uses = [Use("req_1", "one", ("house",)), Use("req_2", "one", ("house", "cloud"))]
    assert shown(disclosures(snapshot, "acme", uses, complete=True)) == {
        "Acme Claims GmbH": ("claims", "webhook", ("req_1", "req_2")),
        "Printing House KG": ("printer", "hand", ("req_1", "req_2")),
        "Legal Aid e.V.": ("", "hand", ("req_1", "req_2")),
        "Model Hosting AG": ("hosting", "mail", ("req_2",)),  # asked for one of them; that it failed does not matter
    }
    assert disclosures(snapshot, "acme", [], complete=True) == ()
    gone = disclosures(snapshot, "acme", [Use("req_3", "retired", ("spare", "removed"))], complete=True)
    assert shown(gone) == {"openai_compatible (spare, us)": ("", "hand", ("req_3",))}


def test_where_records_are_gone_nobody_who_may_have_received_something_is_left_out(snapshot: Snapshot) -> None:
    found = shown(disclosures(snapshot, "acme", [Use("req_1", "one", ("cloud",))], complete=False))
    assert set(found) == {
        "Acme Claims GmbH", "Printing House KG", "Legal Aid e.V.", "Model Hosting AG", "openai_compatible (spare, us)",
    }  # fmt: skip
    assert found["openai_compatible (spare, us)"][2] == ()
    assert disclosures(snapshot, "other", [], complete=False) == ()


def a_request(kind: str = "erase") -> SubjectRequest:
    return SubjectRequest(
        id="dsr_1", type=kind, tenant="acme", state="running", received_ms=1, due_ms=2, law="l",  # type: ignore[arg-type]
        opened_by="os:ann", refs=("end_user:abc",), notices=(a_notice(), a_notice("ntc_2")),
    )  # fmt: skip


def a_notice(identifier: str = "ntc_1") -> Notice:
    return Notice(id=identifier, name="Acme Claims GmbH", how="webhook", queued_ms=5, requests=("req_1",))


@pytest.mark.parametrize(
    ("kind", "act"), [("erase", "erasure"), ("rectify", "rectification"), ("restrict", "restriction")]
)
def test_a_message_says_what_is_asked_and_not_who(snapshot: Snapshot, kind: str, act: str) -> None:
    said = json.loads(message(a_notice(), a_request(kind), snapshot))
    assert (said["act"], said["requests"], said["reference"]) == (act, ["req_1"], "dsr_1")
    assert said["controller"] == {"name": "Acme AG", "contact": "privacy@acme.example", "dpo": "dpo@acme.example"}
    assert "end_user" not in json.dumps(said)
    assert "correction" not in said
    corrected = json.loads(message(a_notice(), a_request(kind), snapshot, "Ada, not Ida"))
    assert corrected["correction"] == "Ada, not Ida"


def test_a_told_notice_forgets_and_keeps_its_digest() -> None:
    after = told(a_notice(), b"body", 9, "os:ann")
    assert (after.state, after.requests, after.done_ms, after.by) == ("told", (), 9, "os:ann")
    assert len(after.digest) == 64
    changed = put(a_request(), after)
    assert [one.state for one in changed.notices] == ["told", "queued"]


@given(st.integers(0, 100))
def test_a_failed_notice_is_repeated_after_ever_longer_pauses_and_never_given_up(times: int) -> None:
    notice, pauses = a_notice(), []
    for _ in range(times):
        notice = failed(notice, "away", 1000)
        pauses.append(notice.next_ms - 1000)
    assert notice.state == "queued"
    assert notice.attempts == times
    assert pauses == sorted(pauses)
    assert all(FIRST_PAUSE_MS <= pause <= LONGEST_PAUSE_MS for pause in pauses)


def test_signatures_are_those_of_the_specification() -> None:
    body = b'{"test": 2432232314}'
    signed = signature(WHSEC, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature("plain", "id", 1, body) != signature("other", "id", 1, body)
    with pytest.raises(NotTold, match="not base64"):
        signature("whsec_%%", "id", 1, body)
