"""Views of a text as a reader or model would decode it, each with the way back to the original offsets.

The number of views is bounded, so the cost stays linear however much is encoded: characters folded to what they look
like (``unicode``), encoded pieces decoded in place (``base64``, ``hex``, ``url``...), and readings that make sense only
as words (``leet``, ``spaced``, ``misspelt``, ``rot13``, ``reversed``). The second is taken twice, as attackers nest
encodings.
"""

import unicodedata

from greffier.core.rulings import Finding
from greffier.guardrails.decoding import decoded_pieces
from greffier.guardrails.hidden import BIDI, TAGS, VARIATION, harmless, hidden_spans
from greffier.guardrails.misspellings import misspelt_pieces
from greffier.guardrails.packs import read_lines
from greffier.guardrails.readings import ROT13, patterns, reading_hints, reversed_words, spaced_pieces, unleet
from greffier.guardrails.view import OVERLAP, STRETCH, WHOLE, Segment, View, around, joined, replaced, through

_DEPTH = 2
_SURE = 0.95
_FEW = 3


Views = tuple[tuple[View, ...], tuple[Finding, ...]]
"""The views worth examining, and findings about hidden characters."""


def views(text: str, depth: int = _DEPTH) -> Views:
    """Return the views worth examining, and findings about hidden characters."""
    if _plain_western(text):
        return _ascii_views(text, depth), ()
    hidden = hidden_spans(text)
    found = _hidden_findings(text, hidden) if hidden else ()
    looks, changed = _looks(text, hidden=bool(hidden))
    if looks is None:
        return _ascii_views(text, depth), found
    inner = tuple(through(looks, view) for view in _ascii_views(looks.text, depth))
    return (around(looks, changed), *inner), found


_CONTROL_BYTES = bytes(code for code in range(256) if chr(code) < " " and code not in b"\t\n\r") + b"\x7f\xad"


def _plain_western(text: str) -> bool:
    """Whether a single-byte encoding holds the text, nothing in it is hidden and nothing needs folding: most texts."""
    try:
        data = text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    if len(data.translate(None, _CONTROL_BYTES)) != len(data):
        return False
    return text.isascii() or unicodedata.is_normalized("NFKC", text)


def _ascii_views(text: str, depth: int) -> tuple[View, ...]:
    if len(text) <= WHOLE:
        hints = reading_hints(text)
        return (*_decoded(text, hints, depth), *_readings(text, hints)) if hints else ()
    return _long_views(text, depth)


def _long_views(text: str, depth: int) -> tuple[View, ...]:
    """Readings of the stretches that ask for them, joined to one view of each kind."""
    hints: set[str] = set()
    stretches: dict[str, list[Segment]] = {}
    for begin in range(0, len(text), STRETCH):
        stretch = text[begin : begin + STRETCH + OVERLAP]
        found = reading_hints(stretch)
        hints |= found
        names: dict[str, int] = {}
        for view in _readings(stretch, found):
            names[view.name] = names.get(view.name, 0) + 1  # there are two views of a reversed text
            key = f"{view.name}{names[view.name]}{view.prose}{view.literal}"
            stretches.setdefault(key, []).append(Segment(view, 0, len(view.text), begin))
    return (*_decoded(text, frozenset(hints), depth), *(joined(segments) for segments in stretches.values()))


def _decoded(text: str, hints: frozenset[str], depth: int) -> list[View]:
    pieces = decoded_pieces(text, patterns(), hints)
    if not pieces:
        return []
    view = replaced(text, pieces)
    result = [view]
    if depth > 1:
        result += [through(view, inner) for inner in views(view.text, depth - 1)[0]]
    return result


def _readings(text: str, hints: frozenset[str]) -> list[View]:
    """Readings as words. Most keep no digits, so they are good for instructions only."""
    found: list[View] = []
    length = len(text)
    if "spaced" in hints:
        exact, loose = spaced_pieces(text)
        found += [replaced(text, pieces, literal=pieces is exact) for pieces in (exact, loose) if pieces]
    if "misspelt" in hints and (pieces := misspelt_pieces(text)):
        found.append(replaced(text, pieces, literal=False))
    if "leet" in hints:
        prose = "leet-words" in hints
        found.append(View("leet", unleet(text), lambda s, e: (s, e), literal=False, prose=prose))
    if "rot13" in hints:
        found.append(View("rot13", text.translate(ROT13), lambda s, e: (s, e), literal=False))
    if "reversed" in hints:
        found.append(View("reversed", text[::-1], lambda s, e: (length - e, length - s), literal=False))
        found.append(replaced(text, list(reversed_words(text)), literal=False))
    return found


