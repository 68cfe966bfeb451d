"""Identifiers as people write them: grouped in their own way, in columns, beside addresses, among versions."""

import pytest

from greffier.core.rulings import Finding
from greffier.guardrails.detectors.identifiers import Identifiers
from greffier.guardrails.engine import resolve
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import heading

DETECTOR = Identifiers()


def found(text: str) -> list[tuple[str, str]]:
    """Types and words of what is found, overlaps resolved."""
    return [(f.type, text[f.start : f.end]) for f in resolve(DETECTOR.examine(Passage(text)))]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("TVA intracom. FR 67 227 674 215 sur la facture", "TAX_ID", "FR 67 227 674 215"),
        ("sul conto IT97 L 25793 27932 136137193549 intestato", "IBAN", "IT97 L 25793 27932 136137193549"),
        ("con DNI 07.182.917-V, mayor de edad", "NATIONAL_ID", "07.182.917-V"),
        ("il codice è HSSMMD 88A01 Z330 O, grazie", "NATIONAL_ID", "HSSMMD 88A01 Z330 O"),
        ("under reference UTR 87463 22520 we have", "TAX_ID", "87463 22520"),
        ("numéro fiscal 078 90 54 445 438 du foyer", "NATIONAL_ID", "078 90 54 445 438"),
        ("national register no. 76.10.05-703.37, lady", "NATIONAL_ID", "76.10.05-703.37"),
        ("plate KR 5HV72, space 14", "LICENSE_PLATE", "KR 5HV72"),
        ("Kennzeichen: W-1234 KL steht falsch", "LICENSE_PLATE", "W-1234 KL"),
        ("aparcamiento para el B-0937-XL", "LICENSE_PLATE", "B-0937-XL"),
        ("Pass F8T2VZ092 9 von ihr läuft ab", "PASSPORT", "F8T2VZ092"),
        ("WARN kyc.worker - rejected doc=18FH72093 reason=glare", "PASSPORT", "18FH72093"),
        ("D.O.B. 3/4/1971 as on the form", "DATE_OF_BIRTH", "3/4/1971"),
        ("nata a Reggio nell'Emilia (provincia di RE) il 12.05.1981", "DATE_OF_BIRTH", "12.05.1981"),
        ("Geburtsdatum\n12.04.1969\nOrt", "DATE_OF_BIRTH", "12.04.1969"),
        ("the applicant, b. 27-May-1952, Ganja", "DATE_OF_BIRTH", "27-May-1952"),
        ("Company: Lampen AG, contact Mara Lind, DOB 03.05.1977", "DATE_OF_BIRTH", "03.05.1977"),
        ("nato il 1° aprile 1955, residente", "DATE_OF_BIRTH", "1° aprile 1955"),
        ("Versicherter: Detlef Schimanowski, 8.8.1951. Entscheidung", "DATE_OF_BIRTH", "8.8.1951"),
        ("el fijo sigue siendo 91 123 45 08.", "PHONE", "91 123 45 08"),
        ("Site Lead | +44 7700 900688 | huw", "PHONE", "+44 7700 900688"),
    ],
)
def test_found_however_it_is_written(text: str, kind: str, words: str) -> None:
    assert (kind, words) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Upgraded firmware from 10.4.2.17 to 10.4.3.1 on all label printers",
        "Versie 12.7.0.88 lost het probleem op",
        "Lot 06 12 44 80 19 retiré de la vente",
        "The winning lottery numbers were 07 14 21 33 40 and bonus 02",
        "Insured event: storm in the harbour, 12.03.2024, roof lost",
        "Notre coopérative est née le 1er octobre 1976 de la fusion de deux caves",
        "bypass=12345678 compass 87654321",
    ],
)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_heading_announces_the_numbers_of_its_column() -> None:
    table = "name,date_naissance,numero_fiscal\nA,1983-04-19,3744558495062\nB,1990-10-02,3744558495062\n"
    assert [kind for kind, _ in found(table)] == ["DATE_OF_BIRTH", "NATIONAL_ID"] * 2
    assert found(table.replace("date_naissance", "date_contrat").replace("numero_fiscal", "montant")) == []


def test_a_heading_is_that_of_the_same_table() -> None:
    text = "born,town\n\nHere is what we have:\na;b\n1983-04-19;2\n"
    assert heading(text, text.index("1983")) == "a"
    assert heading("1983-04-19,x\n1984-01-01,y", 13) == ""
    assert heading("no table here 1983", 14) == ""


def test_work_per_number_is_bounded_in_tall_tables() -> None:
    rows = "x;12345\n" * 100_000
    text = "born;number\n" + rows
    assert heading(text, len(text) - 3) == ""


def test_an_address_loses_only_what_is_a_number_of_its_own() -> None:
    text = "BTW BE 0297.616.883, Dorpsstraat 9, 9800 Deinze"
    address = Finding("names", "ADDRESS", text.index("883"), len(text), 0.98)
    kept = resolve([*DETECTOR.examine(Passage(text)), address])
    assert [(f.type, text[f.start : f.end]) for f in kept] == [
        ("TAX_ID", "BE 0297.616.883"),
        ("ADDRESS", ", Dorpsstraat 9, 9800 Deinze"),
    ]
