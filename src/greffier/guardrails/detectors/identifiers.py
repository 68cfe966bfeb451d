"""Identifiers of people and accounts: shapes found in one pass, then check digits, numbering plans and context."""

import ipaddress
from collections.abc import Callable, Iterator

import ahocorasick
from stdnum import luhn
from stdnum.ch import uid as ch_uid
from stdnum.ch import vat as ch_vat
from stdnum.eu import vat
from stdnum.gb import vat as gb_vat

from greffier.core.rulings import Finding
from greffier.guardrails.detectors import births, national_ids, papers, phones
from greffier.guardrails.detectors.papers import Check
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, bounded, fold, heading, names

_LABELLED = 0.95


def _email(_passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    return 1.0, start, end


def _email_spoken(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    spelled = passage.text[start:end]
    marked = any(mark in spelled for mark in "([{<")
    labelled = names(
        before(passage.text, start, 30), ("mail", "write", "contact", "schreib", "ecri", "escrib", "scriv", "schrijf")
    )
    return (0.85 if marked else 0.7 if labelled else 0.0), start, end


def _iban(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Take the longest prefix with valid check digits: a word may follow the account number."""
    candidate = passage.text[start:end]
    length = _IBAN_LENGTHS.get(candidate[:2].upper())
    if length is None:
        return 0.0, start, end
    taken = 0
    for at, char in enumerate(candidate):
        taken += char.isalnum()
        if taken == length:
            stop = start + at + 1
            if _mod_97(candidate[: at + 1]) and bounded(passage.text, start, stop):
                return 1.0, start, stop
            break
    return 0.0, start, end


def _mod_97(account: str) -> bool:
    """Check digits of an IBAN (ISO 13616, ISO 7064 MOD 97-10)."""
    plain = "".join(char for char in account.upper() if char.isalnum())
    return plain.isascii() and int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _card(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    number = "".join(char for char in passage.text[start:end] if char.isdigit())
    if not luhn.is_valid(number) or len(set(number)) == 1:
        return 0.0, start, end
    if not any(lo <= int(number[: len(str(lo))]) <= hi and len(number) in lengths for lo, hi, lengths in _ISSUERS):
        return 0.0, start, end
    text = passage.text
    if not bounded(text, start, end) or (start > 1 and text[start - 1] in ".-" and text[start - 2].isdigit()):
        return 0.0, start, end
    return _LABELLED, start, end


def _ipv4(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    if (start and text[start - 1] in ".0123456789-") or (
        end < len(text) - 1 and text[end] in ".-" and text[end + 1].isdigit()
    ):
        return 0.0, start, end
    try:
        address = ipaddress.IPv4Address(text[start:end])
    except ValueError:
        return 0.0, start, end
    if names(before(text, start, 20), _NOT_ADDRESSES) or _is_version(text, start, end):
        return 0.0, start, end
    quiet = address.is_loopback or address.is_unspecified or text[start:end].startswith("255.")
    return (0.3 if quiet else 0.9), start, end


def _is_version(text: str, start: int, end: int) -> bool:
    """Whether the words around speak of software and none of a network: versions may have four parts, and an ending."""
    if names(after(text, end, 8), _PRERELEASE):
        return True
    around = f"{before(text, start)} {after(text, end, 40)}"
    return names(around, _SOFTWARE) and not names(around, _NETWORK)


_NOT_ADDRESSES = (
    "version",
    "v.",
    "release",
    "section",
    "chapter",
    "kapitel",
    "build",
    "firmware",
    "kernel",
    "treiber",
    "driver",
)
_SOFTWARE = (
    "version", "versie", "release", "firmware", "kernel", "build", "upgrade", "update", "aktualisier", "mise a jour",
    "aggiorna", "actualiz", "bijgewerkt", "patch", "rollback", "changelog", "driver", "treiber", "plugin", "installed",
    "installiert", "package", "paket", "library", "app ",
    "bump", "chart", "commit", "crash", "fix", "hotfix", "bugfix", "testbuild", "nightly", "regression", "semver",
)  # fmt: skip
_PRERELEASE = ("-rc", "-beta", "-alpha", "-snapshot", "-dev", "-hotfix", "+build")
_NETWORK = (
    "ip", "address", "adresse", "direccion", "indirizzo", "adres", "host", "server", "login", "logged", "log in",
    "connect", "connexion", "verbind", "src", "remote", "dns", "gateway", "router", "ping", "http",
    "firewall", "proxy", "vpn", "subnet", "peer", "nginx", "ssh", "banned",
    "blocked", "gesperrt", "zugriff",
)  # fmt: skip


def _ipv6(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    if (start and (text[start - 1].isalnum() or text[start - 1] == ":")) or (end < len(text) and text[end].isalnum()):
        return 0.0, start, end
    while end > start and text[end - 1] == ":" and text[end - 2 : end] != "::":
        end -= 1
    try:
        address = ipaddress.IPv6Address(text[start:end])
    except ValueError:
        return 0.0, start, end
    short = end - start < 8  # noqa: PLR2004 - "::1" and C++ scopes like "a::b" are no one's address
    return (0.0 if short or address.is_loopback or address.is_unspecified else 0.9), start, end


def _mac(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    fits = bounded(passage.text, start, end) and passage.text[end : end + 1] not in {":", "-"}
    return (0.8 if fits else 0.0), start, end


def _vat(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Take the longest valid beginning: what follows in capitals may be the next word."""
    text = passage.text
    whole = end
    while end - start >= _SHORTEST_VAT:
        number = text[start:end]
        if bounded(text, start, end) and _VAT_CHECKS.get(number[:2].upper(), vat.is_valid)(number):
            labelled = names(before(text, start), _VAT_LABELS)
            return (_LABELLED if labelled else 0.8), start, end
        end = max(number.rfind(mark) for mark in " .-") + start
    if " " not in passage.text[start:whole] and bounded(text, start, whole) and names(before(text, start), _VAT_LABELS):
        digits = sum(char.isdigit() for char in text[start:whole])
        return (0.75 if digits >= _VAT_DIGITS else 0.0), start, whole  # named so, whatever its check digits
    return 0.0, start, whole


_SHORTEST_VAT = 9
_VAT_DIGITS = 7
_VAT_CHECKS: dict[str, Callable[[str], bool]] = {
    "CH": lambda number: ch_vat.is_valid(number) or ch_uid.is_valid(number),
    "GB": gb_vat.is_valid,
    "XI": gb_vat.is_valid,
}


def _labelled_tax(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """A number announced as a tax number: the label is the evidence, nine digits or more the shape."""
    digits = sum(char.isdigit() for char in passage.text[start:end])
    return (0.8 if digits >= 8 and bounded(passage.text, start, end) else 0.0), start, end  # noqa: PLR2004


def _named(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """A number called by the name of an identifier: a slip in its check digits leaves it one's own."""
    text = passage.text
    last = max(text.rfind(mark, start, end) for mark in " ./-") + 1
    while last > start and end - last > 1 and not any(char.isdigit() for char in text[last:end]):
        end = last - 1  # the next word, in capitals
        while not text[end - 1].isalnum():
            end -= 1
        last = max(text.rfind(mark, start, end) for mark in " ./-") + 1
    number = text[start:end]
    digits = sum(char.isdigit() for char in number)
    letters = sum(char.isalpha() for char in number)
    fits = digits >= _NAMED_LEAST and digits + letters <= _NAMED_MOST and not phones.date_like(number)
    return (0.85 if fits and bounded(text, start, end) else 0.0), start, end


_NAMED_LEAST, _NAMED_MOST = 6, 22


def _phone(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    while end > start and not text[end - 1].isdigit():
        end -= 1
    if start and (text[start - 1].isalnum() or text[start - 1] in "+_"):
        return 0.0, start, end
    if end < len(text) and (text[end].isalnum() or text[end] in "_%"):
        return 0.0, start, end
    return phones.phone_score(text, start, end, passage.lang), start, end


def _scheme_pattern(scheme: national_ids.Scheme) -> Pattern:
    gate = _DIGIT if scheme.id in _FEW_DIGITS else _SIX_DIGITS
    return Pattern(f"id-{scheme.id.lower()}", scheme.shape, gate=gate, ignore_case=True, type=scheme.type)


def _scheme_check(scheme: national_ids.Scheme) -> Check:
    def check(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
        text = passage.text
        if not bounded(text, start, end):
            return 0.0, start, end
        window = before(text, start).replace("_", " ")
        if names(window, scheme.labels):
            score = _LABELLED
        elif names(window[-40:], national_ids.GENERIC_LABELS):
            score = 0.85
        elif names(above := heading(text, start), scheme.labels):
            score = _LABELLED
        elif names(above, (*national_ids.GENERIC_LABELS, "nat id")):
            score = 0.85
        elif scheme.id != "DE_PERSO" and names(after(text, end, 40), scheme.labels):
            score = 0.8
        elif scheme.weak or (start and text[start - 1] in "-_/#"):
            return 0.0, start, end
        else:
            score = scheme.score
        # Check digits last: of all this they take longest, and most numbers are nobody's.
        return (score if scheme.valid(text[start:end].upper()) else 0.0), start, end

    return check


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18,
    "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23,
    "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27,
    "MD": 24,
    "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29,
    "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_ISSUERS = (
    (4, 4, (13, 16, 19)), (51, 55, (16,)), (2221, 2720, (16,)), (34, 34, (15,)), (37, 37, (15,)),
    (6011, 6011, (16, 19)),
    (644, 659, (16, 19)), (3528, 3589, (16, 17, 18, 19)), (300, 305, (14, 16)), (36, 36, (14, 16)), (38, 39, (14, 16)),
    (62, 62, (16, 17, 18, 19)), (50, 50, (16, 17, 18, 19)), (56, 58, (16, 17, 18, 19)), (60, 63, (16, 17, 18, 19)),
    (67, 67, (16, 17, 18, 19)),
)  # fmt: skip
_VAT_LABELS = ("vat", "ust", "umsatzsteuer", "tva", "iva", "btw", "mwst", "uid", "nif", "tax", "moms", "steuer")

_CHECKS: dict[str, Check] = {
    "email": _email,
    "email-spelled": _email_spoken,
    "iban": _iban,
    "card": _card,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "mac": _mac,
    "vat": _vat,
    "tax-labelled": _labelled_tax,
    "national-labelled": _named,
    "tax-named": _named,
    "phone": _phone,
    **papers.CHECKS,
    **births.CHECKS,
}
# Gates of what holds a digit, or six with little between them: most texts have none, or a date and a price.
_DIGIT = "[0-9]"
_SIX_DIGITS = "[0-9](?:[ ()./A-Za-z+-]{0,4}[0-9]){5}"
_FEW_DIGITS = frozenset({"DE_PERSO", "IT_CF", "MT_ID"})  # letters may stand for most of their digits


class Identifiers:
    """E-mail, telephone, account, card, network, tax, national and travel identifiers."""

    name = "identifiers"
    version = "1"

    def __init__(self) -> None:
        shapes = (*read_patterns("identifiers"), *read_patterns("papers"))
        self._checks = [_CHECKS[pattern.id] for pattern in shapes]
        self._checks += [_scheme_check(scheme) for scheme in national_ids.SCHEMES]
        self._patterns = PatternSet([*shapes, *(_scheme_pattern(scheme) for scheme in national_ids.SCHEMES)])
        self._needed: list[frozenset[str]] = [frozenset()] * len(shapes)
        self._needed += [
            frozenset((*scheme.labels, *national_ids.GENERIC_LABELS)) if scheme.weak else frozenset()
            for scheme in national_ids.SCHEMES
        ]
        self._labels = ahocorasick.Automaton()
        for label in frozenset().union(*self._needed):
            self._labels.add_word(label, label)
        self._labels.make_automaton()

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return every identifier whose check holds; overlaps are left to the engine."""
        text = Text(passage.text)
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return tuple(self._confirmed(passage, text, candidates))

    def _labels_in(self, text: str) -> frozenset[str]:
        return frozenset(label for _, label in self._labels.iter(fold(text).replace("_", " ")))

    def _confirmed(self, passage: Passage, text: Text, candidates: list[int]) -> Iterator[Finding]:
        weak = any(self._needed[index] for index in candidates)
        labels = self._labels_in(passage.text) if weak else frozenset()
        for index in candidates:
            needed = self._needed[index]
            if needed and needed.isdisjoint(labels):
                continue  # a weak scheme counts only beside one of its labels, and there is none in the whole text
            pattern = self._patterns.patterns[index]
            check = self._checks[index]
            for match in self._patterns.matches(index, text):
                first, last = match.span(pattern.group)
                if first < 0:
                    continue
                score, start, end = check(passage, text.point(first), text.point(last))
                if score > 0:
                    data_class = "payment" if pattern.type == "CREDIT_CARD" else "personal"
                    yield Finding(self.name, pattern.type, start, end, score, rule=pattern.id, data_class=data_class)
