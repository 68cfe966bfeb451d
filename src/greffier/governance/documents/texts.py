"""What a person wrote, in ``documents/<use case>/<kind>.<item>.md``; front matter says what it was written for."""

from collections.abc import Mapping

import msgspec

from greffier.config.documents import read_yaml
from greffier.config.files import DOCUMENTS, SourceFile

_FENCE = "---\n"
TO_DO = "TODO"
WORKSPACE = "_workspace"
"""Folder of texts that are about no single use case; no use case can have this name."""


class BadText(Exception):  # noqa: N818 - named for what was found
    """A text cannot be read. The message says which and why."""


class Front(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The front matter of a text.

    Attributes:
        written_for: SHA-256 of the settings the author had before them: of the use case, or of what concerns all.
        by: Who judged.
        on: When, as a date.
        not_applicable: The text is the reason why the item does not apply.
    """

    written_for: str
    by: str
    on: str
    not_applicable: bool = False


class Text(msgspec.Struct, frozen=True):
    """A text."""

    path: str
    front: Front
    body: str


def text_path(scope: str, kind: str, item: str) -> str:
    """Where the text for an item stands."""
    return f"{DOCUMENTS}/{scope or WORKSPACE}/{kind}.{item}.md"


def find_text(files: Mapping[str, SourceFile], scope: str, kind: str, item: str) -> Text | None:
    """The text for an item; None while nobody wrote one.

    Raises:
        BadText: It is there but cannot be read.
    """
    path = text_path(scope, kind, item)
    source = files.get(path)
    if source is None:
        return None
    try:
        content = source.data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadText(f"{path} is not UTF-8 text") from error
    head, fence, body = content.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    if not content.startswith(_FENCE) or not fence:
        raise BadText(f"{path} does not begin with front matter between two lines '---'")
    document, problems = read_yaml(path, head, first_line=2)
    if document is None or problems:
        raise BadText(f"{path}: {problems[0].message if problems else 'no front matter'}")
    try:
        front = msgspec.convert(document.value, Front)
    except msgspec.ValidationError as error:
        raise BadText(f"{path}: {error}") from error
    text = body.strip()
    return None if not text or text.startswith(TO_DO) else Text(path, front, text)


def skeleton(written_for: str, by: str, on: str, title: str, article: str) -> str:
    """An empty text to begin with; it counts as missing until its first word is another than TODO."""
    return f'---\nwritten_for: {written_for}\nby: "{by}"\non: "{on}"\n---\n{TO_DO}: {title} ({article})\n'
