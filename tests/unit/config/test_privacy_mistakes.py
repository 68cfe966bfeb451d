"""Mistakes about data protection are named before anything is served."""

from pathlib import Path

import pytest

from greffier.config.bundle import check_workspace
from greffier.config.demo import write_demo


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


def problems(demo: Path, file: str, more: str, old: str = "") -> list[str]:
    path = demo / file
    text = path.read_text()
    path.write_text((text.replace(old, "") if old else text) + more)
    return [f"{problem.code} {problem.path}" for problem in check_workspace(demo)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{id: a, days: 3, reason: r, purpose: demonstration}", []),
        ("{id: a, days: 3, reason: r, purpose: nothing}", ["unknown_reference retention[0].purpose"]),
        ("{id: a, days: 3, reason: r, tenant: nobody}", ["unknown_reference retention[0].tenant"]),
        ("{id: a, days: 3, reason: r, use_case: none}", ["unknown_reference retention[0].use_case"]),
        ("{id: a, days: 3, reason: r, data_class: none}", ["unknown_reference retention[0].data_class"]),
        ("{id: a, days: 0, reason: r}", ["wrong_value retention[0].days"]),
        ("{id: a, days: 3, reason: r}, {id: a, days: 4, reason: r}", ["duplicate retention[1].id"]),
    ],
)
def test_retention_rules_name_what_exists(demo: Path, rule: str, expected: list[str]) -> None:
    assert problems(demo, "greffier.yaml", f"\nretention: [{rule}]\n") == expected


def test_a_controller_lives_in_a_time_zone(demo: Path) -> None:
    more = "\ncontroller: {name: A, contact: a@example.org, timezone: Berlin}\n"
    assert problems(demo, "greffier.yaml", more) == ["wrong_value controller.timezone"]


def test_consent_is_asked_for_on_the_basis_of_consent(demo: Path) -> None:
    file = "use_cases/assistant.yaml"
    assert problems(demo, file, "\nrequires_consent: true\n") == []
    text = (demo / file).read_text().replace("6(1)(a)", "6(1)(b)")
    (demo / file).write_text(text)
    assert [p.code for p in check_workspace(demo)] == ["consent_without_basis"]


def test_decisions_with_legal_effect_are_explained(demo: Path) -> None:
    found = problems(demo, "use_cases/assistant.yaml", "\ndecision_effect: legal_or_similar\n")
    assert found == ["logic_missing decision_effect"]
