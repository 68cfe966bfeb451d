"""GDPR Art. 19 and 16 in operation: recipients are told, durably and provably; what can be corrected is corrected."""

import email
import email.policy
import json
from pathlib import Path
from typing import Any

import pytest

from greffier.testing.platform import eventually
from greffier.testing.webhook import Recipient

pytestmark = pytest.mark.slow

CARA = "cara@customers.example"
RIGHT = "Her name is Cara Planted, not Kara."


def opened(run: Any, kind: str, *who: str) -> str:
    request: str = run("dsr", "open", "--type", kind, "--tenant", "acme", *who)["id"]
    run("dsr", "identify", request, "--how", "letter")
    return request


def stands(run: Any, request: str) -> dict[str, str]:
    return {notice["recipient"]: notice["state"] for notice in run("dsr", "certificate", request)["notices"]}


def test_recipients_of_an_erased_person_are_told_and_the_certificate_says_so(
    house: Any, key: str, claims: Recipient
) -> None:
    run = house.greffier
    asked = house.platform.chat(key, "canary-told-1", user=CARA).headers["x-request-id"]
    request = opened(run, "erase", "--end-user", CARA)
    done = run("dsr", "run", request)
    assert done["state"] == "done"
    certificate = run("dsr", "certificate", request)
    assert certificate["in_log"]
    listed = {one["recipient"]: one["how"] for one in certificate["recipients"]}
    assert listed == {"Acme Claims GmbH": "webhook", "Printing House KG": "mail", "Legal Aid e.V.": "hand"}

    eventually(lambda: any(one["reference"] == request for one in claims.received), within_s=90)  # by the platform
    (notice,) = [one for one in claims.received if one["reference"] == request]
    assert notice["path"] == "/privacy/notices"
    assert (notice["act"], notice["article"], notice["requests"]) == ("erasure", "GDPR Art. 19", [asked])
    assert notice["controller"]["dpo"] == "dpo@acme.example"
    assert CARA not in json.dumps(notice)
    assert "end_user:" not in json.dumps(notice)

    eventually(lambda: stands(run, request)["Printing House KG"] == "told", within_s=90)
    letters = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in (house.platform.workspace / "out/notices").glob("*.eml")
    ]
    (letter,) = [found for found in letters if request in found["Subject"]]
    assert letter["To"] == "dpo@printer.example"
    body = letter.get_body()
    assert body is not None
    assert asked in body.get_content()
    (attached,) = letter.iter_attachments()
    assert json.loads(attached.get_content())["reference"] == request

    assert [one["recipient"] for one in run("dsr", "notices", request)] == ["Legal Aid e.V."]
    assert "there is no" in run("dsr", "notices", "dsr_nobody", code=1)["error"]["message"]
    assert "no notice" in run("dsr", "told", request, "--recipient", "x", "--how", "y", code=2)["error"]["message"]
    run("dsr", "told", request, "--recipient", "Legal Aid e.V.", "--how", "letter of today", person="ann")
    assert "told by letter" in run("dsr", "told", request, "--recipient", "Legal Aid e.V.", "--how", "again", code=1)[
        "error"
    ]["message"]  # fmt: skip
    assert set(stands(run, request).values()) == {"told"}
    acts = [act for act in house.platform.records() if act.get("action") == "dsr.told"]
    mine = [act for act in acts if act["target"] == f"dsr:{request}"]
    assert {(act["actor"], act["details"]["how"]) for act in mine} == {
        ("platform:notices", "webhook"), ("platform:notices", "mail"), ("person:ann", "hand"),
    }  # fmt: skip
    assert [one["state"] for one in run("dsr", "show", request)["notices"]] == ["told"] * 3
    assert all(not one["requests"] for one in run("dsr", "show", request)["notices"])  # forgotten once told


def test_a_recipient_that_is_away_or_refuses_is_told_later(house: Any, key: str, claims: Recipient) -> None:
    run = house.greffier
    house.platform.chat(key, "canary-told-2", user=CARA)
    claims.status = 503
    request = opened(run, "restrict", "--end-user", CARA)
    run("dsr", "run", request)
    failed = run("dsr", "notify", request, code=1)
    assert failed["failed"] + failed["told"] >= 1
    eventually(lambda: stands(run, request)["Acme Claims GmbH"] == "queued", within_s=60)
    (waiting,) = [
        one for one in run("dsr", "notices", code=1)
        if one["request"] == request and one["recipient"] == "Acme Claims GmbH"
    ]  # fmt: skip
    assert waiting["attempts"] >= 1
    assert "answered 503" in waiting["error"]
    claims.status = 204
    run("dsr", "notify", request)
    assert stands(run, request)["Acme Claims GmbH"] == "told"
    (notice,) = [one for one in claims.received if one["reference"] == request]
    assert notice["act"] == "restriction"
    run("privacy", "lift", "--tenant", "acme", "--end-user", CARA, "--kind", "restriction")
    run("dsr", "told", request, "--recipient", "Legal Aid e.V.", "--impossible", "dissolved in 2025")
    assert stands(run, request)["Legal Aid e.V."] == "impossible"


