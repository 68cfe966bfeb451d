"""Check a document against what runs now."""

from collections.abc import Iterator

from greffier.governance.documents.document import Document, Part
from greffier.governance.documents.law import DocumentLaw
from greffier.governance.documents.sources import Digests

_COUNTED = "log:"


def check(document: Document, fresh: Document, law: DocumentLaw, digests: Digests) -> list[str]:
    """Everything that is wrong with it; empty when it still says what is.

    Args:
        document: The document.
        fresh: The same document, built from what runs now.
        law: What it has to say.
        digests: Present digests of what it cites.

    A document is wrong when it was altered, when the law's data ask for something it does not have, when something in
    it is missing, or when a thing it describes is gone, is another than it was, or was never described so.
    """
    if document.computed_digest() != document.digest:
        return ["the document was altered after it was built"]
    parts = {part.id: part for section in document.sections for part in section.parts}
    now = {part.id: part for section in fresh.sections for part in section.parts}
    found: list[str] = []
    for item in law.kinds[document.kind].items():
        part = parts.get(item.id)
        if part is None:
            found.append(f"{item.id}: the section is missing ({item.article})")
        else:
            found += _unsettled(part)
            found += _outdated(part, now[item.id], digests)
    return list(dict.fromkeys(found))


def _unsettled(part: Part) -> Iterator[str]:
    if part.state in {"missing", "stale"}:
        yield f"{part.id}: {part.state}: {part.reason}"
    elif part.state == "not_applicable" and not part.reason:
        yield f"{part.id}: it is said not to apply, without a reason"
    elif not part.statements:
        yield f"{part.id}: it says nothing"


def _outdated(part: Part, now: Part, digests: Digests) -> Iterator[str]:
    changed = False
    for statement in part.statements:
        present = digests.of(statement.about)
        if present is None:
            changed = True
            yield f"{part.id}: {statement.about} is no longer there"
        elif present != statement.digest:
            changed = True
            yield f"{part.id}: {statement.about} has changed ({statement.digest[:12]} -> {present[:12]})"
    if changed:
        return
    said = {one for one in part.statements if not one.about.startswith(_COUNTED)}
    true = {one for one in now.statements if not one.about.startswith(_COUNTED)}
    for one in said - true:
        yield f"{part.id}: {one.about} does not say so"
    for one in true - said:
        yield f"{part.id}: it leaves out {one.about}"
