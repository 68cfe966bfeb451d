"""Readings of a text that make sense as words only: leetspeak, rot13, reversed, letters set apart, misspelt words.

A reading is tried only where it makes words of what was none, because each one costs as much as the text itself. One
pass over the text looks for the commonest words of six languages, and for the words of attacks, as rot13, reversal and
slips of the pen would write them; nearly every text ends there. Where several turn up, the words are read in full, and
counted.
"""

from collections.abc import Iterator
from functools import cache
from itertools import groupby, islice
from re import escape

import msgspec
import re2

from greffier.guardrails.decoding import ENCODINGS, Piece
from greffier.guardrails.matching import PatternSet, Text
from greffier.guardrails.misspellings import begins_a_word, misspellings
from greffier.guardrails.packs import read_patterns, read_words
from greffier.guardrails.vocabulary import segmented, vocabulary
from greffier.guardrails.words import fold

_KEYWORDS = (
    "ignore", "disregard", "forget", "override", "bypass", "reveal", "previous", "instructions", "instruction",
    "system", "prompt", "password", "secret", "rules", "guidelines", "pretend", "unrestricted",
    "ignoriere", "vergiss", "anweisungen", "vorherigen", "bisherigen", "regeln", "passwort", "ignorez", "oublie",
    "oubliez", "consignes", "precedentes", "ignora", "olvida", "instrucciones", "anteriores",
    "reglas", "contrasena", "dimentica", "istruzioni", "precedenti", "regole", "negeer", "vergeet", "instructies",
    "vorige", "eerdere", "wachtwoord", "repeat", "print", "above", "developer", "jailbreak", "output", "answer",
    "without", "restrictions", "everything", "following", "confidential", "credentials", "systemprompt",
    "systeemprompt", "sistema",
)  # fmt: skip
"""Two of them in a cipher, or a long one, are proof without another look."""
_CIPHERS = ("rot13", "reversed")
_SHORTEST_KEYWORD = 5  # of a keyword reversed; shorter ones are parts of words
_SHORTEST_WORD = 4
_LONG_WORD = 9
_TELLING = 7
"""Least length of the words of attacks that are looked for beside the commonest; in ciphers no honest text has them."""
_ENOUGH = 2
_PROOF = 3
"""Unlike words that only a cipher makes; one more is asked for per `_FURTHER` characters, since chance adds up."""
_FURTHER = 16_384
_LONGEST_LEET = 20  # longer runs of letters and digits are identifiers
_MOST_LEET = 512
"""Words with digits that are looked at: a dump of numbers shall not cost more than the text around it."""

ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)
_AROUND = ".,:;!?\"'()[]{}<>\u00bf\u00a1\u00ab\u00bb\u201c\u201d\u201e"
_MARKS = ("[inst]", "<|im_start|>")  # what a model obeys whatever the words around it
_LEET = str.maketrans("0134578@$!|+(\u20ac\u00a3", "oieastbasiltcel")
_ONLY_LETTERS = bytes(code if code > 0x7F or chr(code).isalpha() else 0x20 for code in range(256))  # noqa: PLR2004


def unleet(text: str) -> str:
    """The text with digits and marks read as the letters they look like; the marks of chat templates stay."""
    plain = text.replace("<|", "<\0").replace("|>", "\0>") if "|" in text else text
    return plain.translate(_LEET).replace("\0", "|")


def _ciphered(word: str, cipher: str) -> str:
    return word.translate(ROT13) if cipher == "rot13" else word[::-1]


class _Sign(msgspec.Struct, frozen=True):
    """What a known word looks like in a cipher, or misspelt.

    Attributes:
        form: The word as written then.
        cipher: Which one; ``misspelt`` for none.
        key: Whether it is one of the keywords.
        stem: Whether it is a beginning of words.
        worth: Points that its presence is worth.
    """

    form: str
    cipher: str
    worth: int
    key: bool = False
    stem: bool = False


@cache
def _signs() -> tuple[_Sign, ...]:
    known = vocabulary()
    ordinary = read_words("ordinary_words")
    telling = {word for word in known.words | known.stems if len(word) >= _TELLING}
    found: list[_Sign] = []
    for cipher in _CIPHERS:
        found += [
            _Sign(_ciphered(word, cipher), cipher, 1 + (len(word) >= _LONG_WORD), key=True)
            for word in _KEYWORDS
            if cipher != "reversed" or len(word) >= _SHORTEST_KEYWORD
        ]
        found += [_Sign(_ciphered(mark, cipher), cipher, _ENOUGH, key=True) for mark in _MARKS]
        for word in sorted((known.common | telling).difference(_KEYWORDS)):
            form = _ciphered(word, cipher)
            if len(word) >= _SHORTEST_WORD and form not in known.words and form not in ordinary:
                found.append(_Sign(form, cipher, 1 + (word in telling), stem=word in known.stems))
    wrong = misspellings()
    found += [_Sign(form, "misspelt", 1) for form in sorted(wrong.words.keys() | wrong.stems.keys())]
    return tuple(found)


