# ruff: noqa: E501 - lists of words are easier to compare on one line
"""Fills the sentences of ``phrases/persons.txt`` with names and addresses of many countries; deterministic."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from corpus import phrases
from faker import Faker

HOME = {
    "en": ("en_GB", "en_US", "en_IE", "en_AU", "en_CA"),
    "de": ("de_DE", "de_AT", "de_CH"),
    "fr": ("fr_FR", "fr_BE", "fr_CH", "fr_CA"),
    "es": ("es_ES", "es_MX", "es_AR", "es_CO"),
    "it": ("it_IT",),
    "nl": ("nl_NL", "nl_BE"),
}
ABROAD = (
    "pl_PL",
    "tr_TR",
    "pt_PT",
    "sv_SE",
    "da_DK",
    "hr_HR",
    "ro_RO",
    "cs_CZ",
    "hu_HU",
    "fi_FI",
    "no_NO",
    "en_IN",
    "en_NG",
    "vi_VN",
    "pt_BR",
)
STREETS = {
    "en": (
        "{} {}",
        "High Church Station Victoria Park Mill King Queen Green Baker Chestnut Elm Oxford Bridge Castle Albert Manor York Market Cedar".split(),
        "Street Road Lane Avenue Close Drive Court Way Gardens Terrace Place Square Crescent Hill".split(),
    ),
    "de": (
        "{}{}",
        "Haupt Bahnhof Garten Schiller Goethe Berg Wald Linden Kirch Mühlen Rosen Schul Bismarck Ring Wiesen Kastanien Friedrich Dorf".split(),
        "straße strasse str. weg allee gasse platz ring ufer".split(),
    ),
    "fr": (
        "{1} {0}",
        "de la République|Victor Hugo|de la Gare|Pasteur|du Moulin|des Lilas|Jean Jaurès|de l'Église|Saint-Martin|du Château|Voltaire|des Écoles|Gambetta".split(
            "|"
        ),
        "rue avenue boulevard place chemin impasse allée quai Rue Avenue".split(),
    ),
    "es": (
        "{1} {0}",
        "Mayor|de la Constitución|del Sol|San Juan|de Cervantes|Real|de la Libertad|Goya|Gran Vía|Colón|de Aragón|Velázquez|Nueva|de la Paz".split(
            "|"
        ),
        "Calle Avenida Plaza Paseo Avda. C/ calle Carrera Ronda Camino".split(),
    ),
    "it": (
        "{1} {0}",
        "Garibaldi|Roma|Dante Alighieri|Mazzini|Verdi|della Repubblica|Cavour|XX Settembre|San Marco|Manzoni|dei Mille|Leopardi|Marconi".split(
            "|"
        ),
        "Via Viale Piazza Corso Vicolo via Largo Strada".split(),
    ),
    "nl": (
        "{}{}",
        "Dorps Kerk Molen School Stations Wilhelmina Juliana Beatrix Prinsen Heren Linden Park Haven Markt Burgemeester Nieuwe Oranje".split(),
        "straat weg laan plein gracht kade singel dreef dijk".split(),
    ),
}
TOWNS = {
    "en": "London Leeds Bristol Norwich Bath Exeter Galway Reading Dover Swindon Luton Derby Boston Austin Portland".split(),
    "de": "Berlin|Hamburg|Freiburg im Breisgau|Kassel|Ulm|Graz|Bern|Mainz|Erfurt|Lübeck|Bad Homburg|Linz|Trier|Bielefeld".split(
        "|"
    ),
    "fr": "Paris|Lyon|Aix-en-Provence|Dijon|Grenoble|Le Mans|Saint-Étienne|Tours|Metz|Namur|Lausanne|Reims|La Rochelle".split(
        "|"
    ),
    "es": "Madrid|Sevilla|León|Las Palmas|Alicante|Burgos|San Sebastián|Cádiz|Vigo|Gijón|Palma de Mallorca|Toledo".split(
        "|"
    ),
    "it": "Roma|Milano|Bari|Parma|Reggio Emilia|La Spezia|Trento|Modena|Lecce|Ravenna|Pisa|Como|Bergamo".split("|"),
    "nl": "Amsterdam|Den Haag|Breda|Zwolle|Arnhem|Delft|'s-Hertogenbosch|Leuven|Mechelen|Almere|Tilburg|Assen".split(
        "|"
    ),
}
COMPANIES = "Nordwind Contoso Meridian Lumen Fabrik Helix Orion Aurora Delta Atlas Vector Solaris Quantum Polar".split()
FORMS = {"en": "Ltd Inc plc", "de": "GmbH AG KG", "fr": "SA SARL SAS", "es": "SL SA", "it": "SpA Srl", "nl": "BV NV"}
PARTICLES = ("de", "van", "von", "van der", "di", "del", "van de", "De", "Van", "zu", "ter", "da", "la")
MONTHS = {
    "en": "January March May July October", "de": "Januar März Mai Juli Oktober", "fr": "janvier mars mai juillet octobre",
    "es": "enero marzo mayo julio octubre", "it": "gennaio marzo maggio luglio ottobre", "nl": "januari maart mei juli oktober",
}  # fmt: skip


class Marked(NamedTuple):
    """A text with (start, end, type) spans."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    lang: str
    source: str


