import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from greffier.cli.policy import app
from greffier.config.demo import write_demo


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


EXAMPLE = Path(__file__).parents[3] / "examples" / "insurance"


def test_the_cases_of_a_new_workspace_pass(workspace: Path) -> None:
    result = run("test", "-w", str(workspace))
    assert result.exit_code == 0, result.output
    assert "2 passed, 0 failed" in result.output


def test_the_cases_of_the_example_pass_and_try_every_rule() -> None:
    result = run("test", "-w", str(EXAMPLE))
    assert result.exit_code == 0, result.output
    tried = result.output
    allowing = [rule["id"] for rule in json.loads(run("list", "-w", str(EXAMPLE), "--json").output)["rules"]]
    # A picture is refused before any rule is asked, because no use case was approved for pictures.
    assert [rule for rule in allowing if rule not in tried] == ["no-pictures-of-claims"]


def test_a_listing_is_whole_in_a_pipe_and_its_ids_are_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = run("list", "-w", str(EXAMPLE)).output
    assert "Photographs and scans are not sent to models, because redaction works on text only." in piped
    monkeypatch.setenv("COLUMNS", "80")
    assert "no-pictures-of-claims " in run("list", "-w", str(EXAMPLE)).output


@pytest.mark.parametrize(
    ("case", "failure"),
    [
        ("{use_case: assistant, expect: deny}", "allowed by demo-assistant"),
        ("{use_case: assistant, model: nope, expect: allow}", "model_not_found"),
        ("{use_case: assistant, model: nope, expect: deny, code: policy_denied}", "not policy_denied"),
        ("{use_case: nope, expect: deny, rule: other}", "not by other"),
        ("{use_case: assistant, expect: allow, rule: other}", "not by other"),
        ("{use_case: assistant, expect: allow, on_premises_only: true}", "on_premises_only is False, not True"),
        ("{use_case: assistant, tenant: other, expect: allow}", "tenant_mismatch"),
    ],
)
def test_a_case_that_ends_otherwise_fails_and_says_how(workspace: Path, case: str, failure: str) -> None:
    file = workspace / "one.yaml"
    file.write_text(f"cases: [{case.replace('{', '{name: one, ', 1)}]")
    result = run("test", str(file), "-w", str(workspace), "--json")
    assert result.exit_code == 1
    (only,) = json.loads(result.output)["cases"]
    assert not only["passed"]
    assert failure in only["failures"][0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases: [{name: a, use_case: b, expct: allow}]", ":1:9: "),
        ("cases: []", "at least 1"),
        ("", "cases"),
        ("cases: [{name: a, use_case: assistant, expect: allow, at: '2026-01-01T00:00'}]", "time zone"),
        ("cases: &a [*a]", ""),
    ],
)
def test_a_mistake_in_a_file_of_cases_is_explained(workspace: Path, text: str, message: str) -> None:
    file = workspace / "bad.yaml"
    file.write_text(text)
    result = run("test", str(file), "-w", str(workspace), "--json")
    assert result.exit_code == 3
    assert message in json.loads(result.output)["error"]["message"]


def test_a_missing_file_or_folder_of_cases_is_explained(workspace: Path) -> None:
    assert run("test", str(workspace / "gone.yaml"), "-w", str(workspace)).exit_code == 4
    (workspace / "policies" / "tests" / "demo.yaml").unlink()
    assert run("test", "-w", str(workspace)).exit_code == 2


def test_hours_are_decided_at_the_stated_time(workspace: Path) -> None:
    (workspace / "policies" / "night.yaml").write_text(
        """
rules:
  - id: night
    description: Nobody works at night.
    effect: deny
    when: {time: {between: 22:00-06:00, timezone: Europe/Berlin}}
"""
    )
    night = run("explain", "-w", str(workspace), "-u", "assistant", "--at", "2026-11-24T03:00:00+01:00", "--json")
    assert night.exit_code == 1
    assert json.loads(night.output)["rule"] == "night"
    day = run("explain", "-w", str(workspace), "-u", "assistant", "--at", "2026-11-24T09:00:00+01:00", "--json")
    assert day.exit_code == 0, day.output
    found = json.loads(day.output)
    assert found["verdict"] == "allow"
    assert {line["id"]: line["why_not"] for line in found["policy"]} == {
        "demo-assistant": "",
        "night": "when.time does not match",
    }


def test_explain_says_what_is_wrong_with_its_options(workspace: Path) -> None:
    for options in (
        ["--type", "alien"],
        ["--authn", "x"],
        ["--modality", "smell"],
        ["--attribute", "x"],
        ["--at", "x"],
    ):
        assert run("explain", "-w", str(workspace), "-u", "assistant", *options).exit_code == 2


def test_explain_and_list_speak_to_people(workspace: Path) -> None:
    explained = run("explain", "-w", str(workspace), "-u", "assistant")
    assert "allowed by demo-assistant" in explained.output
    assert "builtin:lawful-basis" in explained.output
    assert "demo-assistant" in run("list", "-w", str(workspace)).output
    listed = json.loads(run("list", "-w", str(workspace), "--json").output)
    assert listed["rules"][0]["id"] == "demo-assistant"


def test_a_broken_workspace_is_not_decided(workspace: Path) -> None:
    (workspace / "policies" / "broken.yaml").write_text("rules: [{id: x}]")
    assert run("list", "-w", str(workspace)).exit_code == 3
