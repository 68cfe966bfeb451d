"""Bounded YAML reading: JSON-like values only, and the position of every key and value.

YAML is read from libyaml's events, never through a constructor, so a file cannot name Python objects. What JSON does
not have is refused rather than guessed: anchors and aliases (and with them "billion laughs" bombs), tags, several
documents, duplicate keys. Only ``true`` and ``false`` are booleans and only JSON's numbers are numbers, so ``no``,
``on``, ``012``, ``1_000`` and ``2026-11-24`` stay the texts a reader sees.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import yaml

from greffier.config.problems import START, Mark, Path, Problem, dotted, quoted

MAX_DEPTH = 32
MAX_NODES = 50_000
MAX_PROBLEMS = 50
_MAX_KEY_CHARS = 256
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?")
_NUMBER_LIKE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
# Bidirectional overrides and isolates, and Unicode tags: they make a reviewer see another text than the machine does
# (CVE-2021-42574, "Trojan Source").
_HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


class Document(msgspec.Struct, frozen=True):
    """A file that was read.

    Attributes:
        file: Path inside the workspace.
        value: Plain dicts, lists, strings, numbers, booleans and None.
        values: Position of each value.
        keys: Position of each key of a mapping, under the path of its value.
        lines: The file's lines, for excerpts.
    """

    file: str
    value: Any
    values: dict[Path, Mark]
    keys: dict[Path, Mark]
    lines: list[str]

    def problem(
        self, path: Path, code: str, message: str, remedy: str, *, at_key: bool = False, warning: bool = False
    ) -> Problem:
        """Make a problem at a place in this file; ``at_key`` points at the key instead of its value."""
        mark = self._mark(path, at_key=at_key)
        return Problem(
            code=code,
            file=self.file,
            line=mark.line,
            column=mark.column,
            path=dotted(path),
            message=message,
            remedy=remedy,
            severity="warning" if warning else "error",
            excerpt=excerpt(self.lines, mark.line),
        )

    def _mark(self, path: Path, *, at_key: bool) -> Mark:
        while path:
            found = self.keys.get(path) if at_key else self.values.get(path)
            found = found or self.keys.get(path) or self.values.get(path)
            if found:
                return found
            path = path[:-1]  # a default, or a missing key: point at the nearest thing that is written
            at_key = True
        return self.values.get((), START)


def excerpt(lines: list[str], line: int) -> str:
    """Return one line of a file for display, shortened."""
    return lines[line - 1][:200].rstrip() if 0 < line <= len(lines) else ""


class _Stop(Exception):  # noqa: N818 - ends the reading of one file; never leaves this module
    pass


def read_yaml(file: str, text: str, *, first_line: int = 1) -> tuple[Document | None, list[Problem]]:
    """Read one YAML document.

    Args:
        file: Path inside the workspace, for messages.
        text: The file's text, or its front matter.
        first_line: Line of the file on which ``text`` starts.

    Returns:
        The document, or None when it could not be read to its end, and what is wrong with it.
    """
    reader = _Reader(file, text, first_line)
    return reader.read(), reader.problems


class _Reader:
    def __init__(self, file: str, text: str, first_line: int) -> None:
        self.file = file
        self.text = text
        self.offset = first_line
        self.lines = text.splitlines()
        self.problems: list[Problem] = []
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        self.nodes = 0
        self.usable = True

    def read(self) -> Document | None:
        self._check_hidden()
        try:
            value = self._parse()
        except _Stop:
            return None
        if not self.usable:
            return None
        padding = [""] * (self.offset - 1)
        return Document(self.file, value, self.values, self.keys, padding + self.lines)

    def _parse(self) -> Any:
        try:
            return self._document(yaml.parse(self.text, Loader=yaml.CSafeLoader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(part for part in (error.context, error.problem) if part)
            at = self._at(mark) if mark else Mark(self.offset, 1)
        except yaml.YAMLError as error:  # a character that YAML forbids
            message = str(error).splitlines()[0]
            at = Mark(self.offset, 1)
        self._add(at, (), "yaml_syntax", f"This is not valid YAML: {message}.", _SYNTAX_REMEDY)
        raise _Stop

    def _document(self, events: Iterator[Any]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._add(
                        self._at(event.start_mark),
                        (),
                        "yaml_documents",
                        "Expected one YAML document, got a second one.",
                        "Move what follows '---' into a file of its own.",
                    )
                    raise _Stop
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, events, (), 0)
        return value

    def _node(self, event: Any, events: Iterator[Any], path: Path, depth: int) -> Any:
        mark = self._at(event.start_mark)
        self.values[path] = mark
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            limit = f"{MAX_NODES} values" if self.nodes > MAX_NODES else f"{MAX_DEPTH} levels of nesting"
            self._add(mark, path, "yaml_too_large", f"A file holds at most {limit}.", "Split it into several files.")
            raise _Stop
        if event.anchor is not None:
            self._anchor(event, mark, path)
        if isinstance(event, yaml.AliasEvent):
            return None
        if event.tag is not None and event.tag != "!":
            self._add(mark, path, "yaml_tag", "YAML tags are not allowed.", "Remove the '!...' before the value.")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, mark, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path, depth)
        return self._mapping(events, path, depth)

    def _anchor(self, event: Any, mark: Mark, path: Path) -> None:
        self.usable = False
        what = f"*{event.anchor}" if isinstance(event, yaml.AliasEvent) else f"&{event.anchor}"
        self._add(
            mark,
            path,
            "yaml_anchor",
            f"YAML anchors and aliases are not allowed, got '{what[:40]}'.",
            "Write the value out where it is used, so that a reviewer reads it in its place.",
        )

    def _sequence(self, events: Iterator[Any], path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, events: Iterator[Any], path: Path, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            inner = (*path, key)
            first = self.keys.get(inner)
            mark = self._at(event.start_mark)
            if first:
                self._add(
                    mark,
                    inner,
                    "duplicate_key",
                    f"The key {quoted(key)} stands here a second time; the first is on line {first.line}.",
                    "Keep one of the two.",
                )
                kept = self.values[inner]
                self._node(next(events), events, inner, depth + 1)
                self.keys[inner], self.values[inner] = first, kept
                continue
            self.keys[inner] = mark
            items[key] = self._node(next(events), events, inner, depth + 1)
        return items

    def _key(self, event: Any, path: Path) -> str:
        mark = self._at(event.start_mark)
        if not isinstance(event, yaml.ScalarEvent):
            self._add(mark, path, "yaml_key", "A key must be plain text.", "Write 'name: value'.")
            raise _Stop
        if event.anchor is not None:
            self._anchor(event, mark, path)
        if event.tag is not None and event.tag != "!":
            self._add(mark, path, "yaml_tag", "YAML tags are not allowed.", "Remove the '!...' before the key.")
        key: str = event.value
        if len(key) > _MAX_KEY_CHARS:
            self._add(mark, path, "yaml_key", f"A key has at most {_MAX_KEY_CHARS} characters.", "Shorten it.")
            raise _Stop
        self._check_encodable(key, mark, path)
        return key

    def _scalar(self, event: Any, mark: Mark, path: Path) -> Any:
        text: str = event.value
        self._check_encodable(text, mark, path)
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            number = int(text)
            if -(2**63) <= number < 2**63:
                return number
        elif _FLOAT.fullmatch(text):
            return float(text)
        if _NUMBER_LIKE.fullmatch(text):
            self._add(
                mark,
                path,
                "yaml_number",
                f"The number {quoted(text)} is too large or too precise.",
                "Numbers fit in 64 bits; put quotes around it if it is meant as text.",
            )
        return text

    def _check_encodable(self, text: str, mark: Mark, path: Path) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._add(mark, path, "yaml_text", "The text holds half a surrogate pair.", "Write the whole character.")
            raise _Stop from None

    def _check_hidden(self) -> None:
        self.problems.extend(islice(hidden_characters(self.file, self.lines, self.offset), MAX_PROBLEMS))

    def _at(self, mark: Any) -> Mark:
        return Mark(mark.line + self.offset, mark.column + 1)

    def _add(self, mark: Mark, path: Path, code: str, message: str, remedy: str) -> None:
        self.problems.append(
            Problem(
                code=code,
                file=self.file,
                line=mark.line,
                column=mark.column,
                path=dotted(path),
                message=message,
                remedy=remedy,
                excerpt=excerpt(self.lines, mark.line - self.offset + 1),
            )
        )
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop


def hidden_characters(file: str, lines: list[str], first_line: int = 1) -> Iterator[Problem]:
    """Find characters that make a reviewer see another text than the machine reads."""
    for number, line in enumerate(lines):
        found = _HIDDEN.search(line)
        if found:
            yield Problem(
                code="hidden_character",
                file=file,
                line=number + first_line,
                column=found.start() + 1,
                message=f"The invisible character U+{ord(found.group()):04X} can make this line read differently.",
                remedy="Remove it, or write it as an escape in double quotes.",
            )


_SYNTAX_REMEDY = "Check indentation, quotes and colons on this line and the one before."
