"""The check and the stages agree: whatever passes the check can be wired, and nothing crashes the check."""

import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greffier.config.bundle import build, check_workspace, parse_bundle
from greffier.config.compile import compile_snapshot
from greffier.config.files import read_workspace
from greffier.config.problems import ConfigError
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.prompt import written
from greffier.guardrails.detectors.topics import Topics
from greffier.guardrails.prompt import rendered
from greffier.guardrails.registry import DETECTORS
from greffier.guardrails.rules import RuleList
from greffier.policy.decide import PolicyDecisionPoint
from greffier.router.choose import Router
from greffier.router.health import HealthBoard

ROOT = Path(__file__).parents[3]
ORIGINALS = [ROOT / "examples" / "insurance", ROOT / "src" / "greffier" / "config" / "templates" / "demo"]
WORDS = [
    "",
    "x",
    "0",
    "-1",
    "true",
    "no",
    "null",
    "[]",
    "{}",
    "*",
    "[a, b]",
    "{a: b}",
    '"',
    "#",
    "{{x}}",
    "env:",
    "\u202e",
    "5.0",
]


def read_files(root: Path) -> list[str]:
    """Names of the files that the workspace consists of."""
    files, _ = read_workspace(root)
    return sorted(source.name for sources in files.values() for source in sources)


def mutate(root: Path, draw: st.DataObject) -> None:
    path = root / draw.draw(st.sampled_from(read_files(root)))
    lines = path.read_text().split("\n")
    at = draw.draw(st.integers(0, len(lines) - 1))
    word = draw.draw(st.sampled_from(WORDS))
    how = draw.draw(st.sampled_from(["drop", "double", "indent", "value", "insert", "swap", "cut", "rename"]))
    key, colon, _ = lines[at].partition(":")
    if how == "drop":
        del lines[at]
    elif how == "double":
        lines.insert(at, lines[at])
    elif how == "indent":
        lines[at] = "  " + lines[at]
    elif how == "value":
        lines[at] = f"{key}{colon} {word}"
    elif how == "insert":
        lines.insert(at, f"{key}x: {word}")
    elif how == "swap":
        other = draw.draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
    elif how == "cut":
        lines = lines[:at]
    else:
        path.rename(path.with_name(f"z{path.name}"))
        return
    path.write_text("\n".join(lines))


def wire(snapshot: Snapshot) -> None:
    """Build what the request path builds, and follow every reference it would follow."""
    clock = SystemClock()
    PolicyDecisionPoint(
        snapshot.use_cases, snapshot.use_case_digests, snapshot.rules, frozenset(snapshot.models), clock
    )
    Router(snapshot.models, snapshot.deployments, HealthBoard(clock, Random(1)), Random(1), clock)
    Topics(snapshot.topics)
    for screen in snapshot.screens.values():
        RuleList(screen.input)
        RuleList(screen.output)
    for use_case in snapshot.use_cases.values():
        assert use_case.tenant in snapshot.workspace.tenants
        assert use_case.screen in snapshot.screens
        assert all(model in snapshot.models for model in use_case.models)
        if use_case.prompt is not None:
            variables = {name: written(value) for name, value in use_case.prompt_variables.items()}
            assert "{{" not in rendered(snapshot.prompts[use_case.prompt], variables)
        if "personal" in use_case.data_classes:
            assert use_case.lawful_basis is not None
        if use_case.status == "approved":
            assert use_case.approval is not None
            assert use_case.owner not in use_case.approval.by


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_passes_the_check_can_be_wired_and_nothing_crashes_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("mutant")
    shutil.rmtree(root)
    shutil.copytree(ORIGINALS[data.draw(st.integers(0, 1))], root, ignore=shutil.ignore_patterns(".greffier"))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(root, data)
    problems = check_workspace(root)
    for problem in problems:
        path = root / problem.file
        lines = path.read_text().split("\n") if path.is_file() else []
        assert 1 <= problem.line <= max(1, len(lines) + 1)
        assert problem.column >= 1
        assert problem.message
        assert problem.remedy
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        with pytest.raises(ConfigError) as refused:
            build(root)
        assert list(refused.value.problems) == errors
        return
    bundle = build(root)
    assert parse_bundle(bundle.data) == bundle
    if all(problem.code != "unknown_detector" for problem in problems):
        wire(compile_snapshot(bundle, signed_by="", now_ms=0))


def test_the_originals_can_be_wired() -> None:
    for original in ORIGINALS:
        snapshot = compile_snapshot(build(original), signed_by="", now_ms=0)
        wire(snapshot)
        assert all(name in DETECTORS for screen in snapshot.screens.values() for name in screen.detectors)
