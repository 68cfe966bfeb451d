"""Characters that a person does not see and a model reads: tags, zero-width, bidi and control characters."""

import re2

from greffier.guardrails.matching import Text

HIDDEN_CLASS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{200b}-\x{200f}"
    r"\x{202a}-\x{202e}\x{2060}-\x{206f}\x{3164}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}\x{fff0}-\x{fffb}\x{1d173}-\x{1d17a}\x{e0000}-\x{e0fff}]"
)
_HIDDEN = re2.compile(HIDDEN_CLASS)
_JOINERS = frozenset(
    "\u200c\u200d\ufe0f\ufe0e\u200e\u200f\u00ad"
)  # emoji, Persian and Indic script, hyphenation: legitimate in ones and twos


def hidden_spans(text: str) -> list[tuple[int, int]]:
    """Spans of characters that are invisible, code points."""
    if text.isascii() and text.isprintable():
        return []
    wrapped = Text(text)
    return [(wrapped.point(m.start()), wrapped.point(m.end())) for m in _HIDDEN.finditer(wrapped.data)]


def harmless(char: str) -> bool:
    """Whether the character is common in honest text (emoji joiners, soft hyphens)."""
    return char in _JOINERS


def sanitise(text: str) -> str:
    """The text without invisible characters, those that honest text needs excepted; the same object if clean."""
    spans = hidden_spans(text)
    if not spans:
        return text
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        if not harmless(text[start:end]):
            pieces.append(text[at:start])
            at = end
    if at == 0:
        return text
    pieces.append(text[at:])
    return "".join(pieces)


TAGS = (0xE0000, 0xE007F)
VARIATION = (0xE0100, 0xE01EF)
BIDI = frozenset({0x202A, 0x202B, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068})
