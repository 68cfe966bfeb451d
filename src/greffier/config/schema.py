"""JSON Schemas derived from the settings types, and what they find wrong with a file, all mistakes at once."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

import jsonschema_rs
import msgspec

from greffier.config.documents import MAX_PROBLEMS, Document
from greffier.config.problems import Path, Problem, did_you_mean, dotted, quoted
from greffier.config.settings import ModelFile, PromptFront, WorkspaceSettings
from greffier.core.settings import Settings
from greffier.guardrails.settings import GuardrailFile
from greffier.policy.settings import PolicyFile, UseCaseSettings
from greffier.policy.trial import PolicyTestFile

T = TypeVar("T", bound=Settings)

KINDS: dict[str, type[Settings]] = {
    "greffier": WorkspaceSettings,
    "use_cases": UseCaseSettings,
    "models": ModelFile,
    "policies": PolicyFile,
    "policy_tests": PolicyTestFile,
    "guardrails": GuardrailFile,
    "prompts": PromptFront,
}
"""Which type describes the files of which folder; ``greffier`` is one file, ``policy_tests`` is ``policies/tests/``."""


_PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]{0,62}$": (
        "an identifier of lower-case letters, digits, '.', '_' and '-'",
        "Use at most 63 such characters, beginning with a letter or digit.",
    ),
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$": (
        "a reference to a secret",
        "Write 'env:NAME' or 'file:PATH'; a workspace never holds the secret itself.",
    ),
    r"^[0-9]{1,9}(\.[0-9]{1,6})?$": (
        "an amount of money",
        'Write it in quotes with a point and at most six decimals, as in "0.15".',
    ),
    r"^GW-[0-9]{0,4}$": ("the begin of an event code", "Write 'GW-' and up to four digits, as in GW-6."),
    r"^[A-Za-z0-9_.-]{1,16}@[0-9]{1,10}$": (
        "a name and an enterprise number",
        "Write 'NAME@NUMBER' with the number IANA gave your organisation.",
    ),
    r"^[A-Z]{3}$": ("a currency code", "Write three capitals (ISO 4217), as in EUR."),
    r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$": ("a span of hours", 'Write it in quotes, as in "08:00-18:00".'),
}
_REFERENCE_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": "at least {limit}",
    "maximum": "at most {limit}",
    "exclusiveMinimum": "more than {limit}",
    "exclusiveMaximum": "less than {limit}",
    "minItems": "at least {limit} entry or entries",
    "maxItems": "at most {limit} entries",
    "minLength": "at least {limit} character(s)",
    "maxLength": "at most {limit} characters",
}


class Schema:
    """The schema of one kind of file, compiled once."""

    def __init__(self, kind: type[Settings]) -> None:
        self.document = json_schema(kind)
        self._validator = jsonschema_rs.validator_for(self.document)

    def problems(self, document: Document) -> Iterator[Problem]:
        """Find everything in a file that the schema does not allow."""
        for error in self._validator.iter_errors(document.value):
            yield from self._explain(document, error)

    def _explain(self, document: Document, error: Any) -> Iterator[Problem]:
        kind = error.kind
        path: Path = tuple(error.instance_path)
        if kind.name in {"anyOf", "oneOf"}:
            for nested in _best_branch(kind.context, path):
                yield from self._explain(document, nested)
        elif kind.name == "additionalProperties":
            known = self._known_keys(error)
            for key in kind.unexpected:
                yield document.problem(
                    (*path, key),
                    "unknown_key",
                    f"There is no key {quoted(key)} here.",
                    did_you_mean(key, known - set(error.instance)),
                    at_key=True,
                )
        elif kind.name == "required":
            yield document.problem(
                path, "missing_key", f"The key '{kind.property}' is missing.", self._example(error, kind.property)
            )
        elif kind.name == "propertyNames":
            yield from self._key_problem(document, path, kind.error)
        else:
            yield _value_problem(document, path, error)

    def _key_problem(self, document: Document, path: Path, error: Any) -> Iterator[Problem]:
        expected, remedy = _PATTERNS.get(getattr(error.kind, "pattern", ""), ("another name", "Rename it."))
        message = f"Expected {expected} as the key, got {quoted(error.instance)}."
        yield document.problem((*path, error.instance), "wrong_value", message, remedy, at_key=True)

    def _known_keys(self, error: Any) -> set[str]:
        schema: Any = self.document
        for step in error.schema_path[:-1]:
            schema = schema[step]
        return set(schema.get("properties", {}))

    def _example(self, error: Any, name: str) -> str:
        schema: Any = self.document
        for step in error.schema_path[:-1]:
            schema = schema[step]
        wanted = schema["properties"].get(name, {})
        if "enum" in wanted:
            return f"Add '{name}:' with one of: {', '.join(map(str, wanted['enum']))}."
        return f"Add '{name}:' with {_TYPES.get(wanted.get('type', ''), 'a value')}."


def json_schema(kind: type[Settings]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind of file, as editors understand it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}


_DECODER_PATH = re.compile(r"at `\$(.*)`$")
_COMPILED: dict[type[Settings], Schema] = {}


def decode(document: Document, kind: type[T]) -> tuple[T | None, list[Problem]]:
    """Turn a file into its settings, or name every mistake that stands in the way."""
    if document.value is None:
        document = msgspec.structs.replace(document, value={})
    schema = _COMPILED.get(kind)
    if schema is None:
        schema = _COMPILED[kind] = Schema(kind)
    problems = list(islice(schema.problems(document), MAX_PROBLEMS))
    if problems:
        return None, problems
    try:
        return msgspec.convert(document.value, kind), []
    except msgspec.ValidationError as error:
        return None, [_decoding_problem(document, str(error))]


def _decoding_problem(document: Document, message: str) -> Problem:
    """Place what the schema lets pass and the decoder does not: ``5.0`` is an integer to JSON Schema only."""
    found = _DECODER_PATH.search(message)
    steps = found.group(1) if found else ""
    pattern = re.compile(re.escape(steps).replace(re.escape("[...]"), r"(?:\.[^.\[\]]+|\[[0-9]+\])"))
    matching = [path for path in document.values if pattern.fullmatch(f".{dotted(path)}")]
    floats = [path for path in matching if isinstance(_at(document.value, path), float)]
    remedy = "Write whole numbers without a point." if floats else "Correct the value that the message names."
    path: Path = next(iter(floats or matching), ())
    return document.problem(path, "wrong_value", f"{message.partition(' - at ')[0]}.", remedy)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _best_branch(branches: list[list[Any]], path: Path) -> list[Any]:
    """Of several alternatives, take the one whose type fits the value best: the one that fails deepest."""
    fitting = [b for b in branches if not any(e.kind.name == "type" and tuple(e.instance_path) == path for e in b)]
    candidates = fitting or [b for b in branches if not any("null" in getattr(e.kind, "types", ()) for e in b)]
    return min(candidates or branches, key=len)


def _value_problem(document: Document, path: Path, error: Any) -> Problem:
    kind = error.kind
    found = quoted(error.instance)
    if kind.name == "pattern":
        expected, remedy = _PATTERNS.get(kind.pattern, (f"text matching {kind.pattern}", "Correct the text."))
        if kind.pattern == _REFERENCE_PATTERN:
            return document.problem(path, "plain_secret", f"Expected {expected}, got something else.", remedy)
        return document.problem(path, "wrong_value", f"Expected {expected}, got {found}.", remedy)
    if kind.name == "enum":
        options = [str(option) for option in kind.options]
        return document.problem(
            path,
            "wrong_value",
            f"Expected one of {', '.join(options)}; got {found}.",
            did_you_mean(str(error.instance), options),
        )
    if kind.name == "type":
        return _type_problem(document, path, error)
    if kind.name in _BOUNDS:
        bound = _BOUNDS[kind.name].format(limit=kind.limit)
        return document.problem(
            path, "wrong_value", f"Expected {bound}, got {found}.", "Change the value so that it lies within the bound."
        )
    return document.problem(path, "wrong_value", f"{error.message}.", "Correct the value.")


def _type_problem(document: Document, path: Path, error: Any) -> Problem:
    wanted = [str(name) for name in error.kind.types]
    expected = " or ".join(_TYPES.get(name, name) for name in wanted if name != "null") or "nothing"
    value = error.instance
    remedy = "Correct the value."
    if wanted == ["string"] and isinstance(value, int | float):
        remedy = "Put the value in quotes."
    elif wanted == ["boolean"] and isinstance(value, str):
        remedy = "Only true and false, without quotes, are booleans."
    elif wanted == ["array"] and not isinstance(value, dict):
        remedy = "Write a list: [a, b], or one '- entry' per line."
    elif wanted == ["object"]:
        remedy = "Write 'key: value' lines, indented under this key."
    elif value is None:
        remedy = "Write a value, or remove the key."
    found = "nothing" if value is None else quoted(value)
    return document.problem(path, "wrong_type", f"Expected {expected}, got {found}.", remedy)
