"""A request that a screen escalates, a reviewer at the command line, and the same request once more."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.cli.audit import app as audit
from greffier.cli.review import app
from greffier.testing.peers import Peers
from greffier.testing.platform import Answer, Platform, eventually

HELD = "Please send the salary list to jane@acme.example"


def ask(platform: Platform, key: str, text: str = HELD, review: str = "") -> Answer:
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}]}
    headers = {"x-greffier-review": review} if review else {}
    return platform.request("POST", "/v1/chat/completions", body, key=key, headers=headers)


def review(platform: Platform, *arguments: str) -> tuple[int, Any]:
    """Run the command in this process: starting Python for each would take most of the time."""
    done = CliRunner().invoke(app, [*arguments, "--json", "--workspace", str(platform.workspace)])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    return platform.create_key("acme", "assistant")


def opened(platform: Platform, key: str, text: str = HELD) -> str:
    refused = ask(platform, key, text)
    assert (refused.status, refused.code) == (403, "escalated")
    review_id = refused.headers["x-greffier-review"]
    assert refused.headers["x-greffier-review-status"] == f"/v1/reviews/{review_id}"
    assert review_id in refused.json["error"]["message"]
    return review_id


def test_an_approved_request_passes_once_and_only_as_it_was(platform: Platform, key: str) -> None:
    review_id = opened(platform, key)
    status = platform.request("GET", f"/v1/reviews/{review_id}", key=key)
    assert (status.status, status.json["status"], status.json["used"]) == (200, "pending", False)
    assert ask(platform, key, review=review_id).code == "escalated"  # not approved yet

    code, listed = review(platform, "list")
    assert code == 0
    assert review_id in [entry["id"] for entry in listed]
    code, shown = review(platform, "show", review_id)
    assert code == 0
    assert "salary list" in shown["preview"]
    assert "jane@acme.example" not in json.dumps(shown)
    assert {line["type"] for line in shown["found"]} == {"topic:payroll", "EMAIL"}
    code, whole = review(platform, "show", review_id, "--full")
    assert whole["input"]["messages"][0]["content"] == HELD

    assert platform.command("review", "approve", review_id).returncode == 2  # no reason
    code, decided = review(platform, "approve", review_id, "--reason", "the works council agreed")
    assert (code, decided["status"]) == (0, "approved")
    assert platform.request("GET", f"/v1/reviews/{review_id}", key=key).json["status"] == "approved"

    changed = ask(platform, key, HELD + "!", review=review_id)
    assert (changed.status, changed.code) == (403, "escalated")
    passed = ask(platform, key, review=review_id)
    assert passed.status == 200, passed.json
    again = ask(platform, key, review=review_id)
    assert (again.status, again.code) == (403, "escalated")
    assert "used already" in again.json["error"]["message"]
    assert platform.request("GET", f"/v1/reviews/{review_id}", key=key).json["used"] is True

    admission = platform.records(passed.headers["x-request-id"])[0]
    assert admission["kind"] == "admission"
    line = admission["facts"]["review"]
    assert (line["review"], line["status"], line["reason"]) == (review_id, "approved", "the works council agreed")
    assert line["by"].startswith("os:")
    told = CliRunner().invoke(audit, ["show", passed.headers["x-request-id"], "--workspace", str(platform.workspace)])
    assert f"{review_id} approved by os:" in told.stdout
    acts = [(e["action"], e.get("reason", "")) for e in platform.records() if e.get("target") == f"review:{review_id}"]
    assert acts == [
        ("review.read", ""),
        ("review.read", ""),
        ("review.approve", "the works council agreed"),
    ]


def test_rules_that_edit_or_deny_still_hold_for_an_approved_request(platform: Platform, key: str, peers: Peers) -> None:
    peers.clear()
    review_id = opened(platform, key, HELD + " today")
    assert review(platform, "approve", review_id, "--reason", "fine")[0] == 0
    assert ask(platform, key, HELD + " today", review_id).status == 200
    sent = b"".join(captured.body for captured in peers.external.requests).decode()
    assert "jane@acme.example" not in sent
    assert "[EMAIL]" in sent


def test_a_rejected_request_stays_refused(platform: Platform, key: str) -> None:
    review_id = opened(platform, key)
    assert review(platform, "reject", review_id, "--reason", "no")[0] == 0
    assert platform.request("GET", f"/v1/reviews/{review_id}", key=key).json["status"] == "rejected"
    assert ask(platform, key, review=review_id).code == "escalated"
    code, answer = review(platform, "approve", review_id, "--reason", "after all")
    assert code == 1
    assert "rejected" in answer["error"]["message"]


def test_another_caller_neither_sees_nor_uses_a_review(platform: Platform, key: str) -> None:
    review_id = opened(platform, key)
    assert review(platform, "approve", review_id, "--reason", "fine")[0] == 0
    other = platform.create_key("acme", "assistant")
    eventually(lambda: platform.request("GET", "/v1/models", key=other).status == 200)
    assert platform.request("GET", f"/v1/reviews/{review_id}", key=other).status == 404
    assert ask(platform, other, review=review_id).code == "escalated"
    assert platform.request("GET", f"/v1/reviews/{review_id}").status == 401
    assert platform.request("GET", "/v1/reviews/rev_nothing", key=key).status == 404
    assert platform.request("POST", f"/v1/reviews/{review_id}", {}, key=key).status == 405
    assert ask(platform, key, review=review_id).status == 200


def test_streams_and_other_dialects_are_held_too(platform: Platform, key: str) -> None:
    body = {"model": "assistant", "max_tokens": 9, "messages": [{"role": "user", "content": HELD}]}
    held = platform.request("POST", "/v1/messages", body, key=key, headers={"anthropic-version": "2023-06-01"})
    assert (held.status, held.code) == (403, "escalated")
    assert held.headers["x-greffier-review"].startswith("rev_")
    streamed = platform.chat(key, HELD, stream=True)
    assert (streamed.status, streamed.code) == (403, "escalated")


def test_what_a_reviewer_reads_lies_encrypted(platform: Platform, key: str) -> None:
    secret = "Please send the salary list, codeword quixotic-marmalade"
    opened(platform, key, secret)
    state = platform.workspace / ".greffier"
    found = [path for path in state.rglob("*") if path.is_file() and b"quixotic-marmalade" in path.read_bytes()]
    assert found == []


def test_a_screen_may_let_the_caller_wait(make: Callable[[int], Platform]) -> None:
    waiting = make(30)
    key = waiting.create_key("acme", "assistant")
    for decision, expected in (("approve", 200), ("reject", 403)):
        answers: list[Answer] = []
        caller = threading.Thread(target=lambda kept=answers: kept.append(ask(waiting, key)))
        caller.start()
        eventually(lambda: bool(review(waiting, "list")[1]))
        review_id = review(waiting, "list")[1][0]["id"]
        assert review(waiting, decision, review_id, "--reason", "because")[0] == 0
        caller.join(30)
        assert answers[0].status == expected, answers[0].json
        assert answers[0].headers["x-greffier-review"] == review_id
