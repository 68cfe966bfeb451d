"""Telephone numbers: cheap candidates, then libphonenumber's numbering plans, then context."""

import phonenumbers

from greffier.guardrails.words import after, before, heading, names

_LABELS = (
    "tel", "phone", "call", "mobil", "cell", "fax", "ruf", "handy", "anruf", "numero", "appel", "joindre", "llam",
    "movil",
    "chiam", "cellulare", "bel", "gsm", "bereik", "whatsapp", "sms", "hotline", "contact", "reach", "ring", "m:",
    "t:", "p:", "mob", "text me",
    "fijo", "fisso", "festnetz", "fixe", "vaste lijn", "landline", "mob.", "port. :", "port.:",
    "gsm", "beller", "mijn nummer", "ma nummer", "06-nummer", "centralino", "standard",
    "switchboard", "extension", "voicemail", "signal", "viber", "telegram",
    "erreich", "durchwahl", "phone number", "terugbel", "nummer ist", "number is", "portable", "dial", "richiamare",
)  # fmt: skip
_SURE_LABELS = ("tel", "phone", "mobil", "handy", "fax", "gsm", "movil", "cellulare", "portable", "whatsapp", "rückruf")
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
    "printf", "art.-nr", "art.nr", "art. nr", "artnr", "art nr", "teilenummer",
    "commit", "sha", "port", "seed", "uuid", "id:", "id ", "total", "amount", "eur", "usd", "price",
)  # fmt: skip
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
)
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
    if not _MIN_DIGITS <= digits <= _MAX_DIGITS or _date_like(number):
        return 0.0
    window = before(text, start)
    international = number[0] == "+"
    if not international and number.startswith("00"):
        number_abroad = number[2:].lstrip()
        if number_abroad[:1] != "0" and _valid("+" + number_abroad, None):  # no country's code begins with 0
            return _CERTAIN if _labelled(window, text, end) else _LIKELY
    if not international and names(window[-40:], _NOT_PHONES) and not names(window[-25:], _SURE_LABELS):
        return 0.0
    labelled = _labelled(window, text, end) or names(heading(text, start), _LABELS)
    if international:
        return _CERTAIN if _valid(number, None) else _LIKELY if _possible(number) and digits >= _LONG else 0.0
    return _national_score(number, lang, labelled=labelled)


def _labelled(window: str, text: str, end: int) -> bool:
    return names(window, _LABELS) or names(after(text, end, 12), ("tel", "phone", "fax", "mobil"))


def _national_score(number: str, lang: str, *, labelled: bool) -> float:
    """A number without its country: a label, or the look of a trunk prefix and separators, must speak for it."""
    looks_dialled = number[0] in "0(" and any(char in " .-/()" for char in number)
    if not labelled and not looks_dialled:
        return 0.0
    regions = (*_REGIONS.get(lang, ()), *_ALL_REGIONS) if labelled else _REGIONS.get(lang, _ALL_REGIONS[:9])
    if not any(_valid(number, region) for region in dict.fromkeys(regions)):
        return _LIKELY if labelled and looks_dialled and any(_possible(number, region) for region in regions) else 0.0
    return _CERTAIN if labelled else _LIKELY


def _date_like(number: str) -> bool:
    for mark in "./-":
        parts = [part.strip() for part in number.split(mark)]
        if len(parts) == 2 and all(_is_year(part) for part in parts):  # noqa: PLR2004 - from a year to another
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
