"""Secrets that people tell each other: "the password for the archive is ...", "Kennwort ab heute ...".

Two things are weighed: how a label ("password", "Kennwort", "mot de passe", "PIN", "API key"...) points at a word after
it in the same sentence, and how much that word looks like a secret.
"""

from collections.abc import Iterator
from typing import NamedTuple

import re2

from greffier.guardrails.detectors import secret_values as values
from greffier.guardrails.detectors.secret_assigned import HASHED, Secret, is_phrase
from greffier.guardrails.detectors.secret_logins import secret_like, trimmed
from greffier.guardrails.matching import Text
from greffier.guardrails.words import fold

_KINDS = ("password", "code", "seed", "key")
_LABEL = values.EXPRESSIONS["label"]
_TOKEN = values.EXPRESSIONS["token"]
_TELLS = values.EXPRESSIONS["tells"]
_NEVER = values.EXPRESSIONS["never"]
_LOGIN = values.EXPRESSIONS["login"]
_BEFORE_LABEL = values.EXPRESSIONS["before_label"]
_POINTING = values.vocabulary("pointing")
_WORDS = re2.compile(r"[A-Za-zÀ-ÿ]+(?:[ ][A-Za-zÀ-ÿ]+){3,23}")
_STOPS = re2.compile(r"(?:[.!][\s\"')»]|[^:=|\s]\s*\n|\n\s*\n)")
_NAMED = re2.compile(r"\\?[\"'`\]]{1,2}\s*(?:[:=,]|=>)|=[\"']?\S")
_DOOR = re2.compile(r"[A-Z][0-9]{4,6}$|[0-9]{4,6}[A-Z]$")
_DIAL = re2.compile(r"[0-9]{1,2}(?:[-./][0-9]{1,2}){2,4}$")
_QUOTES = frozenset("\"'`«“„\u2018")
_DASHES = frozenset("-\u2013\u2014")
_AT_ONCE = frozenset({"", ":", "=", "(", "/", ',"', ", '", *_QUOTES, *_DASHES})
_OPENING = frozenset({"(", "[", "*", ":", "=", ">", ",", *_QUOTES, *_DASHES})
_BASE32 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_SOME_KEY = ("the ", "my ", "our ", "your ", "its ", "this ")
_SOME_CODE = frozenset(f"code {word}" for word in ("for", "to", "für", "zum", "zur", "voor", "vom"))
_PLAIN_KEYS = frozenset({"token", "tokens", "secret", "secrets"})
_PAIRS = frozenset({"creds", "credentials", "zugangsdaten", "identifiants"})
_AND_THEN = re2.compile(r"\s*(?:/|\||,|;|:|and |und |et |y |e |en )\s*\S")
_BARE_KEYS = frozenset({"key", "keys", "schlüssel", "clé", "chiave", "sleutel"})
_OTHER_KEYS = values.vocabulary("ordinary_keys") - values.vocabulary("joining") | values.vocabulary("public_names")
_PASSES = ("boarding", "ski", "bus", "day", "season", "travel")
_AT, _CLAUSE, _SENTENCE = 3, 2, 1
_ENOUGH = 4  # of pointer and strength together: a weak form needs a clear word
_REACH = 110
_WINDOW = 510
_WORDS_BETWEEN = 8
_PHRASE_WITHIN = 60
_LEAST = 4
_LEAST_KEY, _LEAST_PLAIN_KEY, _LEAST_BARE_KEY = 10, 12, 24
_DIGITS_ALONE = 8
_MOST_CODES = 12
_CODE = range(4, 25)
_CODE_DIGITS = range(4, 13)
_GROUP = range(3, 9)
_SEED_CHARS = 16  # 80 bits


class _Told(NamedTuple):
    """A label, a word after it, and what stands around and between."""

    label: str
    before: str
    bridge: str
    token: str
    rest: str
    weight: int
    quoted: bool

    @property
    def measures(self) -> bool:
        """Whether the words between talk of lengths, dates or policies."""
        return _NEVER.search(self.bridge) is not None

    @property
    def is_measured(self) -> bool:
        """Whether what follows measures the word ("12 characters") instead of ending the clause."""
        return _NEVER.match(self.rest.lstrip(" \t-")) is not None


