"""From a request to its erasure, through the platform as it runs: what the data-protection officer is promised."""

import hashlib
import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from greffier.testing.platform import Platform, eventually

pytestmark = pytest.mark.slow

ADA, BOB = "ada@customers.example", "bob@customers.example"


def code(answer: Any) -> str:
    return answer.code if answer.status != 200 else ""


def test_content_is_kept_under_the_persons_own_key(house: Any, key: str, peers: Any) -> None:
    answer = house.platform.chat(key, "My claim is about a canary-content-1.", user=ADA)
    assert answer.status == 200, answer.body
    admission, outcome = house.platform.records(answer.headers["x-request-id"])
    subject = admission["facts"]["end_user_ref"]
    assert subject.startswith("end_user:")
    assert {part["part"]: part.get("subject_ref", "") for part in admission["parts"]} == {
        "prompt": subject,
        "system": "",
    }
    assert [part["subject_ref"] for part in outcome["parts"]] == [subject]
    assert house.files_with(b"canary-content-1", ADA.encode()) == []  # databases, logs, caches: every file
    sent = [request for request in peers.onprem.requests if b"canary-content-1" in request.body]
    assert sent
    assert all(ADA not in repr((request.headers, request.body)) for request in sent)  # the model never learns who asks


def test_content_is_revealed_to_two_people_with_a_reason_and_to_nobody_else(house: Any, key: str) -> None:
    request_id = house.platform.chat(key, "canary-reveal-1", user=ADA).headers["x-request-id"]
    run = house.greffier
    reveal = run("audit", "reveal", "request", request_id, "--reason", "complaint 7", person="ann")
    assert "nobody has approved" in run("audit", "reveal", "show", reveal["id"], code=1)["error"]["message"]
    assert "second person" in run("audit", "reveal", "approve", reveal["id"], person="ann", code=1)["error"]["message"]
    run("audit", "reveal", "approve", reveal["id"], person="bea")
    assert "two people" in run("audit", "reveal", "show", reveal["id"], person="cid", code=1)["error"]["message"]
    shown = run("audit", "reveal", "show", reveal["id"], person="ann")
    assert "canary-reveal-1" in json.dumps(shown)
    assert all(part["intact"] for part in shown)
    acts = [
        (act["action"], act["actor"], act.get("reason", "")) for act in house.platform.records() if act["kind"] == "act"
    ]
    wanted = [act for act in acts if act[0] in {"reveal.request", "reveal.approve", "content.reveal"}]
    assert wanted == [
        ("reveal.request", "person:ann", "complaint 7"),
        ("reveal.approve", "person:bea", ""),
        ("content.reveal", "person:ann", "complaint 7"),
    ]


def test_objections_and_restrictions_act_within_seconds_and_can_be_lifted(house: Any, key: str) -> None:
    platform, run = house.platform, house.greffier
    who = ("--tenant", "acme", "--end-user", "carl")
    assert code(platform.chat(key, "hello", user="carl")) == ""
    run("privacy", "object", *who, "--purpose", "assistance", "--channel", "letter")
    eventually(lambda: code(platform.chat(key, "hello", user="carl")) == "processing_objected")
    assert code(platform.chat(key, "hello", user="dora")) == ""
    run("privacy", "lift", *who, "--purpose", "assistance", "--kind", "objection")
    eventually(lambda: code(platform.chat(key, "hello", user="carl")) == "")
    run("privacy", "restrict", *who)
    eventually(lambda: code(platform.chat(key, "hello", user="carl")) == "processing_restricted")
    run("privacy", "lift", *who, "--kind", "restriction")
    eventually(lambda: code(platform.chat(key, "hello", user="carl")) == "")
    assert [line["active"] for line in run("privacy", "show", *who)] == [True, False, True, False]


