"""Every workspace in ``examples/`` passes the check without a warning and keeps the promises of its README."""

from pathlib import Path

import pytest

from greffier.config.bundle import build, check_workspace
from greffier.config.compile import compile_snapshot
from greffier.config.snapshot import Snapshot

EXAMPLES = Path(__file__).parents[3] / "examples"
WORKSPACES = sorted(path.parent for path in EXAMPLES.glob("*/greffier.yaml"))


@pytest.mark.parametrize("workspace", WORKSPACES, ids=lambda path: path.name)
def test_example_has_no_mistake(workspace: Path) -> None:
    assert check_workspace(workspace) == ()
    assert (workspace / "README.md").is_file()


@pytest.fixture(scope="module")
def insurance() -> Snapshot:
    return compile_snapshot(build(EXAMPLES / "insurance"), signed_by="", now_ms=0)


def test_the_external_model_may_not_see_special_categories(insurance: Snapshot) -> None:
    assert insurance.deployments["external"].data_classes == ("public", "internal", "personal")
    assert "special_category" in insurance.deployments["onprem"].data_classes


def test_hr_cannot_leave_the_house(insurance: Snapshot) -> None:
    use_case = insurance.use_cases["hr-assistant"]
    assert use_case.on_premises_only
    for model in use_case.models:
        targets = {target.deployment for target in insurance.models[model].targets}
        assert {insurance.deployments[name].location for name in targets} == {"on_premises"}
    rule = next(rule for rule in insurance.rules if rule.id == "hr-staff")
    assert rule.obligations.on_premises_only


def test_claims_are_redacted_and_health_stays_inside(insurance: Snapshot) -> None:
    screen = insurance.screens[insurance.use_cases["claims-assistant"].screen]
    actions = {kind: rule.then for rule in reversed(screen.input) for kind in rule.types}
    assert {actions[kind] for kind in ("PERSON", "EMAIL", "IBAN", "CREDIT_CARD", "DATE_OF_BIRTH")} == {"redact"}
    assert actions["HEALTH"] == "on_premises"
    assert actions["prompt_injection"] == "deny"


def test_the_general_model_falls_back_to_our_own_machines(insurance: Snapshot) -> None:
    ordered = sorted(insurance.models["general"].targets, key=lambda target: target.priority)
    assert [target.deployment for target in ordered] == ["external", "onprem"]


def test_every_use_case_of_the_example_has_its_own_owner_prompt_and_screen(insurance: Snapshot) -> None:
    use_cases = insurance.use_cases.values()
    for field in ("owner", "prompt", "screen", "purpose"):
        assert len({getattr(use_case, field) for use_case in use_cases}) == 3
    assert {use_case.tenant for use_case in use_cases} == {"insurer", "people"}
    assert all(use_case.lawful_basis for use_case in use_cases)