@cache
def patterns() -> PatternSet:
    """Shapes of encodings, and words in ciphers. Compiled with the first screen, not by whoever imports this module."""
    readings = (rule for rule in read_patterns("decoding") if rule.id in {"spaced", "leet"})
    return PatternSet((*ENCODINGS, *readings), signs=[escape(sign.form) for sign in _signs()])


@cache
def _place(rule: str) -> int:
    return next(index for index, pattern in enumerate(patterns().patterns) if pattern.id == rule)


def reading_hints(text: str) -> frozenset[str]:
    """Which encodings and readings the text may hold; one pass.

    ``leet`` is the weak sign, some words with digits in them; ``leet-words`` says that they make known words.
    """
    found, signs = patterns().candidates_and_signs(Text(text))
    if not found and not signs:
        return frozenset()
    hints = {patterns().patterns[index].id for index in found}
    if signs:
        _add_ciphers(text, signs, hints)
    if "leet" in hints:
        hints.discard("leet")
        hints.update(_leet(text))
    return frozenset(hints)


def _add_ciphers(text: str, signs: list[int], hints: set[str]) -> None:
    keys = dict.fromkeys(_CIPHERS, 0)
    words = dict.fromkeys(_CIPHERS, 0)
    for index in signs:
        sign = _signs()[index]
        if sign.cipher not in words:
            if sign.cipher not in hints and begins_a_word(text, sign.form):
                hints.add(sign.cipher)
            continue
        words[sign.cipher] += sign.worth
        if sign.key:
            keys[sign.cipher] += sign.worth
    for cipher in _CIPHERS:
        # One short word may be chance ("live" in "evil"); two, or a long one, are not.
        if keys[cipher] >= _ENOUGH or (words[cipher] >= _ENOUGH and _makes_words(text, cipher, signs)):
            hints.add(cipher)


def _makes_words(text: str, cipher: str, signs: list[int]) -> bool:
    """Whether the signs stand as words, and are enough with the short words that the cipher makes."""
    needed = _PROOF + len(text) // _FURTHER
    folded = fold(text)
    present = set(folded.encode("utf-8", "replace").translate(_ONLY_LETTERS).split())
    worth = sum(map(_worth, _other_forms()[cipher] & present))
    for index in signs:
        sign = _signs()[index]
        if worth >= needed:
            break
        if sign.cipher == cipher and (sign.form.encode() in present or (sign.stem and _is_part(folded, sign))):
            worth += sign.worth
    return worth >= needed


def _is_part(folded: str, sign: _Sign) -> bool:
    """Whether a beginning of words begins one in rot13, or ends one in reverse."""
    at = folded.find(sign.form)
    while at >= 0:
        end = at + len(sign.form)
        beside = folded[at - 1 : at] if sign.cipher == "rot13" else folded[end : end + 1]
        if not beside.isalpha():
            return True
        at = folded.find(sign.form, end)
    return False


@cache
def _other_forms() -> dict[str, frozenset[bytes]]:
    """The common words in each cipher that are no signs, being short or parts of words; without those that are ones."""
    known = vocabulary()
    signs = {(sign.cipher, sign.form) for sign in _signs()}
    return {
        cipher: frozenset(
            form.encode()
            for form in (_ciphered(word, cipher) for word in known.common)
            if (cipher, form) not in signs and not known.knows(form)
        )
        for cipher in _CIPHERS
    }


def _worth(form: bytes) -> float:
    return 1.0 if len(form) >= _SHORTEST_WORD else 0.5


def _leet(text: str) -> Iterator[str]:
    """``leet`` if several words have digits or marks for letters, ``leet-words`` if those are known words."""
    worth = _leet_words(text)
    if worth >= _ENOUGH:
        yield "leet-words"
    if worth >= _ENOUGH or len(list(islice(_leet_shapes(text), _ENOUGH))) == _ENOUGH:
        yield "leet"


def _leet_shapes(text: str) -> Iterator[object]:
    """Words written as nobody writes but in leetspeak: a letter, a digit, a letter, and no identifier."""
    for match in patterns().matches(_place("leet"), Text(text)):
        if match.end() - match.start() < _LONGEST_LEET:
            yield match


def _leet_words(text: str) -> int:
    """What the words are worth that are known once they are read as leetspeak."""
    worth = 0
    for written in islice(dict.fromkeys(token for token in text.split() if not token.isalpha()), _MOST_LEET):
        core = written.strip(_AROUND)
        if _SHORTEST_WORD <= len(core) < _LONGEST_LEET and not core.isalpha() and _is_leet(core):
            worth += 2 if len(core) >= _LONG_WORD else 1
            if worth >= _ENOUGH:
                break
    return worth