class Maker:
    """Makes up names, addresses and the rest."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fakers = {locale: Faker(locale) for locale in sorted({*ABROAD, *(x for xs in HOME.values() for x in xs)})}
        for locale, fake in self.fakers.items():
            fake.seed_instance(f"{seed}-{locale}")

    def _home(self, lang: str) -> Faker:
        locale = self.rng.choice(HOME[lang]) if self.rng.random() < 0.75 else self.rng.choice(ABROAD)
        return self.fakers[locale]

    def first(self, lang: str) -> str:
        """Return a first name."""
        return str(self._home(lang).first_name())

    def last(self, lang: str) -> str:
        """Return a surname."""
        return str(self._home(lang).last_name())

    def person(self, lang: str) -> str:  # noqa: PLR0911 - one return per way of writing a name
        """Return a full name, in one of the ways people write them."""
        fake = self._home(lang)
        first, last = str(fake.first_name()), str(fake.last_name())
        roll = self.rng.random()
        if roll < 0.72:
            return f"{first} {last}"
        if roll < 0.77:
            return f"{last}, {first}"
        if roll < 0.82:
            return f"{first} {last}".upper()
        if roll < 0.86:
            return f"{first[0]}. {last}"
        if roll < 0.89:
            return f"{first} {fake.first_name()} {last}"
        if roll < 0.91:
            return f"{first} {self.rng.choice('ABDEGHJKLMPRS')}. {last}"
        if roll < 0.94:
            return f"{first} {last}-{fake.last_name()}"
        return f"{first} {self.rng.choice(PARTICLES)} {last}"

    def address(self, lang: str) -> str:
        """Return a postal address."""
        joint = self.rng.choice((", ", ", ", "\n", " ", " - "))
        if self.rng.random() < 0.55:
            locale = self.rng.choice([locale for locale in HOME[lang] if locale not in {"es_MX", "es_AR", "es_CO"}])
            return str(self.fakers[locale].address()).replace("\n", joint)
        pattern, stems, ends = STREETS[lang]
        rng = self.rng
        street = pattern.format(rng.choice(stems), rng.choice(ends))
        number = f"{rng.choice((rng.randrange(1, 30), rng.randrange(1, 240)))}{rng.choice(('', '', '', 'a', 'B', ' bis' if lang == 'fr' else 'c'))}"
        town = rng.choice(TOWNS[lang])
        code = f"{rng.randrange(1000, 99999):05d}"
        if lang == "en":
            post = rng.choice(
                (
                    f"{rng.choice(('SW', 'LS', 'B', 'M', 'EC', 'BS'))}{rng.randrange(1, 20)} {rng.randrange(1, 9)}{rng.choice('ABDEFGHJ')}{rng.choice('LNPQRST')}",
                    "",
                    code,
                )
            )
            flat = rng.choice(("", "", f"Flat {rng.randrange(1, 40)}, ", f"Apartment {rng.randrange(1, 40)}, "))
            return f"{flat}{number} {street}{joint}{town} {post}".strip()
        if lang == "nl":
            code = f"{rng.randrange(1000, 9999)}" + rng.choice((f" {rng.choice('ABDEHJKL')}{rng.choice('PRSTXZ')}", ""))
        if lang == "de" and rng.random() < 0.25:
            code = f"{rng.choice(('', 'A-', 'CH-'))}{rng.randrange(1000, 9999)}"
        head = (
            f"{number}{rng.choice((' ', ', '))}{street}"
            if lang == "fr"
            else f"{street}{', ' if lang in {'es', 'it'} and rng.random() < 0.6 else ' '}{number}"
        )
        if lang == "es" and rng.random() < 0.4:
            head += rng.choice((", 3º B", ", 2º izq.", ", piso 4", " bajo A"))
        if rng.random() < 0.15:
            return head
        return f"{head}{joint}{code} {town}"

    def other(self, slot: str, lang: str) -> str:
        """Return a town, company, date or number."""
        rng = self.rng
        if slot == "C":
            return rng.choice(TOWNS[lang])
        if slot == "O":
            return f"{rng.choice(COMPANIES)} {rng.choice(FORMS[lang].split())}"
        if slot == "D":
            day, year = rng.randrange(1, 29), rng.randrange(1950, 2027)
            return rng.choice(
                (
                    f"{day:02d}.{rng.randrange(1, 13):02d}.{year}",
                    f"{day} {rng.choice(MONTHS[lang].split())} {year}",
                    str(year),
                )
            )
        return str(rng.randrange(100, 10**7))


def person_texts(seed: int, copies: int, split: str) -> Iterator[Marked]:
    """Yield filled sentences; some are joined to longer texts."""
    maker = Maker(seed)
    rng = maker.rng
    found = phrases("persons.txt")
    for lang in HOME:
        for kind, times in (("pos", copies), ("neg", copies)):
            for template in found[lang, kind] * times:
                parts = [_fill(maker, template, lang)]
                while rng.random() < 0.3:
                    parts.append(_fill(maker, rng.choice(found[lang, rng.choice(("pos", "neg"))]), lang))
                yield _join(parts, rng.choice((" ", "\n", "\n\n")), lang, split)


def _fill(maker: Maker, template: str, lang: str) -> Marked:
    text = template.replace("\\n", "\n")
    out, spans, at = "", [], 0
    while True:
        mark = text.find("{", at)
        if mark < 0:
            break
        out += text[at:mark]
        slot = text[mark + 1]
        if slot in "PFL":
            value = {"P": maker.person, "F": maker.first, "L": maker.last}[slot](lang)
            spans.append((len(out), len(out) + len(value), "PERSON"))
        elif slot == "A":
            value = maker.address(lang)
            spans.append((len(out), len(out) + len(value), "ADDRESS"))
        else:
            value = maker.other(slot, lang)
        out += value
        at = mark + 3
    return Marked(out + text[at:], tuple(spans), lang, "own-synth")


def _join(parts: list[Marked], glue: str, lang: str, source: str) -> Marked:
    text, spans = "", []
    for part in parts:
        if text:
            text += glue
        spans += [(start + len(text), end + len(text), kind) for start, end, kind in part.spans]
        text += part.text
    return Marked(text, tuple(spans), lang, source)
