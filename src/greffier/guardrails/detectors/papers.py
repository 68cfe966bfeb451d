"""Passports, licence plates and dates of birth: shapes that mean nothing without a word that announces them."""

from collections.abc import Callable

from greffier.guardrails.matching import Pattern
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, bounded, names

Check = Callable[[Passage, int, int], tuple[float, int, int]]

_MONTH = (
    r"(?:jan(?:uary|uar|vier|uari)?|jän(?:ner)?|ene(?:ro)?|gen(?:naio)?|feb(?:ruary|ruar|rero|braio|ruari)?|févr?(?:ier)?|m(?:ar|är|aa)(?:ch|z|s|zo|rt|t)?"
    r"|mars|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|ma[iy]|mei|mag(?:gio)?|mayo|jun[ei]?|juin|junio|giu(?:gno)?|jul[iy]?|juil(?:let)?|julio|lug(?:lio)?"
    r"|aug(?:ust|ustus)?|août|ago(?:sto)?|sep(?:t|tember|tembre|tiembre)?|set(?:tembre)?|o[ck]t(?:ober|obre|ubre)?|ott(?:obre)?"
    r"|nov(?:ember|embre|iembre)?|de[cz](?:ember)?|déc(?:embre)?|dic(?:iembre|embre)?)\.?"
)
_DATE = (
    r"(?:[0-3]?[0-9][./-][01]?[0-9][./-](?:19|20)?[0-9]{2}|[01]?[0-9][./-][0-3]?[0-9][./-](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}[./-][01]?[0-9][./-][0-3]?[0-9]"
    rf"|[0-3]?[0-9](?:st|nd|rd|th|er|º|\.)?[ ](?:of |de |di )?{_MONTH}[ ,]{{1,2}}(?:de |del |di )?(?:19|20)[0-9]{{2}}"
    rf"|{_MONTH}[ ][0-3]?[0-9](?:st|nd|rd|th)?,?[ ](?:19|20)[0-9]{{2}}|[0-3]?[0-9][ -]{_MONTH}[ -](?:19|20)[0-9]{{2}})\b"
)
_BIRTH = (
    r"(?:date of birth|birth ?date|birthday|d\.?o\.?b\.?|born|geburtsdatum|geburtstag|geboren|geb\.|geb|naissance|née?(?:\(e\))?|nacimiento|nacid[oa]"
    r"|f\. ?nac\.?|nascita|nat[oa]|geboorte(?:datum|dag)|gebdat|jahrgang|cumpleaños|anniversaire|compleanno|verjaardag)"
)
_PASSPORT_WORD = r"(?:passports?|reisepass(?:es|nummer)?|pass(?:nummer|-?nr\.?)?|passeports?|pasaportes?|passaport[oi]|paspoort(?:nummer)?|reisdocument|travel document)"
_PASSPORT_LABELS = (
    "passport",
    "reisepass",
    "pass",
    "passeport",
    "pasaporte",
    "passaporto",
    "paspoort",
    "reisdocument",
    "travel document",
)
_VEHICLE = (
    "car", "vehicle", "plate", "registration", "reg", "kennzeichen", "auto", "fahrzeug", "wagen", "pkw", "lkw",
    "voiture", "vehicule", "plaque",
    "immatricul", "coche", "matricula", "vehiculo", "targa", "targat", "veicolo", "macchina", "kenteken", "voertuig",
    "wagen", "van", "truck",
    "motorrad", "moto", "camion", "furgon", "number plate", "licence", "license", "parked", "parking", "geparkt",
    "zulassung", "nummerplaat", "bestelwagen",
    "scooter", "motorbike", "taxi", "fiat", "bmw", "audi", "volkswagen", "vw", "peugeot", "renault", "citroen",
    "seat", "opel", "ford", "toyota", "mercedes", "tesla",
    "skoda", "nissan", "volvo", "dacia", "hyundai", "kia", "mazda", "golf",
)  # fmt: skip
_NOT_PLATES = (
    "order", "bestell", "commande", "pedido", "ordine", "invoice", "rechnung", "serial", "serien", "room", "raum",
    "flight", "flug", "vol ", "vuelo", "volo", "vlucht", "ticket", "sku", "model", "modell",
)  # fmt: skip