def test_what_is_wrong_is_corrected_where_that_is_possible_and_explained_elsewhere(
    house: Any, key: str, claims: Recipient
) -> None:
    run = house.greffier
    made = run("keys", "create", "--tenant", "acme", "--use-case", "assistant", "--label", "Kara Planted's laptop")
    holder = made["id"]
    asked = house.platform.chat(made["key"], "canary-told-3", user="someone").headers["x-request-id"]
    request = opened(run, "rectify", "--key", holder)
    assert "right one" in run("dsr", "run", request, "--text", RIGHT, "--wrong", "Kara", code=2)["error"]["message"]
    run("dsr", "run", request, "--text", RIGHT, "--wrong", "Kara", "--right", "Cara")
    (shown,) = [one for one in run("keys", "list", "--tenant", "acme") if one["id"] == holder]
    assert shown["label"] == "Cara Planted's laptop"
    steps = run("dsr", "certificate", request)["steps"]
    assert steps["correct:keys"] == {"corrected": 1}
    assert "what was said" in steps["correct:content"]["reason"]
    assert "no word that could be wrong" in steps["correct:journal"]["reason"]
    assert all(step["corrected"] or step["reason"] for name, step in steps.items() if name.startswith("correct:"))
    run("dsr", "notify", request)
    (notice,) = [one for one in claims.received if one["reference"] == request]
    assert (notice["act"], notice["correction"], notice["requests"]) == ("rectification", RIGHT, [asked])
    assert house.files_with(RIGHT.encode()) == []  # at rest it lies under the person's key
    answered = house.platform.chat(made["key"], "still works", user="someone")
    assert answered.status == 200


def test_a_message_that_still_lies_there_goes_with_the_erasure_of_whom_it_is_about(house: Any, key: str) -> None:
    run, folder = house.greffier, house.platform.workspace / "out" / "notices"
    right = "Her name is Dora Planted, not Thora."
    house.platform.chat(key, "canary-told-4", user="dora@customers.example")
    corrected = opened(run, "rectify", "--end-user", "dora@customers.example")
    run("dsr", "run", corrected, "--text", right)
    run("dsr", "notify", corrected)
    left = [path for path in folder.glob("*.eml") if right in message_of(path).get_body().get_content()]
    assert len(left) == 1  # the mail program has not been there yet
    assert message_of(left[0])["From"].addresses[0].addr_spec == "privacy@acme.example"
    assert message_of(left[0])["From"].addresses[0].display_name == "Acme Insurance AG"
    erased = opened(run, "erase", "--end-user", "dora@customers.example")
    run("dsr", "run", erased)
    (store,) = [
        one for one in run("dsr", "certificate", erased)["stores"] if one["store"] == "messages left to be sent"
    ]
    assert (store["found"], store["deleted"], store["remaining"]) == (1, 1, 0)
    assert not left[0].exists()


def test_a_rectification_that_an_erasure_has_overtaken_does_not_fail_for_ever(
    house: Any, key: str, claims: Recipient
) -> None:
    run, who = house.greffier, "thea@customers.example"
    house.platform.chat(key, "canary-told-5", user=who)
    claims.status = 503
    corrected = opened(run, "rectify", "--end-user", who)
    run("dsr", "run", corrected, "--text", "Her name is Thea Planted, not Tea.")
    run("dsr", "notify", corrected, code=1)
    erased = opened(run, "erase", "--end-user", who)
    run("dsr", "run", erased)
    claims.status = 204
    run("dsr", "notify")
    notices = {one["recipient"]: one for one in run("dsr", "certificate", corrected)["notices"]}
    assert notices["Acme Claims GmbH"]["state"] == "impossible"
    assert "was erased since" in notices["Acme Claims GmbH"]["stands"]
    assert stands(run, erased)["Acme Claims GmbH"] == "told"
    assert "Thea" not in json.dumps(claims.received)
    assert not [one for one in run("dsr", "notices") if one["error"]]


def message_of(path: Path) -> Any:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def test_who_received_nothing_is_told_nothing(house: Any, claims: Recipient) -> None:
    request = opened(house.greffier, "erase", "--end-user", "nobody@customers.example")
    house.greffier("dsr", "run", request)
    assert house.greffier("dsr", "certificate", request)["recipients"] == []
    assert Path(house.platform.workspace / "out").is_dir()
