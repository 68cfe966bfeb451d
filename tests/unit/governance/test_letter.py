"""The answer to a data subject is a letter: in words, with dates of the place, and all that is in the data."""

import html
import re
from typing import Any

import pytest

from greffier.adapters.documents.letter import letter_pdf
from greffier.app.subject_stores import without
from greffier.config.settings import ControllerSettings
from greffier.governance.privacy.deadlines import due_ms
from greffier.governance.privacy.informing import informing
from greffier.governance.privacy.law import law
from greffier.governance.privacy.letter import as_html, blocks
from greffier.governance.privacy.records import Notice, StepResult, SubjectRequest

AT = 1_795_817_169_581  # 27 November 2026, 22:06:09 UTC
ANSWER: dict[str, Any] = {
    "request": "dsr_1",
    "type": "access",
    "received_ms": 1_793_490_000_000,  # 31 October 2026, 23:40 UTC
    "answered_ms": AT,
    "extended_reason": "content of three years",
    "law": "GDPR",
    "controller": {"name": "Müller & Söhne AG", "contact": "privacy@mueller.example", "dpo": "Olga"},
    "confirmation": "Personal data of yours is processed.",
    "items": {letter: f"meaning of {letter}" for letter in "abcdefgh"},
    "processing": [
        {"use_case": "Claims", "use_case_id": "claims-v2", "safeguards_15_2": ["US: standard contractual clauses"]}
        | {letter: f"said of {letter}" for letter in "abcdefgh"}
        | {"c": ["Printing House KG", "Model Maker Inc. (cloud, us)"]}
    ],
    "retired_use_cases": ["old-assistant"],
    "exceptions": ["15(4): others would be affected"],
    "data": {
        "content": [
            {
                "what": "prompt",
                "request": "req_1",
                "stored_ms": AT,
                "use_case": "claims-v2",
                "purpose": "claims",
                "content": [
                    {"role": "system", "content": "Be kind."},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "I am <Ada> 漢"},
                            {"type": "image_url", "image_url": {"url": "https://a.example/b"}},
                        ],
                    },
                    {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "pay"}}]},
                ],
            },
            {
                "what": "answer",
                "request": "req_1",
                "stored_ms": AT,
                "use_case": "claims-v2",
                "purpose": "claims",
                "content": "Hello\nAda",
            },
        ],
        "journal": [
            {
                "request": "req_1",
                "ts_ms": AT,
                "use_case": "claims-v2",
                "purpose": "claims",
                "lawful_basis": "6(1)(b)",
                "model": "assistant",
                "rules": ["clerks"],
                "found": [
                    {"type": "EMAIL", "action": "redact", "count": 2},
                    {"type": "EMAIL", "action": "redact", "count": 1},
                ],
            },
            {
                "request": "req_1",
                "ts_ms": AT,
                "outcome": "denied",
                "code": "guardrail_blocked",
                "rule": "r",
                "found": [],
            },
        ],
        "consents and objections": [
            {
                "number": 1,
                "tenant": "acme",
                "purpose": "claims",
                "kind": "objection",
                "active": True,
                "at_ms": AT,
                "channel": "letter",
                "proof": "",
                "reason": "",
            }
        ],
        "keys": [{"key": "k1", "label": "Ada's laptop", "groups": ["staff"], "roles": [], "attributes": {"team": "x"}}],
        "cases of data protection": [{"what": "access", "received_ms": AT, "state": "done", "purpose": ""}],
        "a store of tomorrow": [{"shoe_size": 38, "seen_ms": AT}],
    },
}


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "\n", page.partition("<body>")[2]))


def test_the_letter_says_everything_in_words_and_dates_of_the_place() -> None:
    text = text_of(as_html(blocks(ANSWER, "Europe/Berlin")))
    for said in (
        "Your request of 1 November 2026 under Art. 15",  # it was November already in Berlin
        "answered on 27 November 2026",
        "extended (Art. 12(3)): content of three years",
        "Data protection officer: Olga",
        "(a) meaning of a",
        "Printing House KG; Model Maker Inc. (cloud, us)",
        "US: standard contractual clauses",
        "old-assistant",
        "15(4): others would be affected",
        "You wrote, 27 November 2026, 23:06, Claims",
        "Instruction: Be kind.",
        "I am <Ada> 漢",
        "https://a.example/b",
        "pay",
        "Hello\nAda",
        "email (blacked out) 3x",
        "refused",
        "guardrail blocked",
        "Art. 6(1)(b) GDPR",
        "27 November 2026, 23:06: objection in effect",
        "Ada's laptop",
        "team: x",
        "38",
    ):
        assert said in text, said
    assert not re.search(r"_ms\b|\b\d{13}\b|[{}]|claims-v2|use_case", text)


def test_a_letter_of_portable_data_has_no_items_of_article_15() -> None:
    kept = {name: ANSWER[name] for name in ("request", "received_ms", "answered_ms", "law", "controller", "exceptions")}
    text = text_of(as_html(blocks(kept | {"type": "port", "content": ANSWER["data"]["content"][:1]}, "UTC")))
    assert "under Art. 20" in text
    assert "Safeguards" not in text
    assert "I am <Ada> 漢" in text


