"""Readers of CEF and RFC 5424, written from the specifications and not from our writers: a second opinion."""

import re

_HEADER_FIELDS = 6
_MAX_SEVERITY = 10
_MAX_PRIORITY = 191
_KEY = re.compile(r"(?:^| )([A-Za-z0-9_]+)=")


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Header fields after ``CEF:0``, and the extension.

    Raises:
        ValueError: It is not one line of CEF.
    """
    if not line.startswith("CEF:0|") or any(char in line for char in "\r\n"):
        raise ValueError("not one line of CEF 0")
    fields: list[str] = []
    field, rest = "", line.removeprefix("CEF:0|")
    while len(fields) < _HEADER_FIELDS:
        char, rest = rest[0], rest[1:]
        if char == "\\":
            if rest[0] not in "\\|":
                raise ValueError("a header escapes nothing but a backslash and a bar")
            field, rest = field + rest[0], rest[1:]
        elif char == "|":
            fields.append(field)
            field = ""
        else:
            field += char
    if not 0 <= int(fields[5]) <= _MAX_SEVERITY:
        raise ValueError("severity is 0 to 10")
    return fields, dict(_pairs(rest))


def _pairs(text: str) -> list[tuple[str, str]]:
    # an unescaped '=' after a word is a key; escaped ones are hidden first
    hidden = text.replace("\\\\", "\x00").replace("\\=", "\x01")
    starts = list(_KEY.finditer(hidden))
    if text and (not starts or starts[0].start() != 0):
        raise ValueError("the extension does not begin with a key")
    pairs = []
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(hidden)
        value = hidden[start.end() : end]
        if "=" in value:
            raise ValueError("an equals sign is not escaped")
        pairs.append(
            (start.group(1), value.replace("\\n", "\n").replace("\\r", "\r").replace("\x01", "=").replace("\x00", "\\"))
        )
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return pairs


class Syslog:
    """A message of RFC 5424, read strictly.

    Raises:
        ValueError: It breaks the grammar of section 6 or its limits.
    """

    _HEADER = re.compile(
        rb"<(0|[1-9][0-9]{0,2})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
        rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
    )
    _ID = re.compile(r"[!-~]{1,32}")

    def __init__(self, message: bytes) -> None:
        found = self._HEADER.match(message)
        if found is None:
            raise ValueError("the header is malformed")
        self.priority = int(found.group(1))
        if self.priority > _MAX_PRIORITY:
            raise ValueError("priority")
        self.timestamp, self.hostname, self.app, self.process, self.msgid = (g.decode() for g in found.groups()[1:])
        self.data: dict[str, dict[str, str]] = {}
        rest = message[found.end() :]
        while rest.startswith(b"["):
            rest = self._element(rest)
        if rest and not rest.startswith(b" "):
            raise ValueError("no space before the message")
        self.body = rest[1:].decode() if rest else ""
        if rest and not rest.startswith(b" \xef\xbb\xbf"):
            raise ValueError("UTF-8 text begins with a BOM")
        self.body = self.body.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")

    def _element(self, rest: bytes) -> bytes:
        text = rest.decode()
        at = 1
        while text[at] not in " ]":
            at += 1
        name = text[1:at]
        if not self._valid(name) or name in self.data:
            raise ValueError(f"the SD-ID {name!r} is malformed or stands twice")
        parameters: dict[str, str] = {}
        while text[at] == " ":
            equals = text.index('="', at)
            key = text[at + 1 : equals]
            if not self._valid(key):
                raise ValueError(f"the parameter {key!r} is malformed")
            value, at = self._value(text, equals + 2)
            parameters[key] = value
        if text[at] != "]":
            raise ValueError("the element does not end")
        self.data[name] = parameters
        return text[at + 1 :].encode()

    @staticmethod
    def _value(text: str, at: int) -> tuple[str, int]:
        value = ""
        while text[at] != '"':
            if text[at] == "]":
                raise ValueError("a bracket is not escaped")
            if text[at] == "\\" and text[at + 1] in '"\\]':
                at += 1
            value += text[at]
            at += 1
        return value, at + 1

    def _valid(self, name: str) -> bool:
        return bool(self._ID.fullmatch(name)) and not any(char in name for char in '= ]"')
