"""How a mistake in the workspace is told: where it stands, what was expected, and what to do about it."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Path = tuple[str | int, ...]
"""Where a value stands inside a file: keys and list positions from the top."""


class Mark(msgspec.Struct, frozen=True):
    """A position in a file; both count from 1."""

    line: int
    column: int


START = Mark(1, 1)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake.

    Attributes:
        code: Stable name of the kind of mistake (``unknown_key``, ``duplicate_id``...).
        file: Path inside the workspace, with ``/``.
        line: From 1.
        column: From 1.
        path: Where in the file's structure, as in ``models.assistant.targets[0]``; empty for the whole file.
        message: What was expected and what was found; quotes at most 60 characters of the file.
        remedy: What to do.
        severity: An ``error`` stops a build; a ``warning`` does not.
        excerpt: The line of the file, for display.
    """

    code: str
    file: str
    message: str
    remedy: str
    line: int = 1
    column: int = 1
    path: str = ""
    severity: Literal["error", "warning"] = "error"
    excerpt: str = ""


class ConfigError(Exception):
    """The workspace, a bundle or a signature cannot be used.

    Attributes:
        code: Stable name of the condition (``workspace_invalid``, ``signature_invalid``...).
        reason: One sentence.
        remedy: What to do.
        problems: Every mistake found, in file order; empty when the condition is not about the workspace's files.
    """

    def __init__(self, code: str, reason: str, remedy: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.remedy = remedy
        self.problems = problems


class UnknownOperator(ConfigError):  # noqa: N818 - named for the condition
    """Nobody can say who is at the command line, so nothing may be done in anybody's name."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__("operator_unknown", reason, remedy)


_KEPT_CHARS = 60


def printable(text: str) -> str:
    """Write control characters as escapes: a file must not be able to steer the reader's terminal."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def quoted(value: object) -> str:
    """Show a value from a file in a message, shortened."""
    text = printable(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"'{text[:_KEPT_CHARS]}...'" if len(text) > _KEPT_CHARS else f"'{text}'"


def dotted(path: Path) -> str:
    """Write a path as people read it: ``models.assistant.targets[0].weight``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word most like this one, whatever the case; empty when none is alike enough."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), sorted(folded), n=1, cutoff=cutoff)
    return folded[close[0]] if close else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the closest known word, or the list of what there is."""
    words = sorted(known)
    close = closest(word, words)
    if close:
        return f"Did you mean '{close}'?"
    if not words:
        return "There is none in this workspace yet."
    shown = ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")  # noqa: PLR2004 - a line's worth
    return f"Known: {shown}."


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort problems as a reader meets them, without repetitions."""
    unique = {(p.file, p.line, p.column, p.code, p.path, p.message): p for p in problems}
    return tuple(_without_secrets([unique[key] for key in sorted(unique)]))


def _without_secrets(problems: list[Problem]) -> Iterator[Problem]:
    """Show no line that may hold a secret: one written where a reference belongs, or under a key nobody knows."""
    hidden = {(p.file, p.line) for p in problems if p.code in {"plain_secret", "unknown_key"}}
    for problem in problems:
        excerpt = problem.excerpt
        if problem.code == "unknown_key" and not excerpt[: problem.column - 1].strip("- "):
            key, colon, _ = excerpt.partition(":")
            excerpt = f"{key}{colon} ..."
        elif (problem.file, problem.line) in hidden:
            excerpt = ""
        yield msgspec.structs.replace(problem, excerpt=excerpt)
