"""Mistakes around detectors in other processes are found before anything is served."""

from pathlib import Path

import pytest

from greffier.config.bundle import build, check_workspace, parse_bundle

HEAD = "schema: 1\nname: w\nunsafe_development_mode: true\ntenants:\n  acme: {title: Acme}\n"
DEPLOYMENT = """
deployments:
  model:
    provider: openai_compatible
    model: m
    location: %s
    region: eu
    base_url: "https://models.internal/v1"
    price: {input_per_million: "0", output_per_million: "0"}
    secret: "env:KEY"
"""


def codes(folder: Path, *, settings: str = "", guardrails: str = "", location: str = "on_premises") -> list[str]:
    for name, text in {
        "greffier.yaml": HEAD + settings,
        "guardrails/g.yaml": guardrails or "screens: {}",
        "models/m.yaml": DEPLOYMENT % location,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return [problem.code for problem in check_workspace(folder) if problem.severity == "error"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{socket: run/guard.sock}", False),
        ('{url: "http://127.0.0.1:9000", token: "env:TOKEN"}', False),
        ("{}", True),
        ('{socket: s, url: "http://127.0.0.1:9000"}', True),
    ],
)
def test_a_guard_service_is_at_one_place(tmp_path: Path, line: str, wrong: bool) -> None:
    assert codes(tmp_path, settings=f"guardrails_service: {line}\n") == ["wrong_value"] * wrong


@pytest.mark.parametrize(
    ("detector", "location", "expected"),
    [
        ('{kind: http, types: [gossip], url: "https://g.internal"}', "on_premises", []),
        ("{kind: http, types: [gossip]}", "on_premises", ["wrong_value"]),
        ('{kind: judge, types: [gossip], deployment: model, question: "Gossip?"}', "on_premises", []),
        ('{kind: judge, types: [gossip], deployment: model, question: "Gossip?"}', "external", ["judge_outside"]),
        (
            '{kind: judge, types: [gossip], deployment: nobody, question: "Gossip?"}',
            "on_premises",
            ["unknown_reference"],
        ),
        ("{kind: judge, types: [gossip], deployment: model}", "on_premises", ["wrong_value"]),
    ],
)
def test_a_detector_of_ones_own_says_who_is_asked(
    tmp_path: Path, detector: str, location: str, expected: list[str]
) -> None:
    guardrails = f"detectors:\n  mine: {detector}\n"
    assert codes(tmp_path, guardrails=guardrails, location=location) == expected


def test_it_does_not_take_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    guardrails = 'detectors:\n  names: {kind: http, types: [gossip], url: "https://g.internal"}\n'
    assert codes(tmp_path, guardrails=guardrails) == ["duplicate_id"]


def test_screens_may_name_it_and_its_types_and_the_bundle_holds_it(tmp_path: Path) -> None:
    guardrails = (
        'detectors:\n  mine: {kind: http, types: [gossip], url: "https://g.internal"}\n'
        "screens:\n  default:\n    detectors: [mine]\n    input: [{id: a, types: [gossip], then: deny}]\n"
    )
    assert codes(tmp_path, guardrails=guardrails) == []
    assert not [p for p in check_workspace(tmp_path) if p.file.startswith("guardrails")]
    bundle = build(tmp_path)
    assert parse_bundle(bundle.data).content.detectors["mine"].types == ("gossip",)


STRUCTURE = """
screens:
  s:
    structure: %s
    output:
      - {id: rule, types: ["%s"], then: %s}
"""


@pytest.mark.parametrize(
    ("structure", "type_", "then", "expected"),
    [
        ("{languages: [de]}", "language", "deny", []),
        ("{languages: [xx]}", "language", "deny", ["wrong_value"]),
        ("{}", "language", "deny", ["unmeasured_type"]),
        ("{grounding: {}}", "ungrounded_quote", "redact", []),
        ("{languages: [de]}", "ungrounded_figure", "flag", ["unmeasured_type"]),
        ("{output: {max_chars: 10}}", "length", "redact", ["misplaced_action"]),
        ("{patterns: {p: {expression: '^x$'}}}", "pattern:p", "deny", []),
        ("{patterns: {p: {expression: '^x$'}}}", "pattern:q", "deny", ["unknown_reference"]),
        ("{patterns: {p: {expression: '(?=x)'}}}", "pattern:*", "deny", ["wrong_pattern"]),
        ("{patterns: {p: {expression: 'x*', must: not_match}}}", "pattern:p", "deny", ["wrong_pattern"]),
    ],
)
def test_structure_can_fire(tmp_path: Path, structure: str, type_: str, then: str, expected: list[str]) -> None:
    assert codes(tmp_path, guardrails=STRUCTURE % (structure, type_, then)) == expected


@pytest.mark.parametrize(
    ("line", "then", "expected"),
    [
        ("conversation: {}", "deny", []),
        ("conversation: {turns: 1}", "deny", ["wrong_value"]),
        ("title: x", "deny", ["unmeasured_type"]),
        ("conversation: {weight: 1}", "redact", ["misplaced_action"]),
    ],
)
def test_the_risk_of_conversations_can_fire(tmp_path: Path, line: str, then: str, expected: list[str]) -> None:
    rule = f'{{id: rule, types: ["conversation_risk"], then: {then}}}'
    assert codes(tmp_path, guardrails=f"screens:\n  s:\n    {line}\n    input: [{rule}]\n") == expected
