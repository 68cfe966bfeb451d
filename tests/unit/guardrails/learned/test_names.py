"""Names and addresses in six languages; capitals alone are no name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greffier.guardrails.detectors.learned.names import Names
from greffier.guardrails.detectors.learned.tokens import hash_word, tokenize
from greffier.guardrails.ports import Passage

NAMES = Names()


def found(text: str, kind: str) -> list[str]:
    return [text[f.start : f.end] for f in NAMES.examine(Passage(text=text)) if f.type == kind]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Please ask Margaret Holloway about the lease.", "Margaret Holloway"),
        ("Bitte rufen Sie Herrn Thorsten Wiesner zurück.", "Thorsten Wiesner"),
        ("J'ai rencontré Sandrine Lefebvre à la gare.", "Sandrine Lefebvre"),
        ("La reclamación de Rocío Fernández sigue abierta.", "Rocío Fernández"),
        ("Ho parlato con Giulia Bernardini del contratto.", "Giulia Bernardini"),
        ("Ik heb met Sanne de Vries gesproken.", "Sanne de Vries"),
    ],
)
def test_a_person_is_found_in_each_language(text: str, name: str) -> None:
    assert found(text, "PERSON") == [name]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("can you ask Nkiruka about the numbers", ["Nkiruka"]),
        (
            "id;nachname;vorname;tarif\n17;Öztürk;Gülsüm;Basis\n18;Vasilescu;Ionuț;Basis",
            ["Öztürk", "Gülsüm", "Vasilescu", "Ionuț"],
        ),
        ('{"given": "Mamadou", "family": "Ouattara", "plan": "gold"}', ["Mamadou", "Ouattara"]),
        ("[09:14] Agnieszka: on my way\n[09:15] Kwame: ok", ["Agnieszka", "Kwame"]),
        ("Cc: Thanh Huyền Phạm <t.pham@corp.example>; Tuomas Virtanen", ["Thanh Huyền Phạm", "Tuomas Virtanen"]),
        ("kannst du svetlana fragen ob sie morgen kann", ["svetlana"]),
    ],
)
def test_persons_are_found_in_every_genre(text: str, names: list[str]) -> None:
    assert found(text, "PERSON") == names


@pytest.mark.parametrize(
    "text",
    [
        "write to xenia.papadaki@corp.example or see https://corp.example/people/Xenia",
        "Storm Eunice caused damage along the coast.",
        "Der Fischer, der Jäger und der Müller saßen im Wald.",
        "plate,make,zone\n1,Renault,3\n2,Volvo,1",
    ],
)
def test_what_only_bears_a_name_is_no_person(text: str) -> None:
    assert found(text, "PERSON") == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Ship it to 14 Rosemary Lane, Norwich NR3 1AB, please.", "14 Rosemary Lane, Norwich NR3 1AB"),
        ("Ich wohne in der Lindenstraße 12, 50674 Köln.", "Lindenstraße 12, 50674 Köln"),
        ("J'habite 8 rue des Acacias, 69003 Lyon.", "8 rue des Acacias, 69003 Lyon"),
        ("Vivo en Calle de Alcalá 45, 28014 Madrid.", "Calle de Alcalá 45, 28014 Madrid"),
        ("Abito in Via Garibaldi 7, 20121 Milano.", "Via Garibaldi 7, 20121 Milano"),
        ("Ik woon op Kerkstraat 21, 1017 GC Amsterdam.", "Kerkstraat 21, 1017 GC Amsterdam"),
    ],
)
def test_an_address_is_found_in_each_language(text: str, part: str) -> None:
    assert found(text, "ADDRESS") == [part]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The Annual Report of the European Commission is out.",
        "Die Geschäftsführung hat den Bericht der Personalabteilung genehmigt.",
        "Open Settings and choose Privacy, then restart Windows.",
        "turn on the lights in the kitchen",
        "IBAN DE89 3704 0044 0532 0130 00",
    ],
)
def test_capitals_alone_are_no_name(text: str) -> None:
    assert NAMES.examine(Passage(text=text)) == ()


@given(st.text(max_size=400))
@settings(max_examples=60, deadline=None)
def test_offsets_stay_inside_any_text(text: str) -> None:
    for finding in NAMES.examine(Passage(text=text)):
        assert 0 <= finding.start < finding.end <= len(text)


def test_hashes_do_not_depend_on_where_a_word_stands() -> None:
    text = " ".join(f"word{index} Müller" for index in range(1500))
    tokens = tokenize(text)
    assert set(tokens.hash[1::2].tolist()) == {hash_word("müller")}
    assert all(int(h) == hash_word(text[a:b]) for h, a, b in zip(tokens.hash, tokens.start, tokens.end, strict=True))


def test_what_stands_elsewhere_in_a_long_text_makes_no_address_and_hides_none() -> None:
    address = "14 Rosemary Lane, Norwich NR3 1AB"
    alone = f"Ship it to {address}, please. "
    filler = "The weather in the harbour was fine on 12 days of 30. Ask Margaret Holloway. "
    long = filler * 50 + alone + filler * 50
    assert found(long, "ADDRESS") == [address]
    assert found(long, "PERSON") == ["Margaret Holloway"] * 100
