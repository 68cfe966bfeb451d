"""Whether a value can be a secret: placeholders, references, code, paths, digests and ordinary words are none.

Where a value stands decides how much it must look like a secret; `strength` says how much it does. The words and forms
are those of the rule pack ``secret_words``.
"""

import math
from collections import Counter
from itertools import pairwise

import re2

from greffier.guardrails.packs import read_pack

_PACK = read_pack("secret_words")
EXPRESSIONS = {name: re2.compile(expression) for name, expression in _PACK["expressions"].items()}
"""Compiled expressions of the pack; RE2, so linear in the text."""


def vocabulary(name: str) -> frozenset[str]:
    """One list of words of the pack."""
    return frozenset(" ".join(_PACK["words"][name]).split())


SURE = 3
"""Nobody writes such a word by accident: digits, letters and signs mixed, or long and random."""
LIKELY = 2
"""Letters and digits of several kinds."""
WEAK = 1
"""May be a password where it is called one, and something else anywhere else."""

_FILLERS = vocabulary("fillers")
_FILES = tuple(vocabulary("files"))
_MASKS = tuple(vocabulary("masks"))
_MARKS = tuple(vocabulary("marks"))
_REFERENCES = tuple(vocabulary("references"))
_TRIVIAL_PINS = frozenset({"1234", "12345", "123456", "4321"})
_PIN = (4, 6)  # digits that people choose
_FEWEST_KINDS = 4  # different characters; "aaabbb" stands for something
_FEW_DIGITS = 3  # "password123" is a placeholder, "password2024" is not
_WORDS = re2.compile(r"[A-Z]?[a-zà-ÿ]+|[A-ZÀ-Ý]+")
_TYPE = re2.compile(
    r"^[a-z][\w.]*\.[A-Z][a-z0-9]+[A-Z][A-Za-z0-9]*$|^(?:Get|New|ConvertTo|ConvertFrom|Read|Import|Invoke|Select|Set)-[A-Z][A-Za-z]+$"
)
_INDEXED = re2.compile(r"^[A-Za-z_][\w.]*\[")
_HUMPS = re2.compile(r"[A-Z]*[a-zà-ÿ]*")
_HARD = frozenset("!#$%&*?@^~+=|§€£")
_SOFT = frozenset("-_.,:;/\\'")
_VOWELS = frozenset("aeiouyäöüéèêàáíóúAEIOUYÄÖÜÉ")
_SPEAKABLE = 8  # fewer letters are an abbreviation
_RUN = 5  # consonants in a row
_VOWEL_SHARE = 0.2
_SHORT_HUMP = 3
_TURNS = (2, 3)
_BITS_MIXED = 3.1  # per character; words with a number at the end have less
_BITS_LONG = 3.2
_BITS_RANDOM = 2.8  # hexadecimal of 16 characters has 3 and more
_SHORT, _USUAL, _LONG, _VERY_LONG, _KEY = 5, 6, 8, 12, 16
_HEX_KEY = 20


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def is_placeholder(value: str) -> bool:
    """Whether the value stands for one that somebody has yet to fill in, or that was masked."""
    folded = value.lower()
    if any(mark in folded for mark in _MASKS) or any(mark in folded for mark in _MARKS):
        return True
    kinds = len(set(value))
    if value.isdigit() and len(value) <= _PIN[1]:
        return kinds == 1 or value in _TRIVIAL_PINS
    if kinds < _FEWEST_KINDS:
        return True
    words = [word.lower() for word in _WORDS.findall(value)]
    digits = sum(char.isdigit() for char in value)
    return bool(words) and _FILLERS.issuperset(words) and digits <= _FEW_DIGITS and sum(map(len, words)) >= _FEW_DIGITS


def is_reference(value: str) -> bool:
    """Whether the value names where a secret is (a variable, a vault, a file), or is what a one-way function left."""
    folded = value.lower()
    return (
        folded.startswith(_REFERENCES)
        or folded.endswith(_FILES)
        or EXPRESSIONS["variable"].search(value) is not None
        or folded[1:3] == ":\\"
    )


def is_code(value: str) -> bool:
    """Whether the value is an expression that a program works out."""
    return (
        "=>" in value
        or "()" in value
        or _INDEXED.search(value) is not None
        or EXPRESSIONS["call"].search(value) is not None
    )


def is_chain(value: str) -> bool:
    """Whether the value, outside of quotes, is a member of something ("config.password") or a command."""
    return EXPRESSIONS["chain"].search(value) is not None or _TYPE.search(value) is not None


def possible(value: str) -> bool:
    """Whether nothing about a value says that it is no secret."""
    return len(value) >= _PIN[0] and not is_placeholder(value) and not is_reference(value) and not is_code(value)