def told(text: Text) -> Iterator[Secret]:
    """Every secret that a label in prose announces."""
    whole = text.text
    for match in _LABEL.finditer(text.data):
        start, end = text.point(match.start()), text.point(match.end())
        if not _in_identifier(whole, start, end):
            kind = next(name for name, group in zip(_KINDS, match.groups(), strict=True) if group is not None)
            yield from _after(whole, start, end, kind)
    for match in _BEFORE_LABEL.finditer(text.data):
        first, last = text.point(match.start(1)), text.point(match.end(1))
        if values.strength(whole[first:last]) >= values.LIKELY and secret_like(whole[first:last]):
            yield Secret(first, last, 0.8, "told-before")


def _in_identifier(whole: str, start: int, end: int) -> bool:
    """Whether a label is a part of a name, which `assigned` takes apart, or of a blob."""
    left, right = whole[start - 1 : start] if start else "", whole[end : end + 1]
    beside = left and left in "_$@/+=.-:0123456789"
    goes_on = right and right in "_$@+0123456789/" and not whole[end : end + 2].isspace()
    if beside or goes_on:
        return left not in {"/", "-"} or right.isalnum() or right == "_"
    if right == "." and whole[end + 1 : end + 2].isalnum():
        return True  # "key.pem"
    if left.isalpha() and not (whole[start - 1 : end].islower() or whole[start:end].isupper()):
        return True  # "dbPassword"; a compound of German or Dutch goes on in lower case
    return _NAMED.match(whole[end : end + 8]) is not None


def _after(whole: str, start: int, end: int, kind: str) -> Iterator[Secret]:
    """Secrets after a label, in its sentence."""
    window = whole[end : end + _WINDOW]
    if values.is_reference(window[:_PHRASE_WITHIN].lstrip(" \t:=\"'")):
        return
    label = whole[start:end].lower()
    phrase = _phrase(window, label) if kind in {"seed", "password"} else None
    if phrase is not None:
        yield Secret(end + phrase[0], end + phrase[1], 0.85, "told-phrase")
        return
    stop = _STOPS.search(window)
    reach = _REACH if stop is None else min(_REACH, stop.start() + 1)
    found = 0
    for match in _TOKEN.finditer(window):
        at = match.start()
        token = trimmed(match[0])
        bridge = window[:at]
        if at > reach or bridge.endswith("base64,") or found >= _MOST_CODES:
            return
        if len(token) < _LEAST:
            continue
        weight, quoted = _pointer(bridge)
        rest = window[at + len(token) :]
        if (weight >= _CLAUSE and rest[:1] in {"(", "["}) or (weight == _AT and not values.possible(token)):
            return  # a call, or a reference
        if label in _PAIRS and _AND_THEN.match(rest) is not None:
            continue  # the name of the user
        case = _Told(label, whole[max(0, start - 100) : start], bridge, token, rest, weight, quoted)
        if secret_like(token) and _READERS[kind](case):
            yield Secret(end + at, end + at + len(token), 0.85, f"told-{kind}")
            found += 1
            if kind != "code":
                return


def _pointer(bridge: str) -> tuple[int, bool]:
    """How the words between a label and a word point at it, and whether a quote opens right before it."""
    bare = bridge.strip()
    last = bare[-1:]
    quoted = bool(last) and (last in _QUOTES or last == "*")
    tells = _TELLS.search(bridge) is not None
    if bare in _AT_ONCE:
        return (_AT if tells or quoted or bare == "(" or (bare and bare in _DASHES) else _CLAUSE), quoted
    if tells and len(bare.split()) <= _WORDS_BETWEEN:
        return _AT, quoted
    return (_CLAUSE if tells or last in _OPENING else _SENTENCE), quoted


def _password(case: _Told) -> bool:
    token, power = case.token, values.strength(case.token)
    if " " in token:  # groups of digits of a key that was made for backups
        return token[:5].isdigit() and case.weight >= _CLAUSE
    if HASHED.search(case.before) is not None or _other_pass(case):
        return False
    if values.is_ordinary(token, certainly=case.weight >= _CLAUSE):
        return case.weight == _AT and token.isdigit() and len(token) >= _DIGITS_ALONE
    if case.measures or case.is_measured:
        return case.weight == _AT and power == values.SURE and not case.measures
    return _chosen(case, power)


def _other_pass(case: _Told) -> bool:
    """Whether a short label may well be another word ("boarding pass", "ww1")."""
    if case.label == "pass":
        return case.weight < _CLAUSE or fold(case.before).rstrip().endswith(_PASSES)
    return case.label == "ww" and case.weight < _AT


