"""Encoded pieces of a text and how to read them."""

import base64
import binascii
import html
import urllib.parse
from collections.abc import Callable
from functools import cache

import ahocorasick
import msgspec

from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.packs import read_patterns
from greffier.guardrails.words import fold


class Piece(msgspec.Struct, frozen=True):
    """An encoded span and what it decodes to."""

    start: int
    end: int
    text: str
    kind: str


_KEYWORDS = (
    "ignore", "disregard", "forget", "override", "bypass", "reveal", "previous", "instructions", "instruction",
    "system", "prompt", "password", "secret", "rules", "guidelines", "pretend", "unrestricted",
    "ignoriere", "vergiss", "anweisungen", "vorherigen", "bisherigen", "regeln", "passwort", "ignorez", "oublie",
    "oubliez", "consignes", "precedentes", "mot de passe", "ignora", "olvida", "instrucciones", "anteriores",
    "reglas", "contrasena", "dimentica", "istruzioni", "precedenti", "regole", "negeer", "vergeet", "instructies",
    "vorige", "eerdere", "wachtwoord", "repeat", "print", "above", "developer", "jailbreak", "output", "answer",
    "without",
    "restrictions", "everything", "following", "confidential", "credentials",
)  # fmt: skip
_SINGLE_WORDS = tuple(word for word in _KEYWORDS if " " not in word)
_SHORTEST_WORD = 5
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_FILLERS = (
    "all", "the", "your", "you", "and", "now", "any", "my", "is", "to", "me", "are", "alle", "deine", "tes", "les",
    "las", "tus", "le", "tue", "of", "as", "in", "with", "do", "not", "tell", "show", "give", "what", "say", "these",
    "those", "prior", "earlier", "safety", "act", "act as",
)  # fmt: skip
_LONG_WORD = 9
_MIN_LEET = 2
_MIN_READABLE = 0.85
_ALMOST = 0.6


