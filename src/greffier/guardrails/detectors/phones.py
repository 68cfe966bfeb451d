"""Telephone numbers: cheap candidates, then libphonenumber's numbering plans, then context."""

import phonenumbers
import re2

from greffier.guardrails.words import after, before, heading, names

_LABELS = (
    "tel.", "tel:", "tel ", "tel/", "tel)", 'tel"', "tel=", "tel-", "tel,", "tel\n", "telf", "tele", "teln", "tels",
    "msisdn",
    "phone", "call", "mobil", "cell", "fax", "ruf", "handy", "anruf", "numero", "appel", "joindre", "llam",
    "movil",
    "chiam", "cellulare", "bel ", "bel:", "bellen", "gsm", "bereik", "whatsapp", "sms", "hotline", "contact",
    "reach", "ring ", "m:",
    "t:", "p:", "mob", "text me",
    "fijo", "fisso", "festnetz", "fixe", "vaste lijn", "landline", "mob.", "port. :", "port.:",
    "gsm", "beller", "mijn nummer", "ma nummer", "06-nummer", "centralino", "standard",
    "switchboard", "extension", "voicemail", "signal", "viber", "telegram",
    "trovi ", "trovate", "recapit", "wasap", "a bell", "a buzz", "apunta", "rappel", "anruft", "app me", "centralita",
    "answers at", "reception", "office", "text ", "texte", "poste ", "kontakt", "contatt", "contatta", "num :", "num:",
    "telf", "tfno", "tlf", "puh", "telefon", "komorka", "cislo", "numer ", "numar",
    "erreich", "durchwahl", "phone number", "terugbel", "nummer ist", "number is", "portable", "dial", "richiamare",
)  # fmt: skip
_SURE_LABELS = (
    "tel.",
    "tel:",
    "tel ",
    "telef",
    "telf",
    "phone",
    "mobil",
    "handy",
    "fax",
    "gsm",
    "movil",
    "cellulare",
    "portable",
    "whatsapp",
    "rückruf",
)
_NOT_PHONES = (
    "order", "invoice", "bestell", "rechnung", "commande", "facture", "pedido", "factura", "ordine", "fattura",
    "factuur",
    "version", "serial", "serien", "ticket", "tracking", "paket", "parcel", "colis", "paquete", "pacco", "pakket",
    "isbn",
    "iban", "konto", "account", "rekening", "compte", "cuenta", "conto", "ref", "steuer", "kunden", "customer",
    "client",
    "cliente", "klant", "article", "artikel", "sku", "ean", "poliza", "polizza", "polis", "police", "vertrag",
    "contract",
    "lot", "lottery", "lotto", "loterie", "loteria", "loterij", "lotnummer", "batch", "charge", "chargen", "serie",
    "dossier", "vorgang", "expediente", "pratica", "zaaknummer", "reference", "barcode", "part number",
    "devis", "offerte", "angebot", "presupuesto", "preventivo", "quote ",
    "part no", "seq", "meter", "zahler", "bag tag", "teller", "contatore", "inventar", "kostenstelle", "beleg",
    "laufzeit",
    "matricola", "art.", "pump", "sensor", "part n", "catalog", "ersetzt", "lieferzeit", "vpe", "queue", "lotto",
    "sort code", "ondernemingsnummer",
    "printf", "art.-nr", "art.nr", "art. nr", "artnr", "art nr", "teilenummer",
    "commit", "sha", "port", "seed", "uuid", "id:", "id ", "total", "amount", "eur", "usd", "price",
)  # fmt: skip
_DRAWN = ("lotter", "lotto", "loteria", "bonus", "discontinued")
_REGIONS = {
    "de": ("DE", "AT", "CH", "LU"),
    "fr": ("FR", "BE", "CH", "LU"),
    "es": ("ES",),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
    "en": ("GB", "IE", "US", "MT"),
}
_ALL_REGIONS = (
    "DE",
    "FR",
    "GB",
    "ES",
    "IT",
    "NL",
    "BE",
    "AT",
    "CH",
    "IE",
    "LU",
    "US",
    "PT",
    "PL",
    "DK",
    "SE",
    "FI",
    "NO",
    "CZ",
    "SK",
    "HU",
    "GR",
    "RO",
    "BG",
    "HR",
    "SI",
    "LT",
    "LV",
    "EE",
    "CY",
    "MT",
)
_BARE_MOBILES = ("es", "it")
"""Where numbers begin with no 0, and in which groups nobody writes amounts."""
_GROUPED = re2.compile(
    r"[367][0-9]{2}(?:[ .-][0-9]{2}){3}|[367][0-9]{2}-[0-9]{3}-[0-9]{3}|3[0-9]{2}[ ./-][0-9]{3}[ .-]?[0-9]{4}"
)
_MOBILE = re2.compile(
    r"06[ -]?[0-9]{8}|0[67](?:[ .-]?[0-9]{2}){4}|07[0-9]{3}[ ]?[0-9]{6}|07[0-9]{3}[ ][0-9]{3}[ ][0-9]{3}"
)
_FOR_STORIES = re2.compile(r"07700[ ]?900[ ]?[0-9]{3}")
"""What Ofcom keeps for books and films, and authors of examples take for a number."""
_MOBILE_REGIONS = ("NL", "FR", "GB")
_DIALLED = 9
"""Digits of a number that nothing announces."""
_MIN_DIGITS = 7
_MAX_DIGITS = 15
_LONG = 10
"""Digits of a number with its country's code, below which the length says little."""
_CERTAIN = 0.9
_LIKELY = 0.65


