"""The cheap first look may say too much and never too little: whatever an expression finds, its trigger sees."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from greffier.guardrails.detectors import identifiers, national_ids
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.packs import read_patterns

PACKS = ("identifiers", "papers", "secret_formats", "exfiltration", "medical_words")
PATTERNS = [pattern for pack in PACKS for pattern in read_patterns(pack)]
NEED_DIGITS = {"id-it_cf", "vat", "mac", "plate-cell"}
"""Letters may stand for any of their digits; nobody has met a number in which they stand for all."""
ASKED_FOR = {"date-of-birth-near": " birthday", "number-spoken": " phone", "date-of-birth-spoken": " two, three"}
"""What the checks of these ask for anyway, and their second trigger looks for."""
SCHEMES = [identifiers._scheme_pattern(scheme) for scheme in national_ids.SCHEMES]


@pytest.mark.parametrize("pattern", [*PATTERNS, *SCHEMES], ids=lambda pattern: pattern.id)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_trigger_sees_what_its_expression_finds(pattern: Pattern, data: st.DataObject) -> None:
    flags = re.ASCII | (re.IGNORECASE if pattern.ignore_case else 0)
    try:
        expression = re.compile(pattern.expression, flags)
    except re.error:
        expression = re.compile(re.sub(r"\\p\{\w+\}", "[a-z]", pattern.expression), flags)
    text = data.draw(st.from_regex(expression)) + ASKED_FOR.get(pattern.id, "")
    patterns = PatternSet([pattern])
    assume(pattern.id not in NEED_DIGITS or any(char in "0123456789" for char in text))
    read = Text(text)
    if any(patterns.matches(0, read)):
        assert patterns.candidates(read) == [0]
