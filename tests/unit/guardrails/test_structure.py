# ruff: noqa: RUF001 - sentences in other alphabets
"""Language, length, patterns and grounding: measured in the gateway, whichever process runs the detectors."""

import re
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.guardrails.conftest import SCREEN

from greffier.config.bundle import explicit
from greffier.core.chat import ChatChunk, ChatRequest, ChatResponse, Choice, Message
from greffier.core.context import Grant
from greffier.core.errors import Code, GreffierError
from greffier.core.rulings import Allow, Deny, Finding
from greffier.guardrails.check import Checker, CheckRequest, CheckSession
from greffier.guardrails.detectors.form import Length, Size
from greffier.guardrails.detectors.grounding import Grounding
from greffier.guardrails.detectors.language import identify
from greffier.guardrails.ports import Passage
from greffier.guardrails.screen import Guard, ScreenedInput
from greffier.guardrails.settings import (
    FormPattern,
    GroundingSettings,
    LengthLimits,
    ScreenRule,
    ScreenSettings,
    StreamSettings,
    StructureSettings,
)
from greffier.testing.guard_service import RunningGuardService, client_of

DENIED = ("language", "length", "pattern:ticket", "ungrounded_quote")
STRICT = ScreenSettings(
    detectors=("identifiers",),
    input=(ScreenRule(id="form", types=("language", "length", "pattern:*"), then="deny"),),
    output=(
        ScreenRule(id="iban", types=("pattern:iban",), then="redact"),
        ScreenRule(id="answers", types=DENIED, then="deny"),
        ScreenRule(id="figures", types=("ungrounded_figure",), then="flag"),
    ),
    structure=StructureSettings(
        languages=("de", "en"),
        input=LengthLimits(max_chars=600, max_lines=20),
        output=LengthLimits(max_tokens=200),
        patterns={
            "ticket": FormPattern(expression=r"\bT-\d{4}\b"),
            "iban": FormPattern(expression=r"\bDE\d{20}\b", must="not_match"),
            "sql": FormPattern(expression=r"drop\s+table", must="not_match", direction="input", ignore_case=True),
        },
        grounding=GroundingSettings(),
    ),
)
LENGTH_ONLY = ScreenSettings(
    output=(ScreenRule(id="long", types=("length",), then="deny"),),
    stream=StreamSettings(window_chars=64, overlap_chars=32),
    structure=StructureSettings(output=LengthLimits(max_chars=300)),
)
SOURCE = (
    "Policy T-1000. “The insurer pays no\nmore than 12.500,00 Euro per year”, says section 4 of the contract, "
    "signed on 12.05.2026; 3,4 Mio. customers have one."
)
WORKSPACE = "schema: 1\nname: guards\nunsafe_development_mode: true\ntenants:\n  acme: {title: Acme}\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGuardService]:
    folder = tmp_path_factory.mktemp("guards")
    (folder / "guardrails").mkdir()
    (folder / "greffier.yaml").write_text(WORKSPACE)
    (folder / "guardrails" / "s.yaml").write_bytes(msgspec.yaml.encode({"screens": explicit({"default": STRICT})}))
    with RunningGuardService(folder) as running:
        yield running


@pytest.fixture(params=["in process", "as a service"])
async def strict(request: pytest.FixtureRequest) -> AsyncIterator[Guard]:
    if request.param == "in process":
        yield Guard({"default": STRICT})
        return
    client = client_of(request.getfixturevalue("service").socket)
    yield Guard({"default": STRICT}, service=client)
    await client.close()


async def asked(guard: Guard, grant: Grant, text: str = SOURCE) -> ScreenedInput:
    ruling = await guard.screen_input(ChatRequest("m", (Message("user", text),)), grant)
    assert isinstance(ruling, Allow), ruling
    return ruling.value


def answer(text: str) -> ChatResponse:
    return ChatResponse("i", "m", (Choice(Message("assistant", text)),))


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("Pouvez-vous m'expliquer pourquoi mon contrat a été résilié sans aucun préavis ?", "language"),
        ("Czy może mi pan pomóc napisać list do właściciela mieszkania?", "language"),
        ("请告诉我如何更改我的密码，谢谢您的帮助。", "language"),
        ("word " * 121, "length"),
        ("a\n" * 20, "length"),
        ("please DROP\nTABLE users", "pattern:sql"),
    ],
)
async def test_requests_of_another_form_are_refused(strict: Guard, grant: Grant, text: str, type_: str) -> None:
    ruling = await strict.screen_input(ChatRequest("m", (Message("user", text),)), grant)
    assert isinstance(ruling, Deny)
    assert (ruling.code, ruling.rule) == (Code.GUARDRAIL_BLOCKED, "form")
    assert type_ in {finding.type for finding in ruling.findings}