def test_a_use_case_that_needs_consent_serves_only_who_consents(house: Any) -> None:
    platform, run = house.platform, house.greffier
    key = platform.create_key("acme", "newsletter")
    who = ("--tenant", "acme", "--end-user", "emil", "--purpose", "marketing", "--text-version", "3")
    assert code(platform.chat(key, "hello", user="emil")) == "consent_missing"
    assert code(platform.chat(key, "hello")) == "consent_missing"
    run("privacy", "consent", *who)
    eventually(lambda: code(platform.chat(key, "hello", user="emil")) == "")
    run("privacy", "consent", *who, "--withdraw")
    eventually(lambda: code(platform.chat(key, "hello", user="emil")) == "consent_missing")


def test_an_access_request_is_answered_with_the_data_and_all_items_of_article_15(
    house: Any, key: str, tmp_path: Path
) -> None:
    platform, run = house.platform, house.greffier
    platform.chat(key, "canary-access-1, says my neighbour Zacharias\nGrün", user="fred")
    request = run(
        "dsr", "open", "--type", "access", "--tenant", "acme", "--end-user", "fred", "--received", "2026-11-02"
    )
    assert request["due_ms"] == 1_796_252_400_000  # the end of 2 December 2026 in Berlin
    folder = tmp_path / "answer"
    arguments = ("dsr", "run", request["id"], "--output", str(folder), "--redact", "zacharias gru\u0308n")
    assert "identity" in run(*arguments, code=1)["error"]["message"]
    run("dsr", "identify", request["id"], "--how", "customer number and letter to the known address")
    done = run(*arguments)
    assert done["state"] == "done"
    answer = json.loads((folder / "answer.json").read_text())
    text = json.dumps(answer)
    assert "canary-access-1" in text
    assert "Zacharias" not in text
    assert [item["role"] for item in answer["data"]["content"][0]["content"]] == ["user"]
    page = (folder / "answer.html").read_text()
    assert "canary-access-1, says my neighbour [redacted]" in page
    assert "Your request of 2 November 2026 under Art. 15" in page
    assert "Data protection officer: dpo@acme.example" in page
    assert "(Art. 15(2))" in page
    assert not re.search(r"[a-z]_ms|&quot;role&quot;|\bjournal\b|retention\.", page)  # a letter, not a data dump
    assert (folder / "answer.pdf").read_bytes().startswith(b"%PDF-")
    (processing,) = answer["processing"]
    assert all(processing[item] for item in "abcdefgh")
    assert "Acme Claims GmbH" in processing["c"]
    assert "20 days" in processing["d"]
    assert "Hesse" in processing["f"]
    certificate = run("dsr", "certificate", request["id"])
    assert certificate["in_log"]
    collected = certificate["steps"]["collected"]
    assert collected["answer"] == hashlib.sha256((folder / "answer.json").read_bytes()).hexdigest()
    assert collected["items"]["content"] == 2
    # who asks again learns of it, and so does the certificate of an erasure
    again = run("dsr", "open", "--type", "access", "--tenant", "acme", "--end-user", "fred")["id"]
    run("dsr", "identify", again, "--how", "letter")
    run("dsr", "run", again, "--output", str(tmp_path / "again"))
    asked_before = json.loads((tmp_path / "again" / "answer.json").read_text())["data"]["cases of data protection"]
    assert [(case["what"], case["state"]) for case in asked_before] == [("access", "done")]


