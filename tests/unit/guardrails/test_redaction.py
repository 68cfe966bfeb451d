import json

from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.guardrails.redaction import Edit, Pseudonyms, apply, apply_json, merge

VALUES = st.recursive(
    st.text(max_size=12) | st.integers() | st.booleans() | st.none() | st.just('a\\"b\\\\c\n\u2028é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
SPANS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), max_size=5)


@given(VALUES, SPANS, st.booleans())
@settings(max_examples=400, deadline=None)
def test_redacted_json_stays_json(value: object, spans: list[tuple[int, int]], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    edits = [Edit(start, min(start + size, len(text)), '[X"\\]') for start, size in spans if start < len(text)]
    json.loads(apply_json(text, edits))


@given(st.text(max_size=60), SPANS)
@settings(max_examples=300, deadline=None)
def test_no_covered_character_survives(text: str, spans: list[tuple[int, int]]) -> None:
    edits = [Edit(start, min(start + size, len(text)), "") for start, size in spans if start < len(text)]
    covered = {at for edit in edits for at in range(edit.start, edit.end)}
    assert apply(text, edits) == "".join(char for at, char in enumerate(text) if at not in covered)


def test_overlapping_edits_join_under_the_first() -> None:
    assert merge([Edit(5, 9, "b"), Edit(2, 6, "a"), Edit(12, 13, "c")]) == [Edit(2, 9, "a"), Edit(12, 13, "c")]


def test_pseudonyms_go_out_and_come_back() -> None:
    names = Pseudonyms()
    first = names.token("PERSON", "Anna  Berg", "")
    assert names.token("PERSON", "anna berg", "") == first == "<PERSON_1>"
    assert names.token("PERSON", "Bob", "the literal <PERSON_2> is taken") == "<PERSON_3>"
    assert (
        names.restore("<PERSON_1> met <PERSON_3>, not <PERSON_2> < or >") == "Anna  Berg met Bob, not <PERSON_2> < or >"
    )
