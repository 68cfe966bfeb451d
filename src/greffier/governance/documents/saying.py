"""How facts are worded: about a use case, a part of ``greffier.yaml``, or the platform itself."""

from collections.abc import Callable, Iterator

from greffier.config.bundle import digest
from greffier.governance.documents.document import Statement
from greffier.governance.documents.sources import Sources, software_digest
from greffier.policy.settings import UseCaseSettings

Facts = Callable[[Sources], Iterator[Statement]]


def own_cases(sources: Sources) -> list[UseCaseSettings]:
    """The use case the document is about; all approved ones, for a document about the workspace."""
    found = sources.snapshot.use_cases
    if sources.scope:
        return [found[sources.scope]]
    return [use_case for use_case in found.values() if use_case.status == "approved"]


def each(say: Callable[[Sources, UseCaseSettings], str]) -> Facts:
    """A fact that each use case has its own words for."""

    def facts(sources: Sources) -> Iterator[Statement]:
        for use_case in own_cases(sources):
            said = say(sources, use_case)
            text = f"{use_case.title}: {said}" if said and not sources.scope else said
            yield Statement(text, f"use_case:{use_case.id}", sources.snapshot.use_case_digests[use_case.id])

    return facts


def setting(sources: Sources, name: str, says: str) -> Statement:
    """A statement about a part of ``greffier.yaml``."""
    return Statement(says, f"workspace:{name}", digest(getattr(sources.snapshot.workspace, name)))


def platform(says: str) -> Statement:
    """A statement about this version of the platform."""
    return Statement(says, "software:greffier", software_digest())