def is_ordinary(token: str, *, certainly: bool = False) -> bool:
    """Whether a word of prose is a date, a number with its unit, a version, a ticket, an address or a path.

    Args:
        token: The word.
        certainly: Leave out forms that a password may have too ("Route66", "covid-19").
    """
    if EXPRESSIONS["ordinary"].search(token) is not None or token.lower().endswith(_FILES):
        return True
    return not certainly and EXPRESSIONS["likely_ordinary"].search(token) is not None


def is_identifier(value: str) -> bool:
    """Whether the value is built of plain words, as names in programs and hyphenated words are."""
    return EXPRESSIONS["identifier"].search(value) is not None


def is_uuid(value: str) -> bool:
    """Whether a value has the form of a UUID."""
    return [len(part) for part in value.split("-")] == [8, 4, 4, 4, 12]


def letters_of(value: str) -> str:
    """The letters alone."""
    return "".join(char for char in value if char.isalpha())


def gibberish(letters: str) -> bool:
    """Whether letters make no word that could be spoken, or change their case in the middle."""
    if len(letters) < _SPEAKABLE:
        return False
    run = longest = vowels = 0
    for char in letters:
        vowel = char in _VOWELS
        vowels += vowel
        run = 0 if vowel else run + 1
        longest = max(longest, run)
    turns = sum(a.islower() and b.isupper() for a, b in pairwise(letters))
    broken = turns >= _TURNS[0] and any(0 < len(hump) < _SHORT_HUMP for hump in _HUMPS.findall(letters))
    restless = turns >= _TURNS[1] and len(letters) < 4 * turns
    return longest >= _RUN or vowels / len(letters) < _VOWEL_SHARE or broken or restless


def strength(value: str) -> int:
    """How much a value looks like a secret: `SURE`, `LIKELY`, `WEAK`, or 0 for a word."""
    lower = any(char.islower() for char in value)
    upper = any(char.isupper() for char in value)
    if any(char.isdigit() for char in value):
        return _strength_with_digits(value, lower=lower, upper=upper)
    if len(value) < _LONG:
        return 0
    both = lower and upper
    if both and any(char in _HARD for char in value[1:-1]):  # "Sommer&Sonne"
        return LIKELY
    joined = both and any(char in _SOFT for char in value[1:-1]) and not value.istitle()
    marked = both and any(char in _HARD for char in value)  # "PopcornNacht!"
    phrase = EXPRESSIONS["joined"].search(value) is not None  # "lamp-cloud-stone-tiger"
    return WEAK if joined or marked or phrase or gibberish(letters_of(value)) else 0


def _strength_with_digits(value: str, *, lower: bool, upper: bool) -> int:
    length = len(value)
    if not lower and not upper:
        return WEAK if length >= _PIN[0] else 0
    inner = value[1:-1]
    hard = any(char in _HARD for char in inner) or (length >= _LONG and value[0] in _HARD)
    soft = any(char in _SOFT for char in inner)
    if length >= _LONG and hard:
        return SURE
    if length >= _VERY_LONG and lower and upper and _mixed(value) and entropy(value) >= _BITS_MIXED:
        return SURE
    if length >= _KEY and not soft and entropy(value) >= _BITS_LONG:
        return SURE if length >= _HEX_KEY else LIKELY
    if length >= _USUAL and ((lower and upper) or soft or hard):
        return LIKELY
    return WEAK if length >= _SHORT else 0


def _mixed(value: str) -> bool:
    """Whether letters and digits stand among each other, instead of words with a number at the end."""
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" if char.islower() else "s" for char in value]
    return sum(a != b for a, b in pairwise(kinds)) >= max(4, len(value) // 4)


def is_random(value: str, *, least: int) -> bool:
    """Whether a value of at least so many characters was drawn by a machine: keys and tokens are."""
    if len(value) < least or entropy(value) < _BITS_RANDOM:
        return False
    if any(char.isdigit() for char in value):
        return strength(value) >= WEAK and not is_identifier(value)
    return gibberish(letters_of(value))


def password_like(value: str, *, certain: bool) -> bool:
    """Whether a value may be a password.

    Args:
        value: What stands in its place.
        certain: Whether syntax leaves no doubt that a password stands there; in a sentence it must look it more.
    """
    if strength(value) >= WEAK:
        return not is_ordinary(value, certainly=True) or (certain and value.isdigit() and len(value) >= _SHORT)
    if gibberish(letters_of(value)):
        return True
    plain = value == value.lower() or value.isalpha() or is_identifier(value)
    return certain and len(value) >= _LONG and not plain


def password_form(value: str) -> bool:
    """Whether letters alone, in quotes where a password is told, may be one: joined with a capital, or no word."""
    joined = any(char in _SOFT or char in _HARD for char in value[1:-1]) and value != value.lower()
    return gibberish(letters_of(value)) or (len(value) >= _LONG and joined)