def _chosen(case: _Told, power: int) -> bool:
    """Whether somebody chose the word as a password."""
    token = case.token
    if power == 0:
        return case.weight == _AT and case.quoted and values.password_form(token)
    digits = sum(char.isdigit() for char in token)
    if not case.bridge.strip() and power == values.WEAK and case.label != "pass" and 1 < digits < len(token) - 4:
        return True  # "wifi code fietsbel2023"
    return power + case.weight >= _ENOUGH


def _key(case: _Told) -> bool:
    token, power = case.token, values.strength(case.token)
    if " " in token or values.is_ordinary(token):
        return False
    if case.label.startswith(_SOME_KEY) and case.label.endswith(" key"):
        clear = power == values.SURE or (power == values.LIKELY and _LOGIN.search(case.before) is not None)
        return (case.weight == _AT and clear) or (
            power == values.SURE and values.is_random(token, least=_LEAST_BARE_KEY)
        )
    if case.label in _BARE_KEYS:
        prior = (fold(case.before).split() or [""])[-1]
        random = power == values.SURE and values.is_random(token, least=_LEAST_BARE_KEY)
        return random and prior not in _OTHER_KEYS and not case.measures
    plain = case.label in _PLAIN_KEYS
    if len(token) < (_LEAST_PLAIN_KEY if plain else _LEAST_KEY) or power < values.LIKELY or case.measures:
        return False
    if values.is_identifier(token) or case.weight < (_CLAUSE if plain else _SENTENCE):
        return False
    return power == values.SURE or (case.weight >= _CLAUSE and values.is_random(token, least=_LEAST_PLAIN_KEY))


def _code(case: _Told) -> bool:
    token, label = case.token, case.label
    if case.measures or case.is_measured:
        return False
    if " " in token or _DIAL.match(token) is not None:  # groups of a backup key, or of a lock with letters or numbers
        return case.weight >= _CLAUSE and (" " in token or any(name in label for name in ("comb", "komb", "slot")))
    if token.rstrip("#*").isdigit():
        return len(token) in _CODE_DIGITS and (case.weight >= _CLAUSE or len(case.bridge.split()) <= 1)
    if label in _SOME_CODE:
        return case.weight == _AT and _DOOR.match(token) is not None
    return _mixed_code(case)


def _mixed_code(case: _Told) -> bool:
    """Whether letters and digits make a code that opens something."""
    token, label = case.token, case.label
    if case.weight == _AT and _DOOR.match(token) is not None:
        return True
    groups = token.split("-")
    if len(groups) > 1 and all(group.isalnum() and len(group) in _GROUP for group in groups):
        spare = "recover" in label or "backup" in label
        return any(char.isdigit() for char in token) and (spare or case.weight >= _CLAUSE)
    return len(token) in _CODE and not values.is_ordinary(token) and values.strength(token) + case.weight >= _ENOUGH


def _seed(case: _Told) -> bool:
    letters = case.token.replace(" ", "")
    folded = letters.upper()
    if len(letters) >= _SEED_CHARS and _BASE32.issuperset(folded):
        return letters == folded or any(char.isdigit() for char in letters)
    clear = case.label == "seed" and case.weight >= _CLAUSE
    return clear and " " not in case.token and values.strength(case.token) == values.SURE


_READERS = {"password": _password, "code": _code, "seed": _seed, "key": _key}


def _phrase(window: str, label: str) -> tuple[int, int] | None:
    """A passphrase or a list of recovery words right after its label."""
    first = _WORDS.search(window)
    if first is None or first.start() > _PHRASE_WITHIN:
        return None
    begin, words = first.start(), first[0].split()
    if _TELLS.search(window[:begin]) is None:  # the word that points is among those found: "for the tape is velvet ..."
        at = next((i for i, word in enumerate(words[:_WORDS_BETWEEN]) if word.lower() in _POINTING), None)
        if at is None:
            return None
        begin += len(" ".join(words[: at + 1])) + 1
        words = words[at + 1 :]
    phrase = " ".join(words)
    named = any(name in label for name in ("seed", "words", "phrase", "mnemonic"))
    even = phrase == phrase.lower() or all(word.istitle() for word in words)
    if len(words) < _LEAST or not even or not is_phrase(phrase) or not (named or window[begin - 1] in _QUOTES):
        return None
    return begin, begin + len(phrase)
