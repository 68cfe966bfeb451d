import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.guardrails import matching
from greffier.guardrails.matching import Pattern, PatternSet, Text

PATTERNS = (
    Pattern("word", r"\bhello\b", ignore_case=True),
    Pattern("digits", r"\b[0-9]{4,6}\b", gate="[0-9]"),
    Pattern("accent", r"über|naïve"),
    Pattern("group", r"key=([a-z]{2,9})", trigger="key=", group=1),
    Pattern("both", r"(?:show|print)[^.]{0,20}rules", trigger="rules", also="show|print", ignore_case=True),
)
WORDS = st.sampled_from(["hello", "12345", "1", "key=", "key=value", "show", "PRINT", "rules", "über", ".", "the", "é"])


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_spans_are_code_points_whatever_surrounds_them(left: str, right: str) -> None:
    text = f"{left} hello 12345 über key=value {right}"
    found = {(p.id, text[start:end]) for p, start, end in PatternSet(PATTERNS).spans(Text(text))}
    assert {("word", "hello"), ("digits", "12345"), ("accent", "über"), ("group", "value")} <= found


def every_match(text: Text) -> set[tuple[str, int, int]]:
    """What RE2 finds when each pattern is tried by itself, without any first stage."""
    found = set()
    for pattern in PATTERNS:
        for match in matching._compiled(pattern.expression, pattern.ignore_case).finditer(text.data):
            start, end = match.span(pattern.group)
            found.add((pattern.id, text.point(start), text.point(end)))
    return found


@given(st.text(max_size=120) | st.lists(WORDS, max_size=14).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_no_first_stage_hides_what_re2_finds(text: str) -> None:
    exact = PatternSet(PATTERNS, exact_only=True)
    portable = matching._re2_set(tuple((p.trigger or p.expression, p.ignore_case) for p in PATTERNS))
    fast = PatternSet(PATTERNS)
    wrapped = Text(text)
    truth = every_match(wrapped)
    assert {(p.id, start, end) for p, start, end in exact.spans(wrapped)} == truth
    assert {(p.id, start, end) for p, start, end in fast.spans(wrapped)} == truth
    assert {p_id for p_id, _, _ in truth} <= {PATTERNS[i].id for i in portable(wrapped.data)}


def test_a_lone_surrogate_keeps_offsets_right() -> None:
    text = "\ud800\ud800 hello"
    assert [(start, end) for _, start, end in PatternSet(PATTERNS).spans(Text(text))] == [(3, 8)]


@pytest.mark.parametrize(
    "evil", ["a" * 200_000, "0." * 100_000, "(((" * 50_000, "@" * 100_000, "x@" * 80_000, "- " * 90_000]
)
def test_catastrophic_inputs_for_backtracking_engines_are_harmless(evil: str) -> None:
    patterns = PatternSet([Pattern("nested", r"(a+)+$"), Pattern("alt", r"(a|a)*b"), *PATTERNS])
    list(patterns.spans(Text(evil)))  # finishes: a backtracking engine would not within the age of the universe