@pytest.mark.parametrize(
    "text",
    [
        "Bitte fassen Sie den Vertrag für mich in drei Sätzen zusammen, danke.",
        "How do I reset my password on the new phone?",
        "ok, merci",  # too short to tell
        "Was tut dieser Code?\n```\nimport os\nfor name in os.listdir('.'):\n    print(name)\n```",
        "Siehe https://www.example.org/les-conditions-generales-de-vente/article-quatre und melden Sie sich bitte.",
        "",
    ],
)
async def test_requests_of_the_right_form_pass(strict: Guard, grant: Grant, text: str) -> None:
    await asked(strict, grant, text)


async def test_the_systems_own_words_have_no_form_to_keep(strict: Guard, grant: Grant) -> None:
    messages = (Message("system", "Réponds toujours avec politesse aux clients de la maison."), Message("user", "hi"))
    assert isinstance(await strict.screen_input(ChatRequest("m", messages), grant), Allow)


@pytest.mark.parametrize(
    "text",
    [
        "T-1000: The contract says “the insurer pays no more than 12.500,00 Euro per year”.",
        'T-1000: It says "The insurer pays ... per year" and was signed on 2026-05-12.',
        "T-1000: The limit is 12,500 euros; 3.4 million customers have one, that is 3 400 000.",
        "T-1000: They call it “full cover”.",  # a term, not a quotation
        "1. T-1000 first\n2. then section 4",
    ],
)
async def test_answers_that_keep_to_their_sources_pass(strict: Guard, grant: Grant, text: str) -> None:
    ruling = await strict.screen_output(answer(text), await asked(strict, grant))
    assert isinstance(ruling, Allow), ruling
    assert ruling.findings == ()


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("T-1000: it says “the insurer pays whatever the customer asks for”.", "ungrounded_quote"),
        ("T-1000: „Der Versicherer zahlt in jedem Fall den vollen Betrag“.", "ungrounded_quote"),
        ("T-1000:\n> the insurer always pays everything", "ungrounded_quote"),
        ("The contract has a limit.", "pattern:ticket"),
        ("T-1000 " + "and so on " * 100, "length"),
        ("T-1000: El asegurador paga siempre todo lo que pide el cliente.", "language"),
    ],
)
async def test_answers_of_another_form_are_refused(strict: Guard, grant: Grant, text: str, type_: str) -> None:
    screened = await asked(strict, grant)
    ruling = await strict.screen_output(answer(text), screened)
    assert isinstance(ruling, Deny)
    assert (ruling.code, ruling.rule) == (Code.OUTPUT_BLOCKED, "answers")
    assert type_ in {finding.type for finding in ruling.findings}
    stream = strict.open_stream(screened)
    released = ""
    for piece in re.findall(r"(?s).{1,9}", text):
        if stream.asks_outside:
            await stream.ask_ahead(ChatChunk(text=piece))
        fed = stream.feed(ChatChunk(text=piece))
        assert isinstance(fed, Allow)
        released += "".join(chunk.text for chunk in fed.value)
    if stream.asks_outside:
        await stream.ask_ahead(None)
    assert isinstance(stream.finish(), Deny)
    assert released == ""  # a pattern that must match is known to be missing at the end only


async def test_figures_are_flagged_and_patterns_redacted(strict: Guard, grant: Grant) -> None:
    text = "T-1000: pay 99.000 Euro to DE89370400440532013000."
    ruling = await strict.screen_output(answer(text), await asked(strict, grant))
    assert isinstance(ruling, Allow)
    assert "[PATTERN_IBAN]" in str(ruling.value.choices[0].message.content)
    assert ("ungrounded_figure", "flag") in {(f.type, f.action) for f in ruling.findings}


async def test_the_use_cases_own_prompt_is_a_source(grant: Grant) -> None:
    settings_ = StructureSettings(grounding=GroundingSettings(sources=("document", "tool_output")))
    guard = Guard({"default": msgspec.structs.replace(STRICT, structure=settings_)})
    messages = (Message("user", "it costs 77 euros"), Message("tool", "it costs 99 euros", tool_call_id="1"))
    ruling = await guard.screen_input(ChatRequest("m", messages), grant)
    assert isinstance(ruling, Allow)
    said = await guard.screen_output(answer("77 or 99?"), ruling.value)
    assert [finding.start for finding in said.findings] == [0]  # what the user said is no source here


async def test_a_stream_stops_where_it_grows_too_long(grant: Grant) -> None:
    guard = Guard({"default": LENGTH_ONLY})
    stream = guard.open_stream(await asked(guard, grant, "hi"))
    released = ""
    for _ in range(100):
        fed = stream.feed(ChatChunk(text="ten chars "))
        if isinstance(fed, Deny):
            break
        released += "".join(chunk.text for chunk in fed.value)
    assert isinstance(fed, Deny)
    assert [f.type for f in fed.findings] == ["length"]
    assert 0 < len(released) <= 300


async def test_checks_are_grounded_in_the_sources_they_give(grant: Grant) -> None:
    checker = Checker(Guard({"default": STRICT}))
    request = CheckRequest("T-1000: 55 euros", direction="output", session=CheckSession(sources=("it is 54 euros",)))
    found = await checker.judge(request, grant)
    assert [f.type for f in found.findings] == ["ungrounded_figure"]
    without = await checker.judge(msgspec.structs.replace(request, session=None), grant)
    assert without.findings == ()


