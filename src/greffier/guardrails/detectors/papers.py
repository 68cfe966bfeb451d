"""Passports, licence plates and dates of birth: shapes that mean nothing without a word that announces them."""

from collections.abc import Callable

from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, bounded, names

Check = Callable[[Passage, int, int], tuple[float, int, int]]

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


_STRONG_PLATES = frozenset({"plate-fr-it"})  # a shape that nothing else has
_PLATES = ("de", "fr-it", "plain", "es", "gb", "nl", "be-at", "ie", "ch")

CHECKS: dict[str, Check] = {
    "date-of-birth": _birth,
    "date-of-birth-star": _birth,
    "passport": _passport,
    "passport-mrz": _mrz,
    **{f"plate-{country}": _plate(f"plate-{country}" in _STRONG_PLATES) for country in _PLATES},
}
"""Check per rule of ``rulepacks/papers.toml``."""
