"""A workspace with short patience, real processes, and the journal to hold them to their word."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform

SETTINGS = """
schema: 1
name: faults
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
server: {body_timeout_s: 2, drain_timeout_s: 10}
"""
USE_CASE = """
id: assistant
title: Assistant
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: assistance
intended_purpose: Answers questions of staff.
lawful_basis: {article_6: "6(1)(f)"}
risk_class: limited
models: [assistant]
default_model: assistant
"""
POLICIES = """
rules:
  - id: staff-may-ask
    description: Every credential of an approved use case may use it.
    effect: allow
    when: {actions: [chat, embed, list_models, check, feedback]}
"""
MODELS = """
deployments:
  external:
    provider: openai_compatible
    model: external-model
    location: external
    region: eu
    base_url: env:EXTERNAL_URL
    price: {input_per_million: "0", output_per_million: "1000"}
    timeouts: {connect_s: 1, first_token_s: 1, total_s: 3}
    capabilities: [chat, tools]
    max_answer_bytes: 1000000
models:
  assistant:
    targets: [{deployment: external}]
    retry: {attempts: 1}
"""


def write_workspace(folder: Path, *, settings: str = "", use_case: str = "") -> Path:
    """Write the workspace, with more lines in ``greffier.yaml`` and in the use case."""
    for name, text in {
        "greffier.yaml": SETTINGS + settings,
        "use_cases/assistant.yaml": USE_CASE + use_case,
        "policies/access.yaml": POLICIES,
        "models/models.yaml": MODELS,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return folder


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(autouse=True)
def _fresh_captures(peers: Peers) -> None:
    peers.clear()


@pytest.fixture
def make(peers: Peers, tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Make a platform that is not started yet; it is stopped afterwards whatever happens."""
    made: list[Platform] = []

    def make_one(*, workers: int = 1, environment: dict[str, str] | None = None, **lines: str) -> Platform:
        workspace = write_workspace(tmp_path / f"workspace-{len(made)}", **lines)
        platform = Platform(workspace, peers.environment | (environment or {}), workers)
        made.append(platform)
        return platform

    yield make_one
    for platform in made:
        platform.stop()