async def test_a_screen_without_structure_asks_for_nothing(guard: Guard) -> None:
    assert guard.screen("default").extras == ()
    assert SCREEN.structure is None


async def test_a_pattern_that_cannot_be_compiled_stops_the_start() -> None:
    broken = StructureSettings(patterns={"p": FormPattern(expression="(?=x)")})
    with pytest.raises(GreffierError, match="pattern 'p'"):
        Guard({"default": ScreenSettings(structure=broken)})


@given(st.lists(st.text(max_size=30), max_size=8))
def test_the_size_of_pieces_is_the_size_of_the_whole(pieces: list[str]) -> None:
    length = Length(LengthLimits(max_chars=40, max_tokens=12, max_lines=3))
    size = Size()
    for piece in pieces:
        size.add(piece)
    assert bool(length.exceeded(size)) == bool(length.examine(Passage("".join(pieces))))


def test_a_megabyte_of_figures_and_quotations_is_no_trap() -> None:
    source = " ".join(f"{at} words of the source say so" for at in range(10_000, 35_000))
    answer_ = " ".join(f'"{at} words of the source say so" {at + 50_000}' for at in range(10_000, 25_000))
    found = list(Grounding(GroundingSettings(), (source,)).examine(answer_))
    assert {f.type for f in found} == {"ungrounded_figure"}
    assert len(found) == 15_000


def test_numbers_of_lists_are_no_figures() -> None:
    text = "10. first\n   11) second\n\t12. third\ncosts 13. No"
    assert [text[f.start : f.end] for f in Grounding(GroundingSettings(), ("",)).examine(text)] == ["13"]


NUMBERS = st.integers(10, 10**9)


@given(NUMBERS, st.sampled_from([",", ".", " ", "\u00a0", "'", ""]), st.sampled_from([",", ".", " ", ""]))
@settings(max_examples=200, deadline=None)
def test_a_number_is_found_however_it_is_grouped(number: int, theirs: str, ours: str) -> None:
    source = f"a total of {number:,} units".replace(",", theirs)
    text = f"there are {number:,} units".replace(",", ours)
    assert list(Grounding(GroundingSettings(), (source,)).examine(text)) == []
    other = f"there are {number + 1:,} units".replace(",", ours)
    assert [f.type for f in Grounding(GroundingSettings(), (source,)).examine(other)] == ["ungrounded_figure"]


WORDS = st.lists(
    st.sampled_from(["the", "quick", "brown", "fox", "übersprang", "lazy", "dogs", "42", "naïve"]),
    min_size=4,
    max_size=12,
)


@given(WORDS, st.sampled_from(['"%s"', "“%s”", "„%s“", "«%s»", "\n> %s"]), st.sampled_from([" ", "\n", "  ", ", "]))
def test_a_quotation_is_found_however_it_is_broken(words: list[str], quoting: str, joined: str) -> None:
    source = ("before " + joined.join(words) + " after",)
    quoted = "It says " + quoting % " ".join(words).upper().replace("SS", "ß")
    assert [f.type for f in Grounding(GroundingSettings(figures=False), source).examine(quoted)] == []
    wrong = "It says " + quoting % " ".join([*words, "never"])
    found: list[Finding] = list(Grounding(GroundingSettings(figures=False), source).examine(wrong))
    assert [wrong[f.start : f.end] for f in found] == [" ".join([*words, "never"])]


OTHERS = {
    "en": "Could you please tell me when the next train to the airport leaves?",
    "de": "Können Sie mir bitte sagen, wann der nächste Zug zum Flughafen fährt?",
    "fr": "Pourriez-vous me dire à quelle heure part le prochain train pour l'aéroport ?",
    "es": "¿Podría decirme a qué hora sale el próximo tren para el aeropuerto?",
    "it": "Potrebbe dirmi a che ora parte il prossimo treno per l'aeroporto?",
    "nl": "Kunt u mij vertellen hoe laat de volgende trein naar het vliegveld vertrekt?",
}
OTHER = [
    "Pode dizer-me a que horas parte o próximo comboio para o aeroporto, por favor?",
    "Kan du säga mig när nästa tåg till flygplatsen går härifrån?",
    "Proszę mi powiedzieć, o której odjeżdża następny pociąg na lotnisko.",
    "Можете ли вы сказать, когда отправляется следующий поезд?",
    "Bana havaalanına giden bir sonraki trenin ne zaman kalktığını söyler misiniz?",
    "Voitteko kertoa, milloin seuraava juna lentokentälle lähtee?",
]


@pytest.mark.parametrize(("lang", "text"), OTHERS.items())
def test_the_six_languages_are_told_apart(lang: str, text: str) -> None:
    found, chance = identify(text)
    assert found == lang
    assert chance > 0.9


@pytest.mark.parametrize("text", OTHER)
def test_other_languages_are_another(text: str) -> None:
    assert identify(text)[0] == "other"
