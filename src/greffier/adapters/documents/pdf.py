"""A document as PDF (fpdf2). The built-in fonts know Latin-1 only; a TrueType font given by name knows the rest."""

import logging
from datetime import datetime
from pathlib import Path

from fontTools.ttLib import TTLibError
from fpdf import FPDF
from fpdf.errors import FPDFException

from greffier.governance.documents.document import Document, Part
from greffier.governance.documents.render import numbered, to_json

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table it drops from a font

_FONTS = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf"),
)
_BUILT_IN = "latin-1"
_GREY = 120


class UnprintableText(Exception):  # noqa: N818 - named for what was found
    """The text has characters that no font at hand can print."""


def to_pdf(document: Document, font: Path | None) -> bytes:
    """A readable PDF, with the document itself attached as ``document.json``.

    Args:
        document: What to print.
        font: A TrueType font; None takes DejaVu where it is installed, and a built-in font for plain Latin text.

    Raises:
        UnprintableText: It has characters outside Latin-1 and there is no font, or the font cannot be used.
    """
    pdf = FPDF(format="A4")
    family = _choose_font(pdf, document, font)
    pdf.set_title(document.title)
    pdf.set_creation_date(datetime.fromisoformat(document.built_at))  # the same document gives the same bytes
    pdf.set_auto_page_break(auto=True, margin=18)
    pdf.set_margin(18)
    pdf.add_page()
    about = f"use case {document.scope}" if document.scope else f"workspace {document.workspace}"
    _write(pdf, family, 16, document.title)
    _write(pdf, family, 10, f"{about}; {document.article}; {document.source}")
    _write(
        pdf, family, 10, f"{document.settled} of {len(document.sections)} sections complete. Built {document.built_at}."
    )
    _write(pdf, family, 8, f"Configuration {document.revision}; law data of {document.law}; document {document.digest}")
    for section in document.sections:
        pdf.ln(4)
        _write(pdf, family, 13, numbered(section))
        _write(pdf, family, 9, section.article)
        for part in section.parts:
            _part(pdf, family, part, alone=len(section.parts) == 1)
    pdf.embed_file(bytes=to_json(document), basename="document.json", desc="The document, to be checked")
    return bytes(pdf.output())


def installed_font() -> Path | None:
    """DejaVu, where it is installed."""
    return next((path for path in _FONTS if path.is_file()), None)


def _choose_font(pdf: FPDF, document: Document, font: Path | None) -> str:
    chosen = font or installed_font()
    if chosen is not None:
        try:
            pdf.add_font("document", fname=chosen)
        except (OSError, FPDFException, TTLibError) as error:
            raise UnprintableText(f"the font {chosen.name} cannot be used: {error}") from error
        return "document"
    try:
        to_json(document).decode().encode(_BUILT_IN)
    except UnicodeEncodeError as error:
        raise UnprintableText("the document has characters that the built-in font cannot print") from error
    return "helvetica"


def _part(pdf: FPDF, family: str, part: Part, *, alone: bool) -> None:
    if not alone:
        pdf.ln(2)
        _write(pdf, family, 11, f"{part.id} {part.title} ({part.article})")
    if part.state != "complete":
        _write(pdf, family, 10, f"[{part.state.replace('_', ' ')}] {part.reason}")
    for statement in part.statements:
        _write(pdf, family, 10, statement.says)
        _write(pdf, family, 6, f"{statement.about} {statement.digest}", grey=True)


def _write(pdf: FPDF, family: str, size: int, text: str, *, grey: bool = False) -> None:
    pdf.set_font(family, size=size)
    pdf.set_text_color(_GREY if grey else 0)
    pdf.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT", align="L")
