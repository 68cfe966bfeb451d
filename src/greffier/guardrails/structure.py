"""Structure of an answer: JSON and JSON Schema (draft 2020-12 unless the schema says otherwise)."""

from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from greffier.core.chat import Choice

_ANY_OBJECT: dict[str, Any] = {"type": "object"}
_LONGEST_REASON = 160
_NO_PATTERN = 'is not a "regex"'


def schema_of(screen_schema: dict[str, Any] | None, response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema an answer must match: the screen's, else the one the caller asked for, else None."""
    if screen_schema is not None:
        return screen_schema
    if not response_format:
        return None
    kind = response_format.get("type")
    if kind == "json_object":
        return _ANY_OBJECT
    wrapped = response_format.get("json_schema")
    if kind == "json_schema" and isinstance(wrapped, dict) and isinstance(wrapped.get("schema"), dict):
        return dict(wrapped["schema"])
    return None


def check_schema(schema: dict[str, Any] | None) -> str:
    """Say why a schema cannot be used; empty if it can. Nothing is fetched: remote references are refused."""
    if schema is None or schema is _ANY_OBJECT:
        return ""
    try:
        _validator(msgspec.json.encode(schema, order="sorted"))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        if _NO_PATTERN in str(error):
            return "a pattern is no regular expression, or looks around or back, which takes unbounded time"
        return _short(str(error))
    return ""


def violation(schema: dict[str, Any], choice: Choice) -> str:
    """Say where a finished answer breaks the schema; empty if it does not or is no finished text."""
    content = choice.message.content
    if choice.finish_reason not in {"stop", None} or not isinstance(content, str) or choice.message.tool_calls:
        return ""
    return text_violation(schema, content)


def text_violation(schema: dict[str, Any], text: str) -> str:
    """Say where a text breaks the schema; the reason names the place, never the content."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return "it is not JSON"
    for error in _validator(msgspec.json.encode(schema, order="sorted")).iter_errors(value):
        path = "/".join(str(step) for step in error.instance_path)
        rule = "/".join(str(step) for step in error.schema_path)
        return _short(f"at '/{path}' by the schema's '/{rule}'")
    return ""


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(
        msgspec.json.decode(schema),
        retriever=_refuse,
        pattern_options=jsonschema_rs.RegexOptions(),  # linear time: a caller's pattern cannot run away
    )


def _refuse(uri: str) -> Any:
    msg = f"remote reference {uri} is not fetched"
    raise ValueError(msg)


def _short(reason: str) -> str:
    return reason.splitlines()[0][:_LONGEST_REASON].rstrip(".") if reason else "unknown reason"
