"""A letter to a data subject as PDF (fpdf2). It is always written: what the font cannot print is told by its number."""

from collections.abc import Container, Iterable
from pathlib import Path

from fontTools.ttLib import TTFont
from fpdf import FPDF

from greffier.adapters.documents.pdf import installed_font
from greffier.governance.privacy.letter import Block

_SIZES = {"title": 18, "heading": 13, "entry": 10, "text": 10, "term": 10, "quote": 10}
_GREY = 244
_LAST_LATIN = 0xFF
_NOTE = "Characters that cannot be printed here stand as their number, [U+6F22]; answer.json has them as they are."


def letter_pdf(blocks: Iterable[Block], font: Path | None = None) -> bytes:
    """The letter on A4.

    Args:
        blocks: Of the letter.
        font: A TrueType font; None takes DejaVu where it is installed, and a built-in font otherwise.
    """
    chosen = font or installed_font()
    pdf = FPDF(format="A4")
    if chosen is not None:
        pdf.add_font("letter", fname=chosen)
    known = range(_LAST_LATIN + 1) if chosen is None else frozenset(TTFont(chosen).getBestCmap())
    page = _Page(pdf, "letter" if chosen is not None else "helvetica", known)
    for block in blocks:
        page.put(block)
    return page.finished()


class _Page:
    def __init__(self, pdf: FPDF, family: str, known: Container[int]) -> None:
        self._pdf = pdf
        self._family = family
        self._known = known
        self._replaced = False
        pdf.set_auto_page_break(auto=True, margin=20)
        pdf.set_margin(20)
        pdf.add_page()

    def put(self, block: Block) -> None:
        """Print a block."""
        if block.kind == "title":
            self._pdf.set_title(self._told(block.text))
        if block.kind in {"heading", "entry"}:
            self._pdf.ln(4 if block.kind == "heading" else 2)
        if block.about:
            self._write(9, block.about)
        self._write(_SIZES[block.kind], block.text, filled=block.kind == "quote")
        self._pdf.ln(1)

    def finished(self) -> bytes:
        """The file."""
        if self._replaced:
            self._pdf.ln(4)
            self._write(9, _NOTE)
        return bytes(self._pdf.output())

    def _write(self, size: int, text: str, *, filled: bool = False) -> None:
        self._pdf.set_font(self._family, size=size)
        self._pdf.set_fill_color(_GREY)
        self._pdf.multi_cell(0, size * 0.5, self._told(text), new_x="LMARGIN", new_y="NEXT", fill=filled, align="L")

    def _told(self, text: str) -> str:
        kept = []
        for char in text.replace("\r\n", "\n").replace("\t", "    "):
            if char == "\n" or (ord(char) in self._known and char.isprintable()):
                kept.append(char)
            else:
                kept.append(f"[U+{ord(char):04X}]")
                self._replaced = True
        return "".join(kept)
