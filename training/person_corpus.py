# ruff: noqa: E501 - lists of words are easier to compare on one line
"""Fills the sentences of ``phrases/persons.txt`` with names and addresses of many countries; deterministic."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import gazetteer
from corpus import phrases
from faker import Faker
from place_words import (
    ADDRESS_STREETS,
    COMPANIES,
    FORMS,
    MONTHS,
    MORE_TOWNS,
    PARTICLES,
    PLACES_ABROAD,
    STREETS,
    TOWNS,
    TRADES,
)

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
FAMILIES = {
    "kurdish": "turkish", "persian": "persian_afghan", "nepali_lankan": "southasian", "bulgarian": "bulgarian_macedonian",
    "latinamerican": "iberian", "thai_filipino_indonesian": "southeastasian",
    "southernafrican": "southern_central_african", "centralafrican": "southern_central_african",
    "jewish_hebrew": "hebrew", "pacific_other": "english", "romani_other": "romanian", "short": "english",
}  # fmt: skip
"""Whose surnames go with given names of an origin that has no list of its own."""


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

        self.given, self.family = gazetteer.listed("given"), gazetteer.listed("family")
        self.brands = [word for words in gazetteer.listed("brands").values() for word in words]

    def _names(self, lang: str) -> tuple[str, str]:
        """Return a first name and a surname that go together."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.55:  # every origin alike: common names must not be all that is learnt
            origin = rng.choice(sorted(self.given))
            surnames = self.family[FAMILIES.get(origin, origin)]
            if rng.random() < 0.1:
                surnames = self.family[rng.choice(sorted(self.family))]
            return rng.choice(self.given[origin]), rng.choice(surnames)
        fake = self.fakers[rng.choice(HOME[lang]) if roll < 0.85 else rng.choice(ABROAD)]
        return str(fake.first_name()), str(fake.last_name())

    def first(self, lang: str) -> str:
        """Return a first name, now and then with an initial."""
        name, surname = self._names(lang)
        return f"{name} {surname[0]}." if self.rng.random() < 0.06 else name

    def last(self, lang: str) -> str:
        """Return a surname."""
        roll = self.rng.random()
        name = self._names(lang)[1]
        if roll < 0.08:
            return f"{self.rng.choice(PARTICLES)} {name}"
        return f"{name}-{self._names(lang)[1]}" if roll < 0.16 else name

    def plain_first(self, lang: str) -> str:
        """Return a first name and nothing else."""
        return self._names(lang)[0]

    def plain_last(self, lang: str) -> str:
        """Return a surname and nothing else."""
        return self._names(lang)[1]

    def plain_person(self, lang: str) -> str:
        """Return a first name and a surname."""
        return " ".join(self._names(lang))

    def person(self, lang: str) -> str:
        """Return a full name, in one of the ways people write them."""
        first, last = self._names(lang)
        middle, other = self._names(lang)
        letter = self.rng.choice("ABDEGHJKLMPRST")
        particle = self.rng.choice(PARTICLES)
        ways = {
            f"{first} {last}": 60,
            f"{last}, {first}": 6,
            f"{last} {first}": 3,
            f"{first} {last}".upper(): 3,
            f"{last.upper()} {first}": 2,
            f"{last.upper()}, {first}": 1,
            f"{first[0]}. {last}": 5,
            f"{first[0]}. {letter}. {last}": 1,
            f"{last}, {first[0]}.": 1,
            f"{last} {first[0]}.": 1,
            f"{last.upper()} {first[0]}": 1,
            f"{first[0]}.{last[0]}.": 1,
            f"{first} {last[0]}.": 2,
            f"{first} {middle} {last}": 3,
            f"{first}-{middle} {last}": 3,
            f"{first} {letter}. {last}": 2,
            f"{first} {last}-{other}": 4,
            f"{first} {last} {other}": 3,
            f"{first} {particle} {last}": 4,
        }
        return self.rng.choices(list(ways), list(ways.values()))[0]

    def firm(self, lang: str) -> str:
        """Return the name of a firm: many are called after people."""
        rng = self.rng
        first, last = self._names(lang)
        form, trade = rng.choice(FORMS[lang].split()), rng.choice(TRADES[lang])
        after = trade in {"Hermanos", "Fratelli"} or lang in {"en", "de", "nl"}
        called = f"{last} {trade}" if after else f"{trade} {last}"
        return rng.choice(
            (
                f"{rng.choice(COMPANIES)} {form}",
                f"{rng.choice(COMPANIES)} {form}",
                f"{called} {form}",
                f"{last} & {self._names(lang)[1]} {form}",
                f"{last} {form}",
                f"{first} {last} {trade} {form}",
                f"{trade} {last}" if lang != "de" else f"{last} {trade}",
            )
        )

    def address(self, lang: str) -> str:
        """Return a postal address, of the country of the language or of another one."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.35:
            return self._home_address(lang)
        return self._elsewhere(rng.choice(list(PLACES_ABROAD))) if roll < 0.5 else self._detailed(lang)

    def _elsewhere(self, country: str) -> str:
        """Return an address as it is written in another country."""
        rng = self.rng
        streets, towns, number, code, order = PLACES_ABROAD[country]
        street, town = rng.choice(streets.split("|")), rng.choice(towns.split("|"))
        filled = [
            "".join(str(rng.randrange(1, 10)) if char == "#" else char for char in part)
            for part in (rng.choice(number.split("|")), code)
        ]
        joint = rng.choice((", ", ", ", "\n", " "))
        return order.format(s=street, n=filled[0], c=filled[1], t=town, j=joint).replace(" ,", ",")

    def _detailed(self, lang: str) -> str:
        """Return an address with a floor, a staircase, a house's name, or without a postcode or a town."""
        rng = self.rng
        _, stems, _ends = STREETS[lang]
        proper = rng.choice((self._names(lang)[1], rng.choice(stems), " ".join(self._names(lang))))
        street = ADDRESS_STREETS[lang]
        kind = rng.choice(street["kinds"].split("|"))
        line = street["line"].format(k=kind, s=proper, n=self._number())
        if street["glued"] and rng.random() < 0.6:
            line = f"{proper.split()[-1]}{kind.lower()} {self._number()}"
        extra = rng.choice(street["extras"].split("|")) if rng.random() < 0.45 else ""
        extra = "".join(str(rng.randrange(1, 9)) if char == "#" else char for char in extra)
        if extra and lang == "en" and rng.random() < 0.7:
            line = f"{extra}, {line}"
        elif extra:
            line += rng.choice((", ", ", ", " ", " // ")) + extra
        joint = rng.choice((", ", ", ", ", ", "\n", " - ", " "))
        town = rng.choice((*TOWNS[lang], *MORE_TOWNS[lang].split("|")))
        code = self._code(lang)
        roll = rng.random()
        if roll < 0.18:
            return line
        if roll < 0.3:
            return f"{line}{joint}{town}"
        return f"{line}{joint}{town} {code}" if lang == "en" else f"{line}{joint}{code} {town}"

    def _number(self) -> str:
        rng = self.rng
        return f"{rng.choice((rng.randrange(1, 30), rng.randrange(1, 260)))}" + rng.choice(
            ("", "", "", "", "a", "B", "/3", "-12", " bis", f"/{rng.randrange(1, 40)}", "-II")
        )

    def _code(self, lang: str) -> str:
        rng = self.rng
        pick = rng.choice
        if lang == "en":
            area = rng.choice("SW LS B M EC BS SN DD EH G CF NR OX BT E N S L".split())
            return rng.choice(
                (
                    f"{area}{rng.randrange(1, 20)} {rng.randrange(1, 9)}{pick('ABDEFGHJ')}{pick('LNPQRST')}",
                    f"{pick('DTHV')}{rng.randrange(10, 99)} {pick('ACDEFHKNPRTVWXY')}{rng.randrange(1, 9)}{pick('ACDEFHK')}{rng.randrange(1, 9)}",
                    f"{area}{rng.randrange(1, 20)}",
                )
            )
        if lang == "nl":
            return f"{rng.randrange(1000, 9999)}" + rng.choice(
                (f" {pick('ABDEHJKL')}{pick('PRSTXZ')}", f"{pick('ABDEHJKL')}{pick('PRSTXZ')}", "")
            )
        if lang == "de" and rng.random() < 0.3:
            return rng.choice(("", "A-", "CH-", "D-")) + str(rng.randrange(1000, 9999))
        return f"{rng.randrange(1000, 99999):05d}"

    def _home_address(self, lang: str) -> str:
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
            return self.firm(lang)
        if slot == "B":
            brand = rng.choice(self.brands).capitalize()
            return f"{self.plain_first(lang)} {brand}" if rng.random() < 0.3 else brand
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
    for key, more in phrases("persons_wide.txt").items():
        found[key] = found[key] + more
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
        elif slot in "pfl":  # a name that names no person here
            value = {"p": maker.plain_person, "f": maker.plain_first, "l": maker.plain_last}[slot](lang)
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
