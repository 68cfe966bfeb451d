"""Rule packs: the patterns of the built-in detectors as data that can be reviewed without reading Python."""

import tomllib
from importlib.resources import files
from typing import Any

import msgspec

from greffier.guardrails.matching import Pattern


def read_pack(name: str) -> dict[str, Any]:
    """Read ``rulepacks/NAME.toml``; line breaks inside values are layout, ``{{name}}`` stands for ``[define] name``."""
    text = (files("greffier.guardrails") / "rulepacks" / f"{name}.toml").read_text(encoding="utf-8")
    pack: dict[str, Any] = _joined(tomllib.loads(text))
    for rule in pack.get("rule", ()):
        for macro, expression in pack.get("define", {}).items():
            rule["expression"] = rule["expression"].replace("{{" + macro + "}}", expression)
    return pack


def read_patterns(name: str) -> tuple[Pattern, ...]:
    """The rules of a pack as patterns."""
    return msgspec.convert(read_pack(name)["rule"], tuple[Pattern, ...])


def read_lines(name: str) -> list[str]:
    """The lines of ``rulepacks/NAME.txt`` without comments and blank lines."""
    text = (files("greffier.guardrails") / "rulepacks" / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def read_words(name: str) -> frozenset[str]:
    """The words of ``rulepacks/NAME.txt``."""
    return frozenset(word for line in read_lines(name) for word in line.split())


def _joined(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(line.removeprefix("  ") for line in value.split("\n"))
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_joined(item) for item in value]
    return value
