"""The built-in screen and the words that screens are checked against fit the detectors that exist."""

from greffier.config.checks.guardrails import DETECTORS, TYPES
from greffier.config.default_screen import default_screen
from greffier.guardrails.detectors.signatures import Signatures
from greffier.guardrails.registry import DETECTORS as REGISTERED


def test_the_detectors_known_to_the_check_are_those_that_exist() -> None:
    assert set(DETECTORS) == {*REGISTERED, Signatures.name}


def test_the_default_screen_names_known_detectors_and_types_only() -> None:
    screen = default_screen()
    assert set(screen.detectors) <= set(DETECTORS)
    rules = [*screen.input, *screen.output]
    assert {kind for rule in rules for kind in rule.types} <= set(TYPES)
    assert len({rule.id for rule in rules}) == len(rules)
