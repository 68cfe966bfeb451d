"""Known bad patterns from the signature packs of the workspace, in one pass over a text and its decoded views."""

from collections.abc import Mapping

from greffier.core.rulings import Finding
from greffier.guardrails.matching import PatternSet, Text
from greffier.guardrails.ports import Passage
from greffier.guardrails.signature_packs import SignaturePack, patterns_of


class Signatures:
    """Matches of every signature; the rule is ``PACK@VERSION/ID``."""

    name = "signatures"

    def __init__(self, packs: Mapping[str, SignaturePack]) -> None:
        self.version = " ".join(f"{pack.name}@{pack.version}" for pack in packs.values()) or "none"
        self._where = {
            pattern.id: frozenset(signature.provenance)
            for pack in packs.values()
            for pattern, signature in zip(patterns_of(pack), pack.signatures, strict=True)
        }
        self._patterns = PatternSet([p for pack in packs.values() for p in patterns_of(pack)], exact_only=True)

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """One finding per match."""
        if not self._patterns.patterns:
            return ()
        return tuple(
            Finding(self.name, pattern.type, start, end, pattern.score, rule=pattern.id)
            for pattern, start, end in self._patterns.spans(Text(passage.text))
            if not self._where[pattern.id] or passage.provenance in self._where[pattern.id]
        )
