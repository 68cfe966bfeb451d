"""The cheap first step of the learned detectors loses nothing that matters: what a model would find, it may see."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.guardrails.detectors.learned.concepts import squeezed
from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.names import Names
from greffier.guardrails.detectors.learned.text import code_points, fold_codes, read_lexicon, squeeze, unleet
from greffier.guardrails.detectors.learned.tokens import hash_letters, hash_word
from greffier.guardrails.detectors.learned.toxicity import Toxicity
from greffier.guardrails.ports import Passage, Provenance

TOXICITY = Toxicity()
NAMES = Names()
SOURCES: tuple[Provenance, ...] = ("user", "document", "tool_output")
LEXICON = read_lexicon(*(LEXICONS / f"{name}.txt" for name in ("attack", "harm", "toxic", "tone")))
MARKERS = [
    line.replace("\\n", "\n")
    for line in (LEXICONS / "markers.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("# Literal")
]
PHRASES = Path(__file__).parents[4] / "training" / "phrases"


def phrases(name: str) -> list[str]:
    lines = (PHRASES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "#["]


def assert_nothing_lost(text: str) -> int:
    found = 0
    for source in SOURCES:
        passage = Passage(text, source)
        closely = TOXICITY.examine_closely(passage)
        assert TOXICITY.examine(passage) == closely
        found += bool(closely)
    return found


@pytest.mark.parametrize("name", ["attacks", "benign", "harm"])
def test_own_phrases_are_found_as_without_the_gate(name: str) -> None:
    lines = phrases(name)
    found = sum(assert_nothing_lost(line) for line in lines[::3])
    found += sum(assert_nothing_lost(" ".join(lines[at : at + 6])) for at in range(0, len(lines), 12))
    assert found  # otherwise the comparison says nothing


PIECES = st.one_of(
    st.sampled_from([word.strip() for word in LEXICON.meanings]),
    st.sampled_from(MARKERS),
    st.text(max_size=8),
    st.sampled_from(["1gn0re", "i g n o r e", "B2B", "naïve", "Straße", "œuvre", "½", "日本", "\u200b", "'", '"', "?"]),
)
GAPS = st.sampled_from([" ", " ", " ", ", ", ". ", "\n", "  ", " " * 90, "-", ""])


@given(st.lists(st.tuples(PIECES, GAPS), max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_in_any_mixture_of_concepts(pieces: list[tuple[str, str]], shout: bool) -> None:
    text = "".join(piece + gap for piece, gap in pieces)
    assert_nothing_lost(text.upper() if shout else text)


@given(st.one_of(st.text(max_size=200), st.text(alphabet="aZé1 .ß\u20ac0\u201c", max_size=200)))
@settings(max_examples=150, deadline=None)
def test_the_quick_folding_holds_the_same_words(text: str) -> None:
    careful = squeeze(unleet(fold_codes(code_points(text))))[0]
    words = "".join(char if ord(char) < 127 else "\x7f" for char in careful).split()
    quick = "".join(char if ord(char) < 127 else "\x7f" for char in squeezed(text)).split()
    assert quick == words


@given(st.text(alphabet=st.characters(categories=["L", "Nd"]), min_size=1, max_size=30))
@settings(deadline=None)
def test_one_word_hashes_as_in_a_text(word: str) -> None:
    folded = "".join(map(chr, fold_codes(code_points(word)).tolist()))
    assert hash_letters(folded) == hash_word(word)


FILLING = {"P": "Thorsten Wiesner", "F": "Sandrine", "L": "Holloway", "A": "14 Rosemary Lane, Norwich NR3 1AB"}
FILLING |= {"C": "Lyon", "O": "Meridian GmbH", "N": "4711", "D": "March 2021", "S": "Lindenstraße"}


def test_sentences_about_persons_are_read() -> None:
    """The gate of the names is no strict bound, so this is a sample: nothing of it may be lost."""
    found = 0
    for line in phrases("persons"):
        text = line
        for mark, filling in FILLING.items():
            text = text.replace(f"{{{mark}}}", filling)
        closely = NAMES.examine_closely(Passage(text))
        found += bool(closely)
        if "{P}" in line or "{A}" in line or "{F}" in line:
            assert NAMES.examine(Passage(text)) == closely
    assert found


@pytest.mark.parametrize(
    "text",
    [
        "My name is Xanthippe Qworble.",
        "Frau Qworble hat angerufen.",
        "die Bestellung von Herrn Ödegärd ist da",
        "TIM DECOSTER, geboren 1980",
        "écrire à Mme Éloïse Würtz",
        "C. Minne, 71, boulevard de Bertrand\n35711 Sainte Rémy",
        "(Giulia Bernardini)",
    ],
)
def test_unknown_names_where_names_stand_are_read(text: str) -> None:
    assert NAMES.examine_closely(Passage(text))
    assert NAMES.examine(Passage(text)) == NAMES.examine_closely(Passage(text))
