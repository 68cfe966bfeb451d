"""How long content may stay: per store, data class and purpose; the shortest rule that applies decides."""

from collections.abc import Iterable, Mapping

import msgspec

from greffier.config.settings import RetentionRule
from greffier.policy.settings import UseCaseSettings

FEEDBACK = "feedback"
CONTENT = "content"
_DAY_MS = 86_400_000


class Limit(msgspec.Struct, frozen=True):
    """How long, and which rule says so."""

    days: int
    rule: str

    def before_ms(self, now_ms: int) -> int:
        """What was stored before this moment is overdue."""
        return now_ms - self.days * _DAY_MS


class Schedule:
    """The retention rules of a workspace."""

    def __init__(
        self, rules: Iterable[RetentionRule], use_cases: Mapping[str, UseCaseSettings], default_days: int
    ) -> None:
        """Prepare.

        Args:
            rules: ``retention`` of ``greffier.yaml``.
            use_cases: Their ``retention_days`` are rules too.
            default_days: ``audit.content_retention_days``, where no rule applies.
        """
        self._rules = tuple(rules)
        self._use_cases = use_cases
        self._default = Limit(default_days, "audit.content_retention_days")

    def limit(self, *, tenant: str, use_case: str, purpose: str, data_classes: frozenset[str], part: str) -> Limit:
        """The limit for content with these labels."""
        store = FEEDBACK if part == FEEDBACK else CONTENT
        found = [
            Limit(rule.days, f"retention.{rule.id}")
            for rule in self._rules
            if rule.store == store
            and rule.tenant in (None, tenant)
            and rule.use_case in (None, use_case)
            and rule.purpose in (None, purpose)
            and (rule.data_class is None or rule.data_class in data_classes)
        ]
        settings = self._use_cases.get(use_case)
        if settings is not None and settings.retention_days is not None:
            found.append(Limit(settings.retention_days, f"use_cases.{use_case}.retention_days"))
        return min(found, key=lambda limit: limit.days, default=self._default)
