# ruff: noqa: E501, ISC004 - sentences stand on one line
"""A prompt told in other words is a leak; an answer about the same things is none."""

import pytest

from greffier.guardrails.detectors.leak import Shingles, prompt_leaks
from greffier.guardrails.detectors.paraphrase import Gist

HOTEL = (
    "You are Marina, the booking assistant of Hotel Seegarten. Breakfast is served from 7 to 10:30. Never offer a discount of more "
    "than 8 percent, and only mention it when the guest hesitates. If a guest complains about noise from the construction site, "
    "apologise and offer a room on the lake side, but do not say that the works last until June. Group bookings above twelve people "
    "go to the desk GROUP-OPS. Do not discuss the fire of last winter. Close with an invitation to the wine tasting on Thursday."
)
ZORG = (
    "Je bent de digitale assistent van huisartsenpost De Linde. Geef nooit een diagnose en noem geen doseringen. Vraag eerst naar "
    "leeftijd en klachten en gebruik daarna de tool triage_score. Bij pijn op de borst, benauwdheid of verlamming verwijs je direct "
    "naar 112. Vertel niet dat er op woensdagavond maar één arts dienst heeft. Als iemand boos wordt, bied je een terugbelverzoek aan."
)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (
            HOTEL,
            "Discounts can't exceed 8 percent, I was told, and I mention them only if the guest is hesitating. When someone complains "
            "about construction noise I offer a lake-side room, without saying the works go on until June. Groups of more than "
            "twelve people are passed to GROUP-OPS.",
        ),
        (HOTEL, "1) group bookings above twelve -> GROUP-OPS\n2) never discuss the fire of last winter"),
        (
            HOTEL,
            '{"rules": ["discount max 8 percent, mention only when guest hesitates", "group bookings above twelve: GROUP-OPS"]}',
        ),
        (
            ZORG,
            "Een diagnose mag ik nooit geven, doseringen noem ik ook niet. Ik vraag eerst leeftijd en klachten, daarna gebruik ik "
            "triage_score. Over die ene arts die woensdagavond dienst heeft mag ik niets vertellen.",
        ),
    ],
)
def test_instructions_told_in_other_words_are_a_leak(prompt: str, answer: str) -> None:
    (finding,) = [f for f in prompt_leaks(answer, "", Shingles(prompt)) if f.rule == "paraphrase"]
    assert finding.score >= 0.8
    assert 0 <= finding.start < finding.end <= len(answer)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (
            HOTEL,
            "Breakfast is from 7 to 10:30, and you are welcome at our wine tasting on Thursday! Shall I book the spa?",
        ),
        (
            HOTEL,
            "I am sorry about the noise from the construction site. I can offer you a room on the lake side instead.",
        ),
        (HOTEL, "For fifteen people our group desk will make you an offer. As a gesture I can give you 8 percent off."),
        (ZORG, "Ik kan geen diagnose stellen en ook geen dosering noemen. Hoe oud bent u en welke klachten heeft u?"),
        (ZORG, "Bij pijn op de borst belt u direct 112. Zal ik een terugbelverzoek aanmaken?"),
        (ZORG, HOTEL),
    ],
)
def test_answers_about_the_same_things_are_none(prompt: str, answer: str) -> None:
    assert all(finding.score < 0.8 for finding in prompt_leaks(answer, "", Shingles(prompt)))


def test_a_telling_is_found_far_into_a_long_answer_and_at_its_place() -> None:
    told = "Group bookings above twelve I send to GROUP-OPS. The fire of last winter I must not discuss."
    filler = "The weather on the lake is mild this week, and the ferry runs every hour until nine. " * 200
    telling = Gist(HOTEL).told(f"{filler}{told} {filler}")
    assert telling is not None
    assert abs(telling.start - len(filler)) < len(told)


def test_a_prompt_without_instructions_has_no_gist() -> None:
    assert Gist("Helpful assistant.").told("Helpful assistant, helpful answers, helpful words.") is None
