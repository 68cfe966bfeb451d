"""Secrets beside a log-in, without any word for them: "sa / ...", "changed it to ...", "admin ..."; and tables of them.

Only what nobody writes by accident counts here, and only where a log-in is talked of nearby.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import re2

from greffier.guardrails.detectors import secret_values as values
from greffier.guardrails.detectors.secret_assigned import Secret
from greffier.guardrails.matching import Text


class _Form(NamedTuple):
    """A way to write a secret beside something.

    Attributes:
        name: As findings name it.
        group: Of the expression of this name: the secret.
        least: How much the word must look like one.
        alone: Whether no log-in need be near.
        owner: Whether the first group is the one it belongs to, which must be no digest, request or version.
    """

    name: str
    group: int = 1
    least: int = values.LIKELY
    alone: bool = False
    owner: bool = False


_FORMS = (
    _Form("pair", group=2, owner=True),
    _Form("changed"),
    _Form("admin"),
    _Form("equals", group=2, least=values.SURE, owner=True),
    _Form("brackets"),
    _Form("mailed", least=values.SURE, alone=True),
    _Form("protected", alone=True),
)
_LOGIN = values.EXPRESSIONS["login"]
_NO_PERSON = values.EXPRESSIONS["no_person"]
_HEAD = values.EXPRESSIONS["head"]
_WIRELESS = re2.compile(r"(?i)wi-?fi|wlan|hotspot|creds|credential|log-?in")
_ANCHOR = re2.compile(r"#[a-z0-9]+(?:-[a-z0-9]+)+$|@[A-Za-z0-9_./-]+$|[~:]")
_OF_A_PROGRAM = re2.compile(
    r"^[a-z_][a-z0-9_]*=|^[A-Z0-9]+(?:_[A-Z0-9]+)+$|^(?:[A-Z][a-z]+){2,}$|\.[A-Z][a-z0-9]+[A-Z]|\.[A-Z]+_|^[A-Za-z]+\|[A-Za-z]+$"
)
_SIGNS = frozenset("!#$%&*?@^~+=")
_NOT_CHOSEN = re2.compile(r"\\|/.*=|^[a-f0-9]{24,}$")  # a path, an address, a digest
_NEAR = 160
_AFTER = 60
_LONG, _LONGER = 8, 10
_CELL = range(4, 201)
_MOST_COLUMNS = 40


def secret_like(token: str) -> bool:
    """Whether a word of prose can be a secret at all."""
    return (
        values.possible(token)
        and "://" not in token
        and not token.startswith(("**", "##", "//", "data:"))
        and _ANCHOR.match(token) is None
        and _OF_A_PROGRAM.search(token) is None
        and (any(char.isdigit() for char in token) or not values.is_chain(token))
    )


def trimmed(token: str) -> str:
    """Without the punctuation of the sentence; an exclamation mark stays where it may belong to the password."""
    bare = token.rstrip(".:?…*_|")
    inner = any(a.islower() and b.isupper() for a, b in pairwise(bare))
    if bare.endswith("!") and not inner and not any(char.isdigit() for char in bare[-4:-1]):
        bare = bare.rstrip("!")
    return bare or token


def logins(text: Text) -> Iterator[Secret]:
    """Every secret that stands beside a log-in."""
    whole = text.text
    for form in _FORMS:
        for match in values.EXPRESSIONS[form.name].finditer(text.data):
            if form.owner and _NO_PERSON.search(match[1].decode("utf-8", "replace")) is not None:
                continue
            first = text.point(match.start(form.group))
            token = trimmed(whole[first : text.point(match.end(form.group))])
            last = first + len(token)
            if whole[last : last + 1] != "(" and _unlike_others(form, token, whole[max(0, first - _AFTER) : first]):
                near = f"{whole[max(0, first - _NEAR) : first]} {whole[last : last + _AFTER]}"
                if form.alone or _speaks_for_itself(form, token) or _LOGIN.search(near) is not None:
                    yield Secret(first, last, 0.75, f"beside-{form.name}")


def _unlike_others(form: _Form, token: str, before: str) -> bool:
    """Whether a word has the form of a password, and none that numbers, versions, devices and paths have."""
    wireless = form.name == "pair" and len(token) >= _LONG and _WIRELESS.search(before) is not None
    named = form.name == "admin" and len(token) >= _LONG and sum(map(str.isdigit, token)) < len(token) - 4
    least = values.WEAK if wireless or named else form.least
    if values.strength(token) < least or token == token.upper() or _NOT_CHOSEN.search(token) is not None:
        return False
    if (
        values.is_ordinary(token, certainly=form.name in {"admin", "changed"})
        or values.is_uuid(token)
        or values.is_chain(token)
    ):
        return False
    if form.name == "brackets" and "-" not in token and not any(char in _SIGNS for char in token):
        return False  # the name of a class
    capital = any(char.isupper() for char in token) or any(char in _SIGNS for char in token[1:-1])
    return (wireless or named or capital) and secret_like(token)


def _speaks_for_itself(form: _Form, token: str) -> bool:
    sure = values.strength(token) == values.SURE
    return (form.name == "pair" and sure and len(token) >= _LONGER) or (form.name in {"admin", "changed"} and sure)


class _Table(NamedTuple):
    """A table being read: which column holds secrets, and how its cells are parted."""

    column: int
    mark: str
    marks: int


def columns(text: Text) -> Iterator[Secret]:
    """Secrets in the columns of a table whose head names them."""
    at = 0
    table: _Table | None = None
    for line in text.text.split("\n"):
        begin, at = at, at + len(line) + 1
        if table is None or line.count(table.mark) != table.marks:
            table = _headed(line)
            continue
        cells = line.split(table.mark)
        bare = cells[table.column].strip(" \"'`")
        if _is_secret_cell(bare):
            first = begin + sum(len(cell) + 1 for cell in cells[: table.column]) + cells[table.column].find(bare)
            yield Secret(first, first + len(bare), 0.8, "table")


def _headed(line: str) -> _Table | None:
    for mark in ("|", ";", "\t", ","):
        cells = line.split(mark)
        if 1 < len(cells) <= _MOST_COLUMNS:
            for index, cell in enumerate(cells):
                if _HEAD.match(cell.strip(" \"'`*_")) is not None:
                    return _Table(index, mark, len(cells) - 1)
    return None


def _is_secret_cell(value: str) -> bool:
    if len(value) not in _CELL or " " in value or not values.possible(value):
        return False
    pin = value.isdigit() and len(value) <= _LONG
    return pin or (values.strength(value) >= values.WEAK and not values.is_ordinary(value, certainly=True))
