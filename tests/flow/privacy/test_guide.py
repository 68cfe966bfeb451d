"""Every command of the guide to data protection is executed, in order, by the person its prompt names."""

import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from greffier.config.settings import RetentionRule
from greffier.governance.privacy.law import law

pytestmark = pytest.mark.slow

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "data-protection.md").read_text()
MAKES = {"request", "place", "open", "search"}
NAMES = {"rev": "REVEAL_ID", "hold": "HOLD_ID", "dsr": "DSR_ID", "part": "PART_ID"}


def commands() -> list[tuple[str, list[str]]]:
    blocks = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    lines = [line.partition("$ ") for block in blocks for line in block.splitlines()]
    return [(person, shlex.split(command)[1:]) for person, _, command in lines]


def identifiers(printed: Any) -> dict[str, str]:
    """What the command printed, under the names by which the guide refers to it."""
    found = printed[0] if isinstance(printed, list) and printed else printed
    name = found.get("id", "") if isinstance(found, dict) else ""
    kind = NAMES.get(name.partition("_")[0])
    return {kind: name} if kind else {}


def test_every_command_does_what_the_guide_says(house: Any, key: str, tmp_path: Path) -> None:
    known = {"OUTPUT": str(tmp_path / "answer")}
    asked = house.platform.chat(key, "guide", user="ada@example.org")
    known["REQUEST_ID"] = asked.headers["x-request-id"]
    house.platform.chat(key, "I met Ada Planted", user="someone else")
    for person, words in commands():
        arguments = [known.get(word, word) for word in words]
        printed = house.greffier(*arguments, person=person)
        if MAKES.intersection(words):
            known |= identifiers(printed)


def test_the_rules_shown_are_rules() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    rules = msgspec.convert(yaml.safe_load(shown)["retention"], list[RetentionRule])
    assert [rule.days for rule in rules] == [20, 7, 90]


def test_every_type_of_request_is_named() -> None:
    for kind in law().requests:
        assert f"`{kind}`" in GUIDE