def _birth(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    return (0.9 if bounded(passage.text, start, end) else 0.0), start, end


def _passport(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    number = text[start:end]
    if not bounded(text, start, end) or not any(char.isdigit() for char in number):
        return 0.0, start, end
    return 0.9, start, end


def _mrz(_passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    return 0.95, start, end


def _plate(strong: bool) -> Check:
    def check(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
        text = passage.text
        if (
            not bounded(text, start, end)
            or (start and text[start - 1] in "-_/")
            or text[end : end + 1] in {"-", "_", "/"}
        ):
            return 0.0, start, end
        window = before(text, start)
        if names(window[-30:], _NOT_PLATES):
            return 0.0, start, end
        if names(window, _VEHICLE) or names(after(text, end, 40), _VEHICLE):
            return 0.9, start, end
        return (0.55 if strong else 0.0), start, end

    return check


DIGITS = "[0-9]"
"""Gate of everything that holds a digit: most prompts have none and skip the rest."""

_PLATES = (
    ("plate-de", r"\b[A-ZÄÖÜ]{1,3}[- ][A-Z]{1,2}[ -]?[1-9][0-9]{0,3}[EH]?\b", False),
    ("plate-fr-it", r"\b[A-HJ-NP-TV-Z]{2}[ -][0-9]{3}[ -][A-HJ-NP-TV-Z]{2}\b", True),
    ("plate-plain", r"\b[A-HJ-NP-TV-Z]{2}[0-9]{3}[A-HJ-NP-TV-Z]{2}\b", False),
    ("plate-es", r"\b[0-9]{4}[ -]?[BCDFGHJKLMNPRSTVWXYZ]{3}\b", False),
    ("plate-gb", r"\b[A-HJ-PR-Y]{2}[0-9]{2} ?[A-HJ-PR-Z]{3}\b", False),
    ("plate-nl", r"\b(?:[A-Z]{2}-[0-9]{3}-[A-Z]|[A-Z]-[0-9]{3}-[A-Z]{2}|[0-9]{2}-[A-Z]{2,3}-[0-9]{1,2}|[0-9]-[A-Z]{3}-[0-9]{2,3}|[A-Z]{2}-[0-9]{2}-[A-Z]{2}|[A-Z]{3}-[0-9]{2}-[A-Z])\b", False),
    ("plate-be-at", r"\b[12]-[A-Z]{3}-[0-9]{3}\b|\b[A-Z]{1,2}[ -][0-9]{1,5}[ ]?[A-Z]{1,3}\b", False),
    ("plate-ie", r"\b[0-9]{2,3}-(?:C|CE|CN|CW|D|DL|G|KE|KK|KY|L|LD|LH|LK|LM|LS|MH|MN|MO|OY|RN|SO|T|W|WH|WW|WX)-[0-9]{1,6}\b", False),
    ("plate-ch", r"\b(?:AG|AI|AR|BE|BL|BS|FR|GE|GL|GR|JU|LU|NE|NW|OW|SG|SH|SO|SZ|TG|TI|UR|VD|VS|ZG|ZH)[ -][0-9]{1,6}\b", False),
)  # fmt: skip

RULES: list[tuple[Pattern, Check]] = [
    (
        Pattern(
            "date-of-birth",
            _BIRTH + r"[^0-9\n]{0,28}?" + r"[^0-9A-Za-z]{0,4}(" + _DATE + ")",
            trigger=_BIRTH.replace(r"\.?", "").replace(r"\(e\)", ""),
            group=1,
            ignore_case=True,
            type="DATE_OF_BIRTH",
        ),
        _birth,
    ),
    (
        Pattern(
            "passport",
            _PASSPORT_WORD + r"[^0-9\n]{0,30}?[ :#.°(-]([A-Z]{0,3}[0-9][A-Z0-9]{5,8}|[A-Z][A-Z0-9]{7,8})\b",
            trigger="passport|passeport|pasaporte|passaport|paspoort|reisepass|passnummer|pass-?nr|reisdocument|travel document|pass ",
            group=1,
            ignore_case=True,
            type="PASSPORT",
        ),
        _passport,
    ),
    (
        Pattern(
            "passport-mrz",
            r"\b[PIAC][A-Z<][A-Z]{3}[A-Z<]{25,39}\s{0,2}[A-Z0-9<]{30,44}",
            trigger="<<<",
            type="PASSPORT",
        ),
        _mrz,
    ),
    *[(Pattern(name, shape, gate=DIGITS, type="LICENSE_PLATE"), _plate(strong)) for name, shape, strong in _PLATES],
]