def _is_leet(written: str) -> bool:
    """Whether a word is known once it is read; what makes it so must be among what had to be read.

    ``command|`` is a command, and ``error0`` an error.
    """
    word = written.translate(_LEET)
    first = next((at for at, char in enumerate(written) if char != word[at]), -1)
    return first >= 0 and any(map(str.isalpha, written)) and vocabulary().knows(fold(word), first + 1)


_FEWEST_LETTERS = 6
_MOSTLY = 0.5
_SHORTEST_RUN = 8
_SEPARATORS = "._*|~+-"


def spaced_pieces(text: str) -> tuple[list[Piece], list[Piece]]:
    """Runs of characters set apart ("i g n o r e"): closed up to exactly what they were, and as words.

    The first are those where every second character is the same; identifiers and secrets can be looked for in them.
    The second are the rest, by the width of their gaps, and those of the first without blanks, divided into words.
    """
    wrapped = Text(text)
    exact: list[Piece] = []
    words: list[Piece] = []
    for match in patterns().matches(_place("spaced"), wrapped):
        start, end = wrapped.point(match.start(1)), wrapped.point(match.end(1))
        spread = text[start:end]
        stretches = list(_stretches(spread))
        whole = bool(stretches) and stretches[0] in {(0, len(spread)), (0, len(spread) - 1)}
        for first, last in stretches:
            closed = spread[first:last:2]
            identifies = _may_identify(closed)
            if identifies:
                exact.append(Piece(start + first, start + last, closed, "spaced"))
            read = _divided(closed)
            if whole and (read != closed or not identifies) and _reads(read):
                words.append(Piece(start + first, start + last, read, "spaced"))
        if not whole:  # some words too short for a stretch, or apart in another way than their letters
            read = _divided(_by_gaps(spread))
            if _reads(read):
                words.append(Piece(start, end, read, "spaced"))
    return exact, words


def _stretches(spread: str) -> Iterator[tuple[int, int]]:
    """Where every second character is the same: what stands before or behind may be set apart in another way."""
    at = 0
    while at + 1 < len(spread):
        apart = spread[at + 1]
        end = at + 1
        if apart.isspace() or apart in _SEPARATORS:
            while end < len(spread) and spread[end] == apart:
                end += 2
            end = min(end, len(spread))
        if (end - at) // 2 >= _FEWEST_LETTERS - 1:
            if spread[at:end:2].count(" ") * 3 < end - at:  # else the letters are apart by more than one character
                yield at, end
            at = end
        else:
            at += 1


def _reads(read: str) -> bool:
    letters = sum(map(str.isalpha, read))
    return letters >= _FEWEST_LETTERS and letters >= len(read) * _MOSTLY


def _may_identify(closed: str) -> bool:
    """Whether a run is more than a row of figures, which are read across blanks anyway, or the cells of a table."""
    letters = sum(map(str.isalpha, closed))
    several = letters > 1 or closed.count(".") > 2  # noqa: PLR2004 - an IPv4 address
    return several and len(closed) >= _SHORTEST_RUN and min(len(set(closed[::2])), len(set(closed[1::2]))) > 1


def _by_gaps(spread: str) -> str:
    """Join the characters; a gap wider than the narrowest one ends a word, and a blank where most gaps are marks."""
    gaps: list[tuple[int, bool, str]] = []
    gap, blank = 0, False
    for char in spread:
        if char.isspace() or char in _SEPARATORS:
            gap += 1
            blank |= char.isspace()
        else:
            gaps.append((gap, blank, char))
            gap, blank = 0, False
    usual = min((width for width, _, _ in gaps[1:]), default=0)
    marks = sum(not blank for _, blank, _ in gaps[1:]) * 2 > len(gaps)
    return "".join(" " * (width > usual or (marks and blank)) + char for width, blank, char in gaps)


def _divided(closed: str) -> str:
    """The text as it is if its words are apart, else its runs of letters divided into words."""
    if closed.count(" ") * _LONGEST_LEET > len(closed):
        return closed
    runs = ("".join(run) for _, run in groupby(closed, str.isalpha))
    return "".join(segmented(run) if len(run) >= _LONG_WORD and run.isalpha() else run for run in runs)


_TOKEN = re2.compile(r"\S+")
_AFTER_WORDS = ".,:;!?"


def reversed_words(text: str) -> Iterator[Piece]:
    """Every word turned round. Marks turn with their word, unless they stand behind it as in a plain sentence."""
    wrapped = Text(text)
    for match in _TOKEN.finditer(wrapped.data):
        start, end = wrapped.point(match.start()), wrapped.point(match.end())
        token = text[start:end]
        if token[0] not in _AFTER_WORDS:
            token = token.rstrip(_AFTER_WORDS)
        if len(token) > 1:
            yield Piece(start, start + len(token), token[::-1], "reversed")
