"""From bytes to typed requests, with every mistake named as a field of the request. Values are never quoted."""

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.gateway.allowed_values import allowed_values

T = TypeVar("T")

_CALL_ID = r"^[!-~]{0,256}$"
_IMAGE_ADDRESS = r"^(?:[dD][aA][tT][aA]:|[hH][tT][tT][pP][sS]?://)"
_DIGITS_ONLY = r"^[0-9]{1,7}$"
_FORMS = {
    _CALL_ID: "Expected at most 256 visible ASCII characters without blanks",
    _IMAGE_ADDRESS: "Expected an address that begins with data:, https:// or http://",
    _DIGITS_ONLY: "Expected the number of a token",
}
"""What a form is in words; a caller reads no regular expressions."""

CallId = Annotated[str, Meta(pattern=_CALL_ID, description="Visible ASCII without blanks")]
"""Ties a tool's answer to its call. It reaches the model unread by the screens, so it has no room for words."""
ImageAddress = Annotated[str, Meta(pattern=_IMAGE_ADDRESS)]
"""An image in the request, or at an address; other schemes would reach into the machine of the model's server."""
TokenId = Annotated[str, Meta(pattern=_DIGITS_ONLY, description="Number of a token")]

_RULE = "gateway.decode"
_MAX_NAME = 64
_TOOLS = "Offer functions that your program runs; tools that a provider would run by itself are not let through."
_UNKNOWN = "Object contains unknown field `"
_STRUCTURE = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))
_any_object = msgspec.json.Decoder(dict[str, Any])


def depth_exceeds(body: bytes, limit: int) -> bool:
    """Whether JSON in ``body`` nests deeper than ``limit``. Linear scans in C; brackets inside strings do not count."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    skeleton = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STRUCTURE, _NOT_STRUCTURE)
    # Adjacent quotes enclose nothing that counts; dropping a pair keeps the parity of every other quote.
    brackets = b"".join(skeleton.replace(b'""', b"").split(b'"')[::2])
    for _ in range(limit):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break  # nothing left, or unbalanced: the decoder will say so
        brackets = inner
    return b"[" in brackets


def decode(decoder: msgspec.json.Decoder[T], body: bytes, *, max_depth: int) -> Ruling[T]:
    """Decode and check types.

    Denies ``INVALID_JSON`` when the bytes are no JSON, ``UNSUPPORTED_PARAMETER`` for a field the surface does not know,
    and ``INVALID_REQUEST`` for a wrong type or value; the last two name the field.
    """
    if depth_exceeds(body, max_depth):
        return _malformed(f"The body nests deeper than {max_depth} levels")
    try:
        return Allow(decoder.decode(body), _RULE)
    except msgspec.ValidationError as error:
        return _invalid(str(error), decoder.type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _malformed("The body is not valid JSON" + _place(str(error)))
    except RecursionError:
        return _malformed("The body nests too deeply")


def decode_with_extras(
    decoder: msgspec.json.Decoder[T], body: bytes, extras: Collection[str], *, max_depth: int
) -> Ruling[tuple[T, dict[str, Any]]]:
    """Decode, and set aside the top-level fields in ``extras``, which a workspace allows beyond the dialect.

    Only a body that the strict decoder refuses for an unknown field is looked at twice.
    """
    ruling = decode(decoder, body, max_depth=max_depth)
    if isinstance(ruling, Allow):
        return Allow((ruling.value, {}), _RULE)
    if not extras or ruling.code is not Code.UNSUPPORTED_PARAMETER:
        return ruling
    whole = decode(_any_object, body, max_depth=max_depth)
    if isinstance(whole, Deny):
        return whole  # the strict decoder had stopped before it saw what is wrong
    fields = whole.value
    aside = {name: fields.pop(name) for name in list(fields) if name in extras}
    if not aside:
        return ruling
    rest = decode(decoder, msgspec.json.encode(fields), max_depth=max_depth)
    return rest if isinstance(rest, Deny) else Allow((rest.value, aside), _RULE)


def unsupported(param: str, remedy: str = "") -> Deny:
    """Refuse a parameter by name."""
    name = _bounded(param)
    return Deny(Code.UNSUPPORTED_PARAMETER, _RULE, f"The parameter '{name}' is not supported", remedy, param=name)


def invalid(param: str, reason: str, remedy: str = "") -> Deny:
    """Refuse a value by the name of its field."""
    return Deny(Code.INVALID_REQUEST, _RULE, reason, remedy, param=_bounded(param))


def _malformed(reason: str) -> Deny:
    return Deny(Code.INVALID_JSON, _RULE, reason)


def _invalid(message: str, body: Any) -> Deny:
    """Translate msgspec's message; its form is ``WHAT - at `$.path` ``, pinned by tests."""
    what, _, where = message.partition(" - at `")
    path = where.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    if what.startswith(_UNKNOWN):
        field = what[len(_UNKNOWN) :].rstrip("`")
        return unsupported(f"{path}.{field}" if path else field)
    if what.startswith("Object missing required field `"):
        field = what.split("`")[1]
        name = f"{path}.{field}" if path else field
        return invalid(name, f"The field '{_bounded(name)}' is missing")
    if path.startswith("tools[") and path.endswith("].type"):
        return unsupported(path, _TOOLS)
    if what.startswith(("Invalid enum value", "Invalid value")):
        allowed = allowed_values(body, path)  # msgspec would quote what was sent
        what = f"Expected one of {', '.join(allowed)}" if allowed else "The value is none of those allowed"
    form = next((words for pattern, words in _FORMS.items() if what.endswith(f"matching regex '{pattern}'")), None)
    what = form or what
    name = _bounded(path) or "body"
    return invalid(name, f"{what} at '{name}'".replace("`", ""))


def _place(message: str) -> str:
    """``(byte 20)`` from msgspec's message, if it has one."""
    start = message.rfind("(byte ")
    return f" {message[start:]}" if start >= 0 else ""


def _bounded(name: str) -> str:
    """A name a caller chose, fit for a message: printable ASCII, bounded."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in name[: _MAX_NAME + 1])
    return clean if len(clean) <= _MAX_NAME else clean[:_MAX_NAME] + "..."
