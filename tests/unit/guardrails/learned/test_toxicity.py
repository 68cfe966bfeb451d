"""The shipped toxicity model on sentences written for this test, in six languages, and on disguised words."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.learned import tone_words
from greffier.guardrails.detectors.learned.model_files import LEXICONS
from greffier.guardrails.detectors.learned.text import read_sections
from greffier.guardrails.detectors.learned.tone import ToneReader
from greffier.guardrails.detectors.learned.tone_model import ToneModel
from greffier.guardrails.detectors.learned.toxicity import FLAG, Toxicity
from greffier.guardrails.ports import Passage

TOXICITY = Toxicity()
READER = ToneReader(LEXICONS)
TONE = ToneModel()
MARGIN = 0.12
"""How far from the threshold (0) a margin must be."""


def cases(kind: str) -> list[tuple[str, str]]:
    found, heading = [], ["", ""]
    for line in Path(__file__).with_name("toxicity_cases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[]").split()
        elif line and not line.startswith("#") and heading[1] == kind:
            found.append((heading[0], line))
    return found


def flagged(text: str) -> list[Finding]:
    return [finding for finding in TOXICITY.examine(Passage(text=text)) if finding.score >= FLAG]


def score(text: str) -> float:
    return TOXICITY.scores(Passage(text=text))["toxicity"]


@pytest.mark.parametrize(("lang", "text"), cases("toxic"))
def test_the_tone_of_toxic_sentences_is_heard(lang: str, text: str) -> None:
    assert TONE.margin(text) > MARGIN
    assert lang


@pytest.mark.parametrize(("lang", "text"), cases("fair"))
def test_the_tone_of_fair_sentences_passes(lang: str, text: str) -> None:
    assert TONE.margin(text) < -MARGIN
    assert lang


def test_words_and_tone_together_judge_nearly_all_of_them_rightly() -> None:
    """The words were not trained on these sentences; what they get wrong beside the tone is counted, not hidden."""
    found = [bool(flagged(text)) for _, text in cases("toxic")]
    wrong = [text for _, text in cases("fair") if flagged(text)]
    assert sum(found) >= 0.93 * len(found)
    assert len(wrong) <= 0.07 * len(cases("fair")), wrong


def test_every_language_has_dozens_of_cases() -> None:
    for lang in ("en", "de", "fr", "es", "it", "nl"):
        assert sum(one == lang for one, _ in cases("toxic") + cases("fair")) >= 30


@pytest.mark.parametrize(
    "text",
    [
        "Women are stup1d",  # a digit
        "Women are stuuuupid",  # stretched
        "Women are s t u p i d",  # set apart
        "Women are disgustnig",  # letters exchanged
        "Women are disgsting",  # a letter missing
        "Women aredisgusting",  # run together
        "All wo\u200bmen are disgusting",  # something invisible in the group, the word itself clear
    ],
)
def test_disguised_words_raise_the_score(text: str) -> None:
    assert score(text) > score("Women are here") + 0.2


@pytest.mark.parametrize(
    ("honest", "toxic", "plain"),
    [
        ("The parcel came late, and nobody answered the phone. ", "All Muslims are disgustnig vemrin.", "All Muslims."),
        (
            "Das Paket kam zu spät, und niemand ging ans Telefon. ",
            "Alle Juden sind wiederlcihes Ungeziefer.",
            "Alle Juden feiern morgen.",
        ),
    ],
)
def test_misspelt_contempt_for_a_group_is_found_in_long_texts_too(honest: str, toxic: str, plain: str) -> None:
    text = honest * 20 + toxic + " " + honest * 20
    found = flagged(text)
    assert found
    assert all(f.start < len(honest) * 20 + len(toxic) and f.end > len(honest) * 20 for f in found)
    assert not flagged(text.replace(toxic, plain))


def test_ordinary_words_are_not_taken_for_disguises() -> None:
    for text in (
        "Create the files behind the garage.",
        "Der Trainer sitzt am Tisch.",
        "La maestra scrive alla lavagna.",
    ):
        assert score(text) < 0.2


def test_what_is_meant_decides() -> None:
    said = score("Immigrants are vermin.")
    assert said > 0.8
    assert score('Whoever writes "immigrants are vermin" is banned.') < said - 0.4
    assert score("Immigrants are not vermin.") < said - 0.4
    assert score("It is wrong to call immigrants vermin.") < said - 0.4
    assert score("Immigrants are nothing but vermin.") >= said - 0.1


def test_a_finding_covers_its_sentence_and_says_why() -> None:
    text = (
        "The meeting went well. Afterwards he wrote this: all refugees are disgusting parasites. We adjourned at noon."
    )
    (finding,) = flagged(text)
    assert "refugees are disgusting parasites" in text[finding.start : finding.end]
    assert "adjourned" not in text[finding.start : finding.end]
    assert "|GROUP" in finding.rule


def test_a_word_that_two_languages_share_counts_in_its_own() -> None:
    assert score("Hoe gaat het met de hoes van mijn bank?") < 0.2
    assert score("Die Lieferung kommt am Montag, die Rechnung auch.") < 0.2
    assert score("Le document est joint, con il suo allegato.") < 0.2


@given(st.text(max_size=600))
@settings(max_examples=60, deadline=None)
def test_readings_stay_inside_any_text(text: str) -> None:
    for reading in READER.read(text)[1]:
        assert 0 <= reading.start < reading.end <= len(text)


WORDS = [
    word.strip("*").replace("_", " ")
    for name in ("toxic.txt", "tone.txt")
    for languages in read_sections(LEXICONS / name).values()
    for words in languages.values()
    for word in words
]


@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from([" ", ". ", ", ", '" ', "\n"]))
@settings(max_examples=60, deadline=None)
def test_the_gate_of_the_tone_loses_nothing(words: list[str], gap: str) -> None:
    passage = Passage(text=gap.join(words))
    assert TOXICITY.examine(passage) == TOXICITY.examine_closely(passage)


def test_a_long_text_costs_no_more_than_its_parts_find() -> None:
    sentence = "You are a worthless piece of shit. "
    found = flagged("The weather is fine today. " * 400 + sentence + "Nothing else happened. " * 400)
    assert len(found) == 1


@pytest.mark.parametrize(
    "piece",
    [
        "you stupid idiot ",
        '"women are scum" ',
        "stupididiotscum",
        "women, not stupid; ",
        "a*** ",
        "idiot.\n",
        "f u c k ",
        "'",
    ],
)
def test_long_hostile_texts_are_read_to_the_end(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    found = TOXICITY.examine(Passage(text=text))
    assert all(0 <= finding.start < finding.end <= len(text) for finding in found)
    if "stupid" in piece.split():
        assert found[-1].end > len(text) - 300


@given(st.text(alphabet="ab*#@ .\u00e9\u20ac", max_size=60), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_a_stretch_holds_the_censored_words_that_the_whole_text_has_there(text: str, one: int, other: int) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    whole = [match.span() for match in tone_words._CENSORED.finditer(text, start, end)]
    assert tone_words.censored(text, start, end) == whole


def test_each_stretch_is_encoded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 encodes all it is given: given the whole text for every stretch, the cost per kilobyte grew with the text."""
    given: list[int] = []

    class Counted:
        def finditer(self, text: str, start: int, end: int) -> list[object]:
            given.append(len(text))
            return []

    monkeypatch.setattr(tone_words, "_CENSORED", Counted())
    text = ("You are stupid. " + "The parcel came late and the weather was fine. " * 12) * 100
    assert READER.read(text)[1]
    assert len(given) > 50
    assert sum(given) <= 2 * len(text)