def _looks(text: str, *, hidden: bool) -> tuple[View | None, list[int]]:
    """The text as it looks, and where it changed: hidden characters gone, compatibility forms and look-alikes plain."""
    normal = unicodedata.is_normalized("NFKC", text)
    alike = not text.isascii() and not CONFUSABLE_SET.isdisjoint(text) and not _LATIN.isdisjoint(text)
    if normal and not hidden and not alike:
        return None, []
    chars: list[str] = []
    at: list[int] = []
    changed: list[int] = []
    for index, char in enumerate(text):
        if char < "\x80":
            if char >= " " or char in "\n\t\r":
                chars.append(char)
                at.append(index)
            else:
                changed.append(len(at))
            continue
        plain = _plain(char)
        if plain != char:
            changed.append(len(at))
        chars.append(plain)
        at.extend([index] * len(plain))
    folded = "".join(chars)
    if folded == text:
        return None, []
    at.append(len(text))

    def origin(start: int, end: int) -> tuple[int, int]:
        if end <= start:
            return at[start], at[start]
        return at[start], at[end - 1] + 1

    def touched(start: int, end: int) -> bool:
        first, last = origin(start, end)
        return text[first:last] != folded[start:end]

    return View("unicode", folded, origin, literal=True, touched=touched), changed


_PLAIN: dict[str, str] = {}


def _plain(char: str) -> str:
    known = _PLAIN.get(char)
    if known is None:
        known = _PLAIN[char] = _compute_plain(char)  # at most one entry per code point
    return known


def _compute_plain(char: str) -> str:
    code = ord(char)
    if TAGS[0] <= code <= TAGS[1]:
        return chr(code - 0xE0000) if 0xE0020 <= code < 0xE007F else ""  # noqa: PLR2004 - printable tag characters
    if hidden_spans(char):
        return ""
    if unicodedata.category(char) == "Mn":
        return ""  # stacked accents; letters with one accent are single code points and keep it
    alike = CONFUSABLES.get(char)
    if alike is not None:
        return alike
    plain = unicodedata.normalize("NFKC", char)
    if plain != char:
        plain = "".join(CONFUSABLES.get(c, c) for c in plain if unicodedata.category(c) != "Mn")
    return plain


CONFUSABLES = {pair[0]: pair[1] for line in read_lines("confusables") for pair in line.split()}
"""A look-alike letter and the Latin letter it looks like (Unicode TR 39)."""

_TYPOGRAPHIC = frozenset(
    "\u2013\u2014\u2018\u2019\u201a\u201c\u201d\u2010\u2011\u2212\u02bc\u00f7\u2012"
)  # plain in honest text; they alone make no view
_LATIN = frozenset("abcdefghijklmnopqrstuvwxyz")
CONFUSABLE_SET = frozenset(CONFUSABLES) - _TYPOGRAPHIC


def _hidden_findings(text: str, spans: list[tuple[int, int]]) -> tuple[Finding, ...]:
    """Hidden characters as findings: certain for tags and smuggled bytes, doubtful for a single joiner."""
    groups: list[list[int]] = []
    for start, end in spans:
        if groups and start - groups[-1][1] <= 1:  # "i<zw>g<zw>n": one group
            groups[-1][1] = end
            groups[-1][2] += 1
        else:
            groups.append([start, end, 1])
    found = []
    for start, end, count in groups:
        score, rule = _weight(text[start:end], count)
        if score > 0:
            found.append(Finding("obfuscation", "obfuscation", start, end, score, rule=rule))
    return tuple(found)


def _weight(run: str, count: int) -> tuple[float, str]:
    codes = [ord(char) for char in run]
    if any(TAGS[0] <= code <= TAGS[1] for code in codes):
        flag = run.endswith("\U000e007f")  # a subdivision flag: black flag, letters, cancel tag
        return (0.3 if flag and len(run) < 9 else _SURE), "tag-characters"  # noqa: PLR2004
    if sum(VARIATION[0] <= code <= VARIATION[1] for code in codes) >= _FEW:
        return _SURE, "variation-selectors"
    if any(code in BIDI for code in codes):
        return 0.8, "bidi-override"
    if all(harmless(char) for char in run if hidden_spans(char)):
        return (0.6 if count > _FEW else 0.0), "joiners"
    if any(code < 0x20 or 0x7F <= code < 0xA0 for code in codes):  # noqa: PLR2004 - C0, DEL and C1
        return (0.6 if count >= _FEW else 0.3), "control-characters"
    return (0.85 if count >= _FEW else 0.4), "zero-width"
