"""Topics that a workspace defines: terms matched as words, and RE2 patterns. Finding types are ``topic:NAME``."""

from collections.abc import Mapping

import re2

from greffier.core.errors import Code, GreffierError
from greffier.core.rulings import Finding
from greffier.guardrails.detectors.terms import Terms
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.ports import Passage
from greffier.guardrails.settings import TopicSettings
from greffier.guardrails.words import fold


class Topics:
    """Terms and patterns of all topics of the workspace in one pass each."""

    name = "topics"
    version = "1"

    def __init__(self, topics: Mapping[str, TopicSettings]) -> None:
        """Build the automata.

        Raises:
            GreffierError: A pattern is not valid RE2 syntax.
        """
        self._terms = Terms((term, name) for name, topic in topics.items() for term in topic.terms)
        patterns = []
        for name, topic in topics.items():
            for number, expression in enumerate(topic.patterns, 1):
                _check(name, expression)
                # Any text may match an operator's pattern, so none is skipped by a first stage of another dialect.
                patterns.append(Pattern(f"{name}-pattern-{number}", expression, type=f"topic:{name}", ignore_case=True))
        self._patterns = PatternSet(patterns, exact_only=True)

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return a finding per term and per pattern match."""
        found = [
            Finding(self.name, f"topic:{name}", start, end, 1.0, rule=f"{name}-term")
            for name, start, end in self._terms.find(fold(passage.text))
        ]
        if self._patterns.patterns:
            found += [
                Finding(self.name, pattern.type, start, end, 1.0, rule=pattern.id)
                for pattern, start, end in self._patterns.spans(Text(passage.text))
            ]
        return tuple(found)


def _check(topic: str, expression: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(expression, options)
    except re2.error as error:
        detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise GreffierError(
            Code.GUARDRAIL_UNAVAILABLE,
            f"the topic '{topic}' has a pattern that cannot be used: {detail}",
            "Write patterns in RE2 syntax: no look-around, no back-references, repeats up to 1000.",
        ) from error
