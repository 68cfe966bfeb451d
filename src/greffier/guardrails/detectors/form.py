"""What form a text has: how long it is, and which patterns it must or must not match (RE2: time linear in the text)."""

from collections.abc import Mapping
from typing import Any

import re2

from greffier.core.errors import Code, GreffierError
from greffier.core.rulings import Finding
from greffier.guardrails.matching import Text
from greffier.guardrails.ports import Passage
from greffier.guardrails.settings import FormPattern, LengthLimits

BYTES_PER_TOKEN = 4
"""What a token is taken to hold where no tokeniser runs; right within a third for the six languages."""


class Size:
    """How much text has come so far; for answers that come in pieces."""

    __slots__ = ("bytes", "chars", "lines")

    def __init__(self) -> None:
        self.chars = self.bytes = self.lines = 0

    def add(self, text: str) -> None:
        """Count a piece."""
        self.chars += len(text)
        self.bytes += len(text.encode("utf-8", "surrogatepass"))
        self.lines += text.count("\n")


class Length:
    """``length`` findings in texts above a limit; the rule says which.

    Args:
        limits: At least one is set.
    """

    name = "length"
    version = "1"

    def __init__(self, limits: LengthLimits) -> None:
        self._limits = limits

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """A finding over the whole text, or none."""
        size = Size()
        size.add(passage.text)
        exceeded = self.exceeded(size)
        return (Finding(self.name, "length", 0, len(passage.text), 1.0, rule=exceeded),) if exceeded else ()

    def exceeded(self, size: Size) -> str:
        """The first limit that a text of this size exceeds; empty for none."""
        limits = self._limits
        if limits.max_chars is not None and size.chars > limits.max_chars:
            return "max_chars"
        if limits.max_tokens is not None and size.bytes > limits.max_tokens * BYTES_PER_TOKEN:
            return "max_tokens"
        if limits.max_lines is not None and size.lines + 1 > limits.max_lines:
            return "max_lines"
        return ""


class FormPatterns:
    """``pattern:NAME`` findings: where a forbidden pattern matches, or over a text that lacks a required one.

    Raises:
        GreffierError: A pattern is not valid RE2 syntax.
    """

    name = "pattern"
    version = "1"

    def __init__(self, patterns: Mapping[str, FormPattern]) -> None:
        self._patterns = tuple(
            (name, pattern.must == "match", _compiled(name, pattern)) for name, pattern in patterns.items()
        )

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return findings of every pattern; a text of white space only has no form."""
        if not passage.text.strip():
            return ()
        text = Text(passage.text)
        found: list[Finding] = []
        for name, required, compiled in self._patterns:
            kind = f"pattern:{name}"
            if required:
                if compiled.search(text.data) is None:
                    found.append(Finding(self.name, kind, 0, len(passage.text), 1.0, rule="missing"))
                continue
            for match in compiled.finditer(text.data):
                start, end = text.point(match.start()), text.point(match.end())
                if end > start:
                    found.append(Finding(self.name, kind, start, end, 1.0, rule="forbidden"))
        return tuple(found)


def _compiled(name: str, pattern: FormPattern) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not pattern.ignore_case
    try:
        return re2.compile(pattern.expression, options)
    except re2.error as error:
        detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise GreffierError(
            Code.GUARDRAIL_UNAVAILABLE,
            f"the pattern '{name}' cannot be used: {detail}",
            "Write patterns in RE2 syntax: no look-around, no back-references, repeats up to 1000.",
        ) from error