def test_the_pdf_is_written_whatever_the_font_cannot_print() -> None:
    data = letter_pdf(blocks(ANSWER, "Europe/Berlin"))
    assert data.startswith(b"%PDF-")
    long = ANSWER | {"confirmation": "x" * 5_000 + "\x00\u202e\U0001f600 " * 50}
    assert letter_pdf(blocks(long, "UTC")).startswith(b"%PDF-")


CONTROLLER = ControllerSettings(
    name="Acme AG", contact="privacy@acme.example", dpo="Olga", supervisory_authority="CNPD", timezone="Europe/Berlin"
)
RECEIVED = 1_795_817_169_581  # 27 November 2026, 23:06 in Berlin
DUE = due_ms(RECEIVED, law(), timezone="Europe/Berlin")


def told(**facts: Any) -> str:
    request = SubjectRequest(
        id="dsr_1",
        type=facts.pop("type", "erase"),
        tenant="acme",
        state=facts.pop("state", "identified"),
        received_ms=RECEIVED,
        due_ms=facts.pop("due_ms", DUE),
        law="",
        opened_by="ann",
        refs=("end_user:44fb",),
        identity_check=facts.pop("identity_check", "letter"),
        **facts,
    )
    text = text_of(as_html(informing(request, CONTROLLER, digest=facts.get("digest", ""), now_ms=RECEIVED)))
    assert "end_user:" not in text
    assert "complain to a supervisory authority, CNPD, (Art. 77) and seek a judicial remedy (Art. 79)" in text
    return text


def test_who_asked_is_told_until_when_they_are_answered() -> None:
    text = told(identity_check="")
    assert "make sure that it is you" in text
    assert "answered by 28 December 2026" in text  # the 27th is a Sunday
    extended = due_ms(RECEIVED, law(), timezone="Europe/Berlin", extended=True)
    text = told(due_ms=extended, extended_reason="three years of content", extended_ms=RECEIVED)
    assert "longer than a month (Art. 12(3)): three years of content." in text
    assert "answered by 1 March 2027" in text


def test_who_is_refused_is_told_on_which_ground_and_why() -> None:
    text = told(state="refused", refused_reason="12(5): the seventh request this week")
    assert "Art. 12(5): The request is manifestly unfounded or excessive." in text
    assert "the seventh request this week" in text


def test_who_was_erased_is_told_what_went_what_stays_and_who_was_told() -> None:
    store = {"store": "content", "found": 5, "deleted": 5, "remaining": 0}
    outcome = {
        "completed_ms": RECEIVED,
        "stores": [
            store,
            store | {"store": "keys", "found": 0, "deleted": 0},
            store | {"store": "backups", "found": 0},
        ],
        "retained": [
            {"store": "journal", "found": 4, "reason": "17(3)(b): logs"},
            {"store": "x", "found": 0, "reason": ""},
        ],
        "kept_parts": 2,
    }
    text = told(
        state="done",
        outcome=outcome,
        exceptions=("17(3)(e): in dispute",),
        notices=(
            Notice(id="ntc_1", name="Printing House KG", how="mail", queued_ms=1, state="told", done_ms=RECEIVED),
            Notice(id="ntc_2", name="Legal Aid e.V.", how="hand", queued_ms=1),
        ),
    )
    for said in (
        "Done on 27 November 2026, 23:06 (Europe/Berlin)",
        "5 found, 5 deleted; looked again: 0 left.",
        "Nothing was found.",
        "you are erased from it again",
        "4 entries. Art. 17(3)(b): logs",
        "in dispute",
        "defence of legal claims",
        "told on 27 November 2026",
        "is being told",
    ):
        assert said in text, said
    assert "x" not in text.split()


@pytest.mark.parametrize("kind", list(law().requests))
def test_every_kind_of_request_has_its_words(kind: str) -> None:
    steps = (StepResult(name="correct:content", at_ms=RECEIVED, result={"corrected": 0, "reason": "stays as said"}),)
    outcome = {"completed_ms": RECEIVED, "stores": [], "retained": [], "kept_parts": 0}
    text = told(type=kind, state="done", purpose="marketing", steps=steps, outcome=outcome)
    assert law().requests[kind].article in text
    assert ("marketing" in text) == (kind in {"restrict", "object"})


@pytest.mark.parametrize(
    "said", ["Zacharias Grün", "ZACHARIAS GRÜN", "zacharias\n  grün", "Zacharias Gru\u0308n", "„Zacharias\u00a0Grün“"]
)
def test_others_are_blacked_out_however_they_are_written(said: str) -> None:
    content = [{"role": "user", "content": f'He said "{said}" to me', "name": "z"}]
    (shown,) = without(content, ("Zacharias Grün", " "))
    assert "[redacted]" in shown["content"]
    assert "ach" not in shown["content"].casefold().replace("[redacted]", "")
    assert shown["role"] == "user"


def test_what_is_blacked_out_is_no_pattern_and_breaks_no_field() -> None:
    said = {"role": "user", "content": "role a.b axb"}
    assert without(said, ("a.b", "role")) == {"role": "user", "content": "[redacted] [redacted] axb"}
    assert without(said, ()) is said