def test_an_erased_person_is_gone_from_every_file_and_every_restored_backup(
    house: Any, key: str, tmp_path: Path
) -> None:
    platform, run = house.platform, house.greffier
    asked = platform.chat(key, "canary-erase-1 wants to forget", user=BOB).headers["x-request-id"]
    platform.chat(key, f"canary-other-1: {BOB} called me", user=ADA)
    platform.chat(key, "canary-stays-1", user=ADA)
    feedback = {"request_id": asked, "rating": 1, "comment": "canary-feedback-1"}
    assert platform.request("POST", "/v1/feedback", feedback, key=key).status == 200
    backup = tmp_path / "backup"
    backup.mkdir()
    names = [path.name for path in house.state.glob("content*.db*")]
    for name in names:
        shutil.copy(house.state / name, backup / name)

    request = run("dsr", "open", "--type", "erase", "--tenant", "acme", "--end-user", BOB)["id"]
    run("dsr", "identify", request, "--how", "signed in at the counter")
    candidates = run("dsr", "search", request, "--for", BOB.upper())
    assert {part["name"] for part in candidates} == {"prompt", "answer"}  # the model repeats what it was told
    run("dsr", "confirm", request, *(word for part in candidates for word in ("--part", part["id"])))
    assert run("dsr", "check", request, code=1)[0] == {"store": "content", "found": 5, "retains": ""}
    hold = run("privacy", "hold", "place", "--tenant", "acme", "--reason", "suit", "--end-user", BOB)[0]["id"]
    assert "legal hold" in run("dsr", "run", request, code=1)["error"]["message"]
    run("privacy", "hold", "release", hold, person="ann")
    run("privacy", "hold", "release", hold, person="bea")
    done = run("dsr", "run", request)
    assert (done["state"], done["refs"], done["parts"]) == ("done", [], [])

    certificate = run("dsr", "certificate", request)
    assert certificate["in_log"]
    stores = {store["store"]: store for store in certificate["stores"]}
    assert (stores["content"]["found"], stores["content"]["deleted"], stores["content"]["remaining"]) == (5, 5, 0)
    assert {store["store"] for store in certificate["retained"]} >= {"journal", "consents and objections"}
    sealed = [row for row in _sealed(backup / "content.db") if row[1] not in _ids(house.state / "content.db")]
    assert len(sealed) == 5
    assert house.files_with(*(row[0] for row in sealed), BOB.encode(), b"canary-erase-1", b"canary-feedback-1") == []
    assert run("audit", "verify")["ok"]
    again = run("dsr", "open", "--type", "access", "--tenant", "acme", "--end-user", BOB)["id"]
    assert run("dsr", "check", again)[0] == {"store": "content", "found": 0, "retains": ""}

    platform.stop()
    for name in names:
        shutil.copy(backup / name, house.state / name)
    assert run("dsr", "check", again, code=1)[0]["found"] == 3  # the backup brought them back
    platform.start()
    assert run("dsr", "check", again)[0]["found"] == 0
    assert house.files_with(*(row[0] for row in sealed)) == []
    assert any(act.get("action") == "restore.replay" for act in platform.records())
    assert run("audit", "verify")["ok"]
    assert code(platform.chat(key, "I am back", user=BOB)) == ""  # suppressed only while being erased


def test_content_that_knows_more_erasures_than_the_ledger_is_not_served(house: Any) -> None:
    platform: Platform = house.platform
    platform.stop()
    ledger = house.state / "erasures.db"
    ledger.rename(ledger.with_suffix(".lost"))
    try:
        with pytest.raises(RuntimeError, match="ledger of erasures ends at 0"):
            platform.start()
    finally:
        ledger.unlink(missing_ok=True)
        ledger.with_suffix(".lost").rename(ledger)
        platform.start()


def test_the_record_of_processing_has_seven_items_and_says_what_is_missing(house: Any) -> None:
    record = house.greffier("privacy", "register")
    assert set(record["items"]) == set("abcdefg")
    assistant = next(activity for activity in record["activities"] if activity["use_case"] == "assistant")
    assert all(assistant["items"].values())
    assert record["missing"] == ["newsletter (c): Categories of data subjects and of personal data."]


def test_nothing_is_overdue(house: Any) -> None:
    verified = house.greffier("retention", "verify")
    assert verified["overdue"] == 0
    assert {line["rule"] for line in verified["lines"]} >= {"retention.claims"}
    assert house.greffier("retention", "run") == {"deleted": 0}


def _sealed(database: Path) -> list[tuple[bytes, str]]:
    with sqlite3.connect(database) as connection:
        return list(connection.execute("SELECT sealed, id FROM part"))


def _ids(database: Path) -> set[str]:
    return {row[1] for row in _sealed(database)}