def phone_score(text: str, start: int, end: int, lang: str = "") -> float:
    """Confidence that the candidate is a telephone number; 0 when it cannot be one."""
    number = text[start:end]
    digits = sum(char.isdigit() for char in number)
    if not _MIN_DIGITS <= digits <= _MAX_DIGITS or date_like(number):
        return 0.0
    window = before(text, start)
    international = number[0] == "+"
    if not international and names(window[-40:], _NOT_PHONES) and not names(window[-25:], _SURE_LABELS):
        return 0.0
    if not international and number.startswith("00"):
        number_abroad = number[2:].lstrip()
        if number_abroad[:1] != "0" and _valid("+" + number_abroad, None):  # no country's code begins with 0
            return _CERTAIN if _labelled(window, text, end) else _LIKELY
    if not international and _of_something_else(text, start, end):
        return 0.0
    above = heading(text, start)
    labelled = _labelled(window, text, end) or names(above, _LABELS)
    if international:
        return _CERTAIN if _valid(number, None) else _LIKELY if _possible(number) and digits >= _LONG else 0.0
    return _national_score(number, lang, labelled=labelled)


def _of_something_else(text: str, start: int, end: int) -> bool:
    """Whether a unit or a draw follows, or the heading speaks of orders and parts."""
    follows = after(text, end, 25)
    return names(follows, _DRAWN) or names(follows[:7].lstrip(), _UNITS) or names(heading(text, start), _NOT_PHONES)


_UNITS = ("kwh", "km", "kg", "s,", "bytes", "octets", "eur", "pcs", "smc", "mwh", "m3")


def _labelled(window: str, text: str, end: int) -> bool:
    if names(window, _LABELS) or window.endswith(_CALLED_AT):
        return True
    follows = after(text, end, 30)
    return names(follows[:12], ("tel", "phone", "fax", "mobil")) or follows.lstrip(" ,.:;)-\u2013").startswith(
        _ITS_OWNER
    )


_CALLED_AT = (" t. ", "\nt. ", " m. ", "\nm. ", " figlia al ", " hija al ", " avisa al ", "linea ")
_ITS_OWNER = (
    "ese es", "este es", "es el de", "es el mio", "e quello", "e il num", "e il mio", "c'est le", "c'est mon", "that's",
    "thats ", "is my", "is the plumber", "is the land", "das ist", "ist meine", "dat is", "is van", "is mijn", "ext",
)  # fmt: skip
"""What people say behind a number that they give first."""


def _national_score(number: str, lang: str, *, labelled: bool) -> float:
    """A number without its country: a label, or the look of a trunk prefix and separators, must speak for it."""
    looks_dialled = number[0] in "0(" and any(char in " .-/()" for char in number)
    if _MOBILE.fullmatch(number) and any(_valid(number, region) for region in _MOBILE_REGIONS):
        return _CERTAIN if labelled else _LIKELY
    if _FOR_STORIES.fullmatch(number):
        return _LIKELY
    if not labelled and not looks_dialled:
        mobile = lang in _BARE_MOBILES and _GROUPED.fullmatch(number) and _valid(number, lang.upper())
        return _LIKELY if mobile else 0.0
    if not labelled and sum(char.isdigit() for char in number) < _DIALLED:
        return 0.0
    regions = (*_REGIONS.get(lang, ()), *_ALL_REGIONS) if labelled else _REGIONS.get(lang, _ALL_REGIONS[:9])
    if not any(_valid(number, region) for region in dict.fromkeys(regions)):
        return _LIKELY if labelled and looks_dialled and any(_possible(number, region) for region in regions) else 0.0
    return _CERTAIN if labelled else _LIKELY


def date_like(number: str) -> bool:
    """Whether the digits are a day, or two years."""
    number = number.strip("()")
    number = number.split(" ", 1)[0] if number[-3:-2] == " " else number  # the hour behind a day
    for mark in "./-":
        parts = [part.strip() for part in number.split(mark)]
        if len(parts) == 2 and all(_is_year(part) for part in parts):  # noqa: PLR2004 - from a year to another
            return True
        if len(parts) == 2 and len(parts[0]) <= 2 and _is_year(parts[1]) and mark == "/":  # noqa: PLR2004 - a month
            return True
        if len(parts) == 3 and all(part.isdigit() for part in parts):  # noqa: PLR2004 - day, month, year
            lengths = sorted(len(part) for part in parts)
            if lengths[1] <= 2 and lengths[2] in {2, 4}:  # noqa: PLR2004 - DD.MM.YYYY and its kin
                return True
    return False


def _is_year(part: str) -> bool:
    return len(part) == 4 and part[:2] in {"18", "19", "20"}  # noqa: PLR2004


def _possible(number: str, region: str | None = None) -> bool:
    """Whether the length fits the country: numbering plans grow faster than their tables."""
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def _valid(number: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False
