"""Documents as JSON and as one HTML page that carries the JSON, so that either can be checked."""

import re
import zlib
from contextlib import suppress
from html import escape

import msgspec

from greffier.governance.documents.document import Document, Part, Section

_MARK = {"complete": "complete", "missing": "missing", "stale": "to be read again", "not_applicable": "does not apply"}
_STYLE = (
    "body{font:16px/1.5 Georgia,serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-top:1px solid #bbb;padding-top:.6rem}"
    "h3{font-size:1rem}small,dd,.about{color:#555}.about{font:12px/1.4 ui-monospace,monospace;word-break:break-all}"
    ".missing,.stale{color:#a00;font-weight:bold}li{margin:.4rem 0;white-space:pre-line}"
)
_OPEN = '<script type="application/json" id="document">'
_CLOSE = "</script>"
_LIMIT = 33_554_432
_PDF = b"%PDF-"
_STREAM = re.compile(rb"(?<!end)stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


class NotADocument(Exception):  # noqa: N818 - named for what was found
    """The file holds no document, or one of an unknown format."""


def to_json(document: Document) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_html(document: Document) -> bytes:
    """One page, without scripts that run and without anything from elsewhere."""
    about = f"use case {document.scope}" if document.scope else f"workspace {document.workspace}"
    sections = "\n".join(
        f"<section><h2>{escape(numbered(section))}</h2><small>{escape(section.article)}</small>"
        f"{''.join(_part(part, alone=len(section.parts) == 1) for part in section.parts)}</section>"
        for section in document.sections
    )
    data = msgspec.json.encode(document).decode().replace("<", "\\u003c")
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(document.title)}, {escape(about)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(document.title)}</h1>
<p>{escape(about)}; {escape(document.article)}; {escape(document.source)}</p>
<p>{document.settled} of {len(document.sections)} sections complete. Built {escape(document.built_at)} from
configuration
<span class="about">{escape(document.revision)}</span>, law data of {escape(document.law)}.</p>
{sections}
<p>Digest of this document: <span class="about">{escape(document.digest)}</span></p>
{_OPEN}{data}{_CLOSE}
</body></html>
"""
    return page.encode()


def read(data: bytes) -> Document:
    """Read a document from JSON, or from the page or PDF that carries it.

    Raises:
        NotADocument: There is none in it.
    """
    if len(data) > _LIMIT:
        raise NotADocument("the file is too large for a document")
    if data.startswith(_PDF):
        data = _attached(data)
    elif data.lstrip()[:1] == b"<":
        found = re.search(re.escape(_OPEN.encode()) + rb"(.*?)" + re.escape(_CLOSE.encode()), data, re.DOTALL)
        if found is None:
            raise NotADocument("the page carries no document")
        data = found.group(1)
    try:
        return msgspec.json.decode(data, type=Document)
    except msgspec.DecodeError as error:
        raise NotADocument(f"the file is not a document: {error}") from error


def _attached(data: bytes) -> bytes:
    """The one attachment of a PDF of ours, which is JSON.

    Raises:
        NotADocument: There is none.
    """
    for found in _STREAM.finditer(data):
        text = found.group(1)
        with suppress(zlib.error):  # a stream is either packed or plain
            text = zlib.decompressobj().decompress(text, _LIMIT)
        if text[:1] == b"{" and b'"greffier.document/' in text[:200]:
            return text
    raise NotADocument("the PDF carries no document")


def numbered(section: Section) -> str:
    """Its title, after the number or letter the law gives it; names of ours are not for readers."""
    return f"{section.id}. {section.title}" if len(section.id) == 1 else section.title


def _part(part: Part, *, alone: bool) -> str:
    heading = "" if alone else f"<h3>{escape(part.id)} {escape(part.title)} <small>{escape(part.article)}</small></h3>"
    mark = f'<p class="{part.state}">{_MARK[part.state]}{": " if part.reason else ""}{escape(part.reason)}</p>'
    items = "".join(
        f'<li>{escape(one.says)}<div class="about">{escape(one.about)} {escape(one.digest)}</div></li>'
        for one in part.statements
    )
    return f"{heading}{mark if part.state != 'complete' else ''}<ul>{items}</ul>"
