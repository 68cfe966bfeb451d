"""The one reader of texts written for this project: those to train with (``texts/``) and the blind sets of the bench.

``[language label kind]`` heads a group, every other line is a text, and spans are marked as ``⟦TYPE:words⟧``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from greffier.guardrails.check import Context

TEXTS = Path(__file__).parent / "texts"
_HEAD = re.compile(r"\[(en|de|fr|es|it|nl) ([01]) (\w+)\]")
_SHIELD = "\u241f"
"""Stands within made-up secrets, so that scanners of pushed code stay quiet."""
_SPAN = re.compile(r"⟦([A-Z_]+):(.*?)⟧", re.DOTALL)


class Authored(NamedTuple):
    """A text, its label and kind, the file it stands in, and what it holds: (start, end, type) in code points."""

    text: str
    label: int
    kind: str
    lang: str
    source: str
    spans: tuple[tuple[int, int, str], ...]


def authored(prefix: str, folder: Path = TEXTS) -> Iterator[Authored]:
    """Yield the texts of all files whose names begin with ``prefix``, in the order of their names."""
    for path in sorted(folder.glob(f"{prefix}*.txt")):
        lang, label, kind = "", 0, ""
        for line in path.read_text(encoding="utf-8").split("\n"):
            if head := _HEAD.fullmatch(line.strip()):
                lang, label, kind = head[1], int(head[2]), head[3]
            elif line.strip():
                text, spans = _unmarked(line.replace("\\n", "\n").replace(_SHIELD, ""))
                yield Authored(text, label, kind, lang, path.stem, spans)


def context_of(kind: str) -> Context:
    """Where a text of this kind was found."""
    if kind.startswith("doc_"):
        return "document"
    return "tool_output" if kind.startswith("tool_") else "direct"


def _unmarked(marked: str) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    """Return the plain text and the spans of its marks."""
    plain, spans, end = "", [], 0
    for match in _SPAN.finditer(marked):
        plain += marked[end : match.start()]
        spans.append((len(plain), len(plain) + len(match[2]), match[1]))
        plain += match[2]
        end = match.end()
    return plain + marked[end:], tuple(spans)
