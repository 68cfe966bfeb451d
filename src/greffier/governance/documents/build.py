"""Build a document: facts from what runs, texts from people, and what is missing said plainly."""

import fnmatch
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from greffier.config.bundle import digest
from greffier.config.files import DOCUMENTS
from greffier.governance.documents.document import Document, Part, Section, State, Statement
from greffier.governance.documents.facts import FACTS
from greffier.governance.documents.law import DocumentLaw, Item, Kind
from greffier.governance.documents.sources import Sources
from greffier.governance.documents.texts import Text, find_text, text_path


class UnknownDocument(Exception):  # noqa: N818 - named for what was asked
    """There is no such document, or it is about a use case and none, or an unknown one, was named."""


def check_scope(law: DocumentLaw, kind: str, scope: str, sources: Sources) -> Kind:
    """The document's law, if the scope fits.

    Raises:
        UnknownDocument: It does not.
    """
    found = law.kinds.get(kind)
    if found is None:
        raise UnknownDocument(f"there is no document {kind!r}; choose among: {', '.join(law.kinds)}")
    if found.scope == "use_case" and scope not in sources.snapshot.use_cases:
        raise UnknownDocument(f"{kind} is about a use case; name one of: {', '.join(sources.snapshot.use_cases)}")
    if found.scope == "workspace" and scope:
        raise UnknownDocument(f"{kind} is about the whole workspace, not about {scope}")
    return found


def build(law: DocumentLaw, kind: str, sources: Sources, now_ms: int) -> Document:
    """Build a document.

    Raises:
        UnknownDocument: The kind or its scope does not exist.
        BadText: A person's text cannot be read.
    """
    rule = check_scope(law, kind, sources.scope, sources)
    snapshot = sources.snapshot
    sections = tuple(
        Section(
            id=section.id,
            article=section.article,
            title=section.title,
            parts=tuple(_part(kind, item, sources) for item in section.parts()),
        )
        for section in rule.sections
    )
    document = Document(
        kind=kind,
        title=rule.title,
        article=rule.article,
        source=rule.source,
        scope=sources.scope,
        workspace=snapshot.workspace.name,
        built_at=datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        revision=snapshot.revision,
        signed_by=snapshot.signed_by,
        law=law.version,
        sections=sections,
    )
    return msgspec.structs.replace(document, digest=document.computed_digest())


def written_for(sources: Sources) -> str:
    """The digest a text must name to be about what runs now.

    For a text about the whole workspace: who answers for it, whose data it is, how long it stays and who runs models.
    """
    snapshot = sources.snapshot
    if sources.scope:
        return snapshot.use_case_digests[sources.scope]
    workspace = snapshot.workspace
    return digest((workspace.controller, workspace.tenants, workspace.retention, snapshot.deployment_settings))


def missing_texts(law: DocumentLaw, kind: str, sources: Sources) -> Iterator[Item]:
    """Items for which a person has to write and nobody did."""
    for item in check_scope(law, kind, sources.scope, sources).items():
        if item.text == "required" and find_text(sources.files, sources.scope, kind, item.id) is None:
            yield item


def _part(kind: str, item: Item, sources: Sources) -> Part:
    state, reason, statements = _found(kind, item, sources)
    return Part(id=item.id, article=item.article, title=item.title, state=state, reason=reason, statements=statements)


def _found(kind: str, item: Item, sources: Sources) -> tuple[State, str, tuple[Statement, ...]]:
    """How an item stands, why, and what is said of it."""
    found = [statement for name in item.live for statement in FACTS[name](sources)]
    facts = tuple(statement for statement in found if statement.says)
    text = find_text(sources.files, sources.scope, kind, item.id)
    path = text_path(sources.scope, kind, item.id)
    if text is not None:
        said = (*facts, _statement(text, sources))
        if text.front.written_for != written_for(sources):
            return "stale", f"{path} was written for other settings: read it again", said
        if text.front.not_applicable:
            return "not_applicable", text.body, said[-1:]
        gap = _not_attached(item, sources)
        return "missing" if gap else "complete", gap, said
    if item.text == "required":
        return "missing", f"a person must judge: write {path}", facts
    if not facts or len(facts) < len(found):
        gap = f"the configuration does not say it: complete greffier.yaml or the use case, or write {path}"
        return "missing", gap, facts
    return "complete", "", facts


def _not_attached(item: Item, sources: Sources) -> str:
    """What is to be attached and is not: words about a test report or a declaration are not the report."""
    names = [path.rpartition("/")[2].lower() for path in sources.files if "/evidence/" in path]
    if not item.attached or fnmatch.filter(names, item.attached):
        return ""
    folder = f"{DOCUMENTS}/{sources.scope}/evidence/"
    wanted = "" if item.attached == "*" else f" as a file named like '{item.attached}'"
    return f"attach it in {folder}{wanted}, or say why it does not apply"


def _statement(text: Text, sources: Sources) -> Statement:
    data = sources.files[text.path].data
    return Statement(
        f"{text.body}\n({text.front.by}, {text.front.on})", f"text:{text.path}", hashlib.sha256(data).hexdigest()
    )
