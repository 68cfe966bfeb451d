"""The guide for operators says what the code does."""

import re
from pathlib import Path

import msgspec
import yaml

from greffier.identity.keys import KEY_PATTERN
from greffier.identity.settings import TenantSettings

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "guide" / "identity.md").read_text()


def test_every_rule_is_explained_and_every_explained_rule_exists() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src" / "greffier" / "identity").glob("*.py"))
    rules = set(re.findall(r'"(identity\.[a-z.]+)"', sources)) - {"identity.key", "identity.token"}
    rules |= {f"identity.token.{name}" for name in re.findall(r'_invalid\("([a-z]+)"', sources)}
    explained: set[str] = set()
    for row in re.findall(r"^\| (`identity\.[^|]*) \|", GUIDE, re.MULTILINE):
        names = re.findall(r"`([a-z.]+)`", row)
        prefix = names[0].rpartition(".")[0]
        explained |= {f"{prefix}{name}" if name.startswith(".") else name for name in names}
    assert explained == rules


def test_the_pattern_for_scanners_is_the_real_one() -> None:
    assert f"    {KEY_PATTERN}\n" in GUIDE


def test_the_example_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    tenants = msgspec.convert(yaml.safe_load(example)["tenants"], dict[str, TenantSettings])
    assert tenants["acme"].issuers[0].use_cases[1].use_case == "hr-assistant"
