"""Secrets that code and configuration assign: a name says what the value is, in whatever syntax joins the two.

`NAME=value`, `"name": "value"`, `<name>value</name>`, `name => 'value'`, `- name: NAME` with `value:` below, a default
of a variable, and so on. The name is taken apart into words ("dbPasswordFile" is a file, not a password); the value is
read up to where its syntax ends it, and must look like what the name says.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import re2

from greffier.guardrails.detectors import secret_values as values
from greffier.guardrails.matching import Text

Kind = Literal["password", "secret", "token", "key", "weak", "pin"]


class Secret(NamedTuple):
    """A value found, its offsets in code points."""

    start: int
    end: int
    score: float
    rule: str


class Value(NamedTuple):
    """What a name is given: its place, and whether it stood in quotes."""

    start: int
    end: int
    quoted: bool


_NAME = values.EXPRESSIONS["name"]
_FALLBACK = values.EXPRESSIONS["fallback"]
_PASSWORDS = values.vocabulary("password_names")
_KEYS = values.vocabulary("key_names")
_ABOUT = values.vocabulary("about_a_secret")
_PUBLIC = values.vocabulary("public_names")
_ORDINARY_KEYS = values.vocabulary("ordinary_keys")
_SECRET_KEYS = values.vocabulary("secret_keys")
_TRAILERS = values.vocabulary("trailers")
_JOINING = values.vocabulary("joining")
_PLAIN_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("secret", "secrets", "geheimnis", "seed", "mnemonic", "pepper"), "secret"),
    **dict.fromkeys(("pat", "authtok", "token", "tokens", "jeton", "authorization", "auth"), "token"),
    "pin": "pin",
}
_TOKEN_ENDS = ("apitoken", "authtoken", "accesstoken")
_PASSWORD_ENDS = ("password", "passwort", "passwd", "kennwort", "wachtwoord", "passphrase", "pwd", "pw")
_KEY_ENDS = ("schlüssel", "sleutel", "geheimnis", "token", "secret", "apikey")
_PASSES = frozenset({"boarding", "ski", "season", "day", "travel", "first", "second", "mountain"})
_CALLS = frozenset({"password", "apikey", "api_key", "token", "secret", "pass"})
HASHED = re2.compile(
    r"(?i)(?:hash|digest|md5|sha-?[0-9]{1,3}) (?:of|for|von|de|du|del|di|van)(?: the| das| la| le)?\s*$"
)
_ACRONYM = re2.compile(r"([A-Z]{2,})([A-Z][a-z]+)")
_SPLIT = re2.compile(r"[A-ZÀ-Ý]+(?:s\b)?(?:[^a-zà-ÿA-ZÀ-Ý]|$)|[A-ZÀ-Ý]?[a-zà-ÿñ]+|[A-ZÀ-Ý]+|[0-9]+")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”“", "„": "“”", "«": "»", "\u2018": "\u2019", "»": "«", "”": "”"}
_LONGEST = 2000
_BEFORE = 24
_LEAST_KEY, _LEAST_TOKEN, _LEAST_SECRET, _LEAST_UNNAMED = 16, 10, 8, 20
_PIN = range(4, 13)
_PHRASE = range(3, 25)


def assigned(text: Text) -> Iterator[Secret]:
    """Every secret that a name announces."""
    whole = text.text
    for match in _NAME.finditer(text.data):
        first = text.point(match.start())
        name = match[1].decode("utf-8", "replace")
        kind = kind_of(name, whole[max(0, first - _BEFORE) : first])
        if (
            not kind
            and name.lower().endswith("community")
            and "snmp" in whole[max(0, first - 80) : first + 120].lower()
        ):
            kind = "password"
        if HASHED.search(whole[max(0, first - _BEFORE) : first]) is not None:
            continue
        if not kind or (match[2] == b":" and whole[first - 1 : first] == ":"):  # a part of the name of a resource
            continue
        found = value_at(whole, text.point(match.end()))
        if found is None:
            continue
        if not found.quoted and (fallback := _FALLBACK.match(whole[found.end : found.end + 200])) is not None:
            found = Value(found.end + fallback.start(1), found.end + fallback.end(1), quoted=True)
        joint = match[2].decode("utf-8", "replace").strip()
        if _joined(name, joint, whole, found) and _accepted(kind, name, joint, whole[found.start : found.end], found):
            yield Secret(found.start, found.end, 0.6 if kind == "weak" else 0.85, f"assigned-{kind}")


def words_of(name: str) -> list[str]:
    """The words an identifier is made of, in lower case."""
    parted = _ACRONYM.sub(r"\1 \2", name)  # "SMBPass"
    words = (word.strip("_-./@$ 0123456789").lower() for word in _SPLIT.findall(parted) if not word.isdigit())
    return [word for word in words if word]


def kind_of(name: str, before: str) -> Kind | Literal[""]:
    """What a name says its value is; empty for anything but a secret.

    Args:
        name: As written ("DB_PASSWORD_FILE").
        before: The text in front of it.
    """
    words = words_of(name)
    while len(words) > 1 and words[-1] in _TRAILERS:
        words.pop()
    if words[-2:] == ["secret", "id"]:  # of HashiCorp Vault's AppRole
        return "key"
    if not words or words[-1] in _ABOUT or not _PUBLIC.isdisjoint(words):
        return ""
    prior = words[-2] if len(words) > 1 else (before.split() or [""])[-1].strip("\"'`([{<*_-.:,").lower()
    return "" if prior in _PUBLIC else _kind(words, prior)


def _kind(words: list[str], prior: str) -> Kind | Literal[""]:
    last = words[-1]
    if last in _PASSWORDS or last.endswith(_PASSWORD_ENDS):
        return "" if last == "pass" and prior in _PASSES else "password"
    plain = _PLAIN_KINDS.get(last)
    if plain is not None:
        return plain
    if last.endswith(_TOKEN_ENDS):
        return "token"
    if last not in _KEYS and "".join(words[-2:]) not in _KEYS:
        return "key" if last.endswith(_KEY_ENDS) else ""
    if prior in _ORDINARY_KEYS:
        return ""
    one_word = last not in {"key", "keys"}  # "apikey", "Schlüssel"
    return "key" if one_word or prior in _SECRET_KEYS or len(words) > 1 else "weak"


def value_at(text: str, at: int) -> Value | None:
    """The value that begins at an offset."""
    at = _begin(text, at)
    if at >= len(text):
        return None
    escaped = text[at] == "\\" and text[at + 1 : at + 2] in {'"', "'"}
    at += escaped
    if text[at] in _QUOTES:
        end = _closing(text, at, escaped=escaped)
        if end >= 0:
            return None if end <= at + 1 else Value(at + 1, end, quoted=True)
        at += 1
    end = at
    limit = min(len(text), at + _LONGEST)
    while end < limit and not text[end].isspace() and text[end] not in "\"'`<>«»“”„" and not _ends(text, end):
        end += 1
    while end > at + 1 and text[end - 1] in ".,;:)]}":
        end -= 1
    return None if end <= at else Value(at, end, quoted=False)


def _begin(text: str, at: int) -> int:
    """Past brackets, the head of a block in YAML, and prefixes of strings."""
    while text[at : at + 1] in {"[", "("} and text[at + 1 : at + 2] in _QUOTES:
        at += 1
    if text[at : at + 1] in {"|", ">"} and text[at + 1 : at + 3].strip("-+ ") in {"", "\n"}:
        below = text.find("\n", at, at + 6)
        if below >= 0:
            at = below + 1
            while text[at : at + 1] in {" ", "\t"}:
                at += 1
    if text[at : at + 1] in set("bruNL@") and text[at + 1 : at + 2] in {"'", '"'}:
        at += 1
    return at


def _closing(text: str, at: int, *, escaped: bool) -> int:
    """Where the string that a quote opens ends; -1 if it does not on this line."""
    closing = _QUOTES[text[at]]
    for end in range(at + 1, min(len(text), at + _LONGEST)):
        if text[end] == "\n":
            break
        if text[end] in closing and (escaped or text[end - 1] != "\\"):
            return end - escaped
    return -1


def _ends(text: str, at: int) -> bool:
    """Whether a character ends a value without quotes, as the next pair of a list, a query or a connection string."""
    char, following = text[at], text[at + 1 : at + 2]
    if char == ",":
        return not following or following.isspace() or following in "\"'{[" or "=" in text[at : at + 24]
    if char == "&":
        return "=" in text[at : at + 32]
    return char == ";" or (char == "\\" and following in {"n", '"', "'"})


def _joined(name: str, joint: str, text: str, found: Value) -> bool:
    """Whether what stands between name and value joins them."""
    if joint.endswith("("):  # "setPassword('...')" hands one over, "getenv('PASSWORD')" asks for one
        words = words_of(name)
        return found.quoted and (not {"set", "with", "use"}.isdisjoint(words) or name.lower().lstrip(".") in _CALLS)
    if joint == "," and not found.quoted:
        return False
    if joint.strip("\"'`"):
        return found.quoted or text[found.end : found.end + 1] not in {"(", "["}
    needed = values.WEAK if found.quoted else values.LIKELY
    if values.strength(text[found.start : found.end]) < needed:
        return False
    if "_" in name or name[1:] != name[1:].lower():  # "aws configure set aws_secret_access_key ..."
        return True
    line = text[text.rfind("\n", 0, found.start) + 1 : found.start].split()  # "bindpw ..." on a line of its own
    return len(line) == 1 and text[found.end : found.end + 1] in {"", "\n"}


def _accepted(kind: Kind, name: str, joint: str, value: str, found: Value) -> bool:
    """Whether a value looks like what its name says."""
    if not values.possible(value) or value == name or (not found.quoted and values.is_chain(value)):
        return False
    if " " in value.strip():
        return kind in {"password", "secret"} and is_phrase(value)
    if kind == "password":
        return values.password_like(value, certain=found.quoted or "=" in joint or ">" in joint or "_" in name)
    if kind == "pin":
        return value.isdigit() and len(value) in _PIN
    return _key_like(kind, value)


def _key_like(kind: Kind, value: str) -> bool:
    """Whether a value was drawn by a machine, or chosen with care where a secret may be chosen."""
    if values.is_ordinary(value, certainly=kind == "secret") and not values.is_uuid(value):
        return False
    if kind == "weak":
        hexadecimal = all(char in "0123456789abcdefABCDEF-" for char in value)
        return (
            values.is_random(value, least=_LEAST_UNNAMED) and values.strength(value) == values.SURE and not hexadecimal
        )
    least = _LEAST_SECRET if kind == "secret" else _LEAST_TOKEN
    chosen = len(value) >= least and values.strength(value) >= values.LIKELY and not values.is_identifier(value)
    return chosen or values.is_random(value, least=_LEAST_KEY)


def is_phrase(value: str) -> bool:
    """Whether words in a row make a passphrase and no sentence: none of them one that only joins others."""
    words = value.split()
    return (
        len(words) in _PHRASE
        and all(word.strip(",.-!").isalnum() and len(word) in range(3, 40) for word in words)
        and _JOINING.isdisjoint(word.lower() for word in words)
        and value == value.strip()
    )