def _word_automaton(words: tuple[str, ...]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for word in words:
        automaton.add_word(word, word)
    automaton.make_automaton()
    return automaton


_SEGMENTER = _word_automaton(tuple(dict.fromkeys(word for word in _KEYWORDS + _FILLERS if " " not in word)))

_PIECES = tuple(rule for rule in read_patterns("decoding") if rule.id not in {"spaced", "leet"})
_READINGS: tuple[Pattern, ...] = (
    *(rule for rule in read_patterns("decoding") if rule.id in {"spaced", "leet"}),
    *(Pattern(f"rot13-{word.translate(_ROT13)}", word.translate(_ROT13), ignore_case=True) for word in _SINGLE_WORDS),
    *(
        Pattern(f"reversed-{word}", word[::-1], ignore_case=True)
        for word in _SINGLE_WORDS
        if len(word) >= _SHORTEST_WORD
    ),
)


@cache
def _hints() -> PatternSet:
    """Compiled with the first screen that is built, and not by whoever only imports this module."""
    return PatternSet(_PIECES + _READINGS)


def reading_hints(text: str) -> frozenset[str]:
    """Which encodings the text may hold; one pass."""
    found = _hints().candidates(Text(text))
    if not found:
        return frozenset()
    hints: set[str] = set()
    counts: dict[str, int] = {}
    for index in found:
        kind, _, word = _hints().patterns[index].id.partition("-")
        if word:
            counts[kind] = counts.get(kind, 0) + (2 if len(word) >= _LONG_WORD else 1)
        else:
            hints.add(kind)
    # One short word may be chance ("live" in "evil"); two, or a long one, are not.
    hints |= {kind for kind, count in counts.items() if count > 1}
    if "leet" in hints and not _leet(text):
        hints.discard("leet")
    return frozenset(hints)


def _leet(text: str) -> bool:
    """Whether several words are written in leetspeak: a letter, a digit, a letter, and no identifier."""
    index = next(i for i, pattern in enumerate(_hints().patterns) if pattern.id == "leet")
    count = 0
    for match in _hints().matches(index, Text(text)):
        word = match.group()
        count += len(word) < _LONGEST_WORD
        if count >= _MIN_LEET:
            return True
    return False


_LONGEST_WORD = 20


def decoded_pieces(text: str, hints: frozenset[str]) -> list[Piece]:
    """Encoded spans that decode to something readable, in order, without overlap."""
    found: list[Piece] = []
    wrapped = Text(text)
    for index, pattern in enumerate(_PIECES):
        if pattern.id not in hints:
            continue
        for match in _hints().matches(index, wrapped):
            start, end = wrapped.point(match.start()), wrapped.point(match.end())
            decoded = _DECODERS[pattern.id](text[start:end])
            if decoded and decoded != text[start:end]:
                found.append(Piece(start, end, decoded, pattern.id))
    found.sort(key=lambda piece: (piece.start, piece.start - piece.end))
    kept: list[Piece] = []
    for piece in found:
        if not kept or piece.start >= kept[-1].end:
            kept.append(piece)
    return kept


def spaced_pieces(text: str) -> list[Piece]:
    """Spans of letters set apart ("i g n o r e"), closed up again and split into words that are known."""
    wrapped = Text(text)
    index = len(_PIECES)
    found = []
    for match in _hints().matches(index, wrapped):
        start, end = wrapped.point(match.start(1)), wrapped.point(match.end(1))
        words = _close_up(text[start:end])
        if any(char.isalpha() for char in words):
            found.append(Piece(start, end, words, "spaced"))
    return found


def _close_up(spread: str) -> str:
    """Join single letters; a wider gap than the usual one ends a word."""
    words: list[str] = []
    word: list[str] = []
    gap = 0
    for char in spread:
        if char.isalnum():
            if gap > 1 and word:
                words.append("".join(word))
                word = []
            word.append(char)
            gap = 0
        else:
            gap += 1
    words.append("".join(word))
    return " ".join(_segmented(each) for each in words)


def _segmented(word: str) -> str:
    """Put spaces around the known words inside a run of letters ("ignoreallrules")."""
    folded = fold(word)
    if len(folded) < 8:  # noqa: PLR2004 - one word
        return word
    best: list[tuple[int, int]] = []
    for last, known in _SEGMENTER.iter(folded):
        start = last - len(known) + 1
        while best and start < best[-1][1] and len(known) > best[-1][1] - best[-1][0]:
            best.pop()
        if not best or start >= best[-1][1]:
            best.append((start, last + 1))
    pieces = []
    at = 0
    for start, end in best:
        if start > at:
            pieces.append(word[at:start])
        pieces.append(word[start:end])
        at = end
    if at < len(word):
        pieces.append(word[at:])
    return " ".join(pieces)


def _readable(data: bytes) -> str:
    """The bytes as text if they read like text; else empty."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A run cut in mid-character, or a few stray letters before the padding, still reads; noise does not.
        if error.start < len(data) * _MIN_READABLE:
            return ""
        text = data[: error.start].decode("utf-8")
    good = sum(char.isalnum() or char in " .,;:!?'\"-_/@()\n\t<>[]{}=+#*&%" for char in text)
    letters = sum(char.isalpha() or char == " " for char in text)
    if not text or good < len(text) * _MIN_READABLE or letters < len(text) * _ALMOST / 2:
        return ""
    return text


def _from_base64(run: str) -> str:
    letters = "".join(run.split())
    if letters.isalpha() and (letters.islower() or letters.istitle()):
        return ""  # a long word
    standard = letters.replace("-", "+").replace("_", "/").rstrip("=")
    for skip in range(4 if len(standard) % 4 == 1 else 1):
        usable = standard[skip:]
        usable = usable[: len(usable) - (len(usable) % 4 == 1)]
        try:
            text = _readable(base64.b64decode(usable + "=" * (-len(usable) % 4)))
        except (binascii.Error, ValueError):
            continue
        if text:
            return text
    return ""


def _from_base32(run: str) -> str:
    letters = run.rstrip("=")
    try:
        return _readable(base64.b32decode(letters + "=" * (-len(letters) % 8)))
    except (binascii.Error, ValueError):
        return ""


def _from_hex(run: str) -> str:
    digits = run.replace("0x", "").replace("\\x", "")
    digits = "".join(char for char in digits if char in "0123456789abcdefABCDEF")
    try:
        return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    except ValueError:
        return ""


def _from_binary(run: str) -> str:
    bits = "".join(char for char in run if char in "01")
    return _readable(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8)))


def _from_decimal(run: str) -> str:
    numbers = run.replace(",", " ").replace(";", " ").split()
    codes = [int(number) for number in numbers]
    return _readable(bytes(codes)) if all(code < 256 for code in codes) else ""  # noqa: PLR2004 - a byte


def _from_escapes(run: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(run):
        if run.startswith("\\u", at):
            digits = run[at + 2 : at + 10].lstrip("{").split("}")[0][: 6 if run[at + 2 : at + 3] == "{" else 4]
            try:
                out.append(chr(int(digits, 16)))
            except (ValueError, OverflowError):
                return ""
            at += 2 + len(digits) + (2 if run[at + 2 : at + 3] == "{" else 0)
        elif run[at] == "\\" and run[at + 1 : at + 4].isdigit():
            out.append(chr(int(run[at + 1 : at + 4], 8)))
            at += 4
        else:
            out.append(run[at])
            at += 1
    return "".join(out)


_DECODERS: dict[str, Callable[[str], str]] = {
    "base64": _from_base64,
    "base32": _from_base32,
    "hex": _from_hex,
    "url": lambda run: urllib.parse.unquote(run, errors="replace"),
    "html": html.unescape,
    "escapes": _from_escapes,
    "binary": _from_binary,
    "decimal": _from_decimal,
}
