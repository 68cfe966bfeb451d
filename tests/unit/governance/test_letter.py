"""The answer to a data subject is a letter: in words, with dates of the place, and all that is in the data."""

import html
import re
from typing import Any

import pytest

from greffier.adapters.documents.letter import letter_pdf
from greffier.app.subject_stores import without
from greffier.governance.privacy.letter import as_html, blocks

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
    text = text_of(as_html(ANSWER, "Europe/Berlin"))
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
    text = text_of(as_html(kept | {"type": "port", "content": ANSWER["data"]["content"][:1]}, "UTC"))
    assert "under Art. 20" in text
    assert "Safeguards" not in text
    assert "I am <Ada> 漢" in text


def test_the_pdf_is_written_whatever_the_font_cannot_print() -> None:
    data = letter_pdf(blocks(ANSWER, "Europe/Berlin"))
    assert data.startswith(b"%PDF-")
    long = ANSWER | {"confirmation": "x" * 5_000 + "\x00\u202e\U0001f600 " * 50}
    assert letter_pdf(blocks(long, "UTC")).startswith(b"%PDF-")


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
