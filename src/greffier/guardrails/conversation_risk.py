"""Risk of a conversation: many weak signs of an attack, one turn after another, are one strong sign.

The caller sends the whole conversation with every request, so nothing is kept between requests and nothing can be
forgotten or mixed up: the same messages have the same risk.
"""

from collections.abc import Sequence

from greffier.core.rulings import Finding
from greffier.guardrails.ports import Provenance
from greffier.guardrails.rules import Decided
from greffier.guardrails.settings import ConversationSettings

_COUNTED = frozenset({"user", "document", "tool_output"})


class ConversationRisk:
    """Adds up what the texts of one request hold.

    Each different text counts once, with the highest score of the listed types that reaches ``from_score``. The risk is
    ``1 - (1 - weight * s1) * (1 - weight * s2) * ...``: it grows with every sign, is never more than 1, and does not
    depend on their order.
    """

    def __init__(self, settings: ConversationSettings) -> None:
        self._settings = settings
        self._highest: dict[str, float] = {}

    def add(self, text: str, provenance: Provenance, decided: Sequence[Decided]) -> None:
        """Take the findings of one text into account."""
        if provenance not in _COUNTED:
            return
        types = self._settings.types
        score = max((item.finding.score for item in decided if item.finding.type in types), default=0.0)
        if score >= self._settings.from_score:
            self._highest[text] = max(score, self._highest.get(text, 0.0))

    def finding(self) -> Finding | None:
        """The risk as a finding of type ``conversation_risk``; None below the number of turns that make one."""
        turns = len(self._highest)
        if turns < self._settings.turns:
            return None
        clean = 1.0
        for score in self._highest.values():
            clean *= 1 - self._settings.weight * score
        return Finding("conversation", "conversation_risk", 0, 0, round(1 - clean, 3), rule=f"{turns}-texts")
