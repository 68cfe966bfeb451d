"""Identifiers that no neat label announces: births as people tell them, numbers by name, numbers in words."""

import pytest

from greffier.guardrails.detectors.identifiers import Identifiers
from greffier.guardrails.ports import Passage

IDENTIFIERS = Identifiers()


def found(text: str, lang: str = "en") -> set[tuple[str, str]]:
    return {(f.type, text[f.start : f.end]) for f in IDENTIFIERS.examine(Passage(text, lang=lang))}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Our daughter arrived on 9 August 2023, how do we register her?", "9 August 2023"),
        ("14 Jan 1977 is my birthday, which weekday was that?", "14 Jan 1977"),
        ("Could you confirm your DOB?\nSure: 14.12.71.", "14.12.71"),
        ("Mein Mann wurde am 4.4.1960 geboren.", "4.4.1960"),
        ("J'ai vu le jour le 15 août 1972 à Tulle.", "15 août 1972"),
        ("soy del 30 de noviembre de 1994", "30 de noviembre de 1994"),
        ("op 17 januari 2025 bevallen van een zoon", "17 januari 2025"),
        ('"birth_date": "1968-02-29T00:00:00Z"', "1968-02-29"),
        ("Il paziente sig. Conti Ugo (02/03/1938) viene ricoverato", "02/03/1938"),
        ("Name        Born         Room\nAda Pell    04 JUL 52    214", "04 JUL 52"),
        ("Geburtstagsliste: Frau Ohm 3. Januar 1970, Herr Uhl 28. Februar 1964.", "28. Februar 1964"),
        ("born on the first of April, nineteen seventy", "first of April, nineteen seventy"),
        ("Ihr Geburtsdatum bitte?\nKundin: dritter fünfter einundachtzig.", "dritter fünfter einundachtzig"),
        ("nací el siete de mayo del setenta y tres", "siete de mayo del setenta y tres"),
        ("data di nascita? Cliente: ventidue marzo cinquantasei", "ventidue marzo cinquantasei"),
    ],
)
def test_births_are_found_as_people_tell_them(text: str, date: str) -> None:
    assert ("DATE_OF_BIRTH", date) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Released on 5 May 2006, the film grossed 118 million dollars.",
        "La ditta è nata il 5 giugno 1978",
        "La Constitución nació el 6 de diciembre de 1978",
        "Our baby food line was launched on 12 February 2018.",
        "How do I format a DOB field? For example: 01/01/1900",
        "Herr Wójcik, Eintritt 1.4.1981, Raum 3",
        "one two three four five six seven, all good children go to heaven",
        "084471.3 kWh since the last reading",
        "Part no.      Qty\n06-1234-5678   40",
        "06-12-2024 03:45:56 pump 78",
        "The magazine celebrated its birthday on 1 June 2020 with a special issue.",
        "GDPR came into force on 25 May 2018, happy birthday!",
        "job=nightly seq=0049301524416 retry=3/5",
        "clock drift on hosts running kernel 5.15.0.91",
        "bag tag 0125 884417, carousel 9",
        "el Ibiza FR 1.5 TSI",
        "sku,stock\nEF-456-GH,17",
    ],
)
def test_other_days_and_figures_are_left_alone(text: str) -> None:
    assert found(text) == set()


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("PESEL 44051401350", "NATIONAL_ID", "44051401350"),
        ("Ident-Nr.: 36 270 412 951", "NATIONAL_ID", "36 270 412 951"),
        ("numéro de sécurité sociale (15 chiffres) : 1 85 05 78 006 084 92", "NATIONAL_ID", "1 85 05 78 006 084 92"),
        ("NUSS 281234567840", "NATIONAL_ID", "281234567840"),
        ("ondernemingsnummer 0403.019.261", "TAX_ID", "0403.019.261"),
        ("What does the 5 in 38769837703 mean? It is my OIB.", "NATIONAL_ID", "38769837703"),
        ("nat_id,country\n83041256971,PL", "NATIONAL_ID", "83041256971"),
        ("BSN 123456782 EN MEER", "NATIONAL_ID", "123456782"),
        ("Document: paspoort\nNr: BS94N1KT3", "PASSPORT", "BS94N1KT3"),
        ("mi trovi al 348-765.43.21", "PHONE", "348-765.43.21"),
        ("634 22 10 98, ese es el de mi hermana", "PHONE", "634 22 10 98"),
        ("(0)20 7183 8750, ask for Tim at the office", "PHONE", "(0)20 7183 8750"),
        ("mijn nummer is nul zes, achtentwintig, dertien, nul vier, elf", "PHONE",
         "nul zes, achtentwintig, dertien, nul vier, elf"),
        ("blocking the drive: a tractor, V133 RRS", "LICENSE_PLATE", "V133 RRS"),
    ],
)  # fmt: skip
def test_numbers_are_found_by_what_they_are_called(text: str, kind: str, number: str) -> None:
    lang = "es" if "hermana" in text else "it" if "trovi" in text else "en"
    assert (kind, number) in found(text, lang)
