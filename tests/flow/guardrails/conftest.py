"""A workspace whose screen brings a person in, and the real platform over it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform

FILES = {
    "greffier.yaml": "schema: 1\nname: w\nunsafe_development_mode: true\ntenants:\n  acme: {title: Acme}\n",
    "use_cases/assistant.yaml": """
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
screen: held
""",
    "policies/access.yaml": """
rules:
  - id: staff-may-ask
    description: Every credential of an approved use case may use it.
    effect: allow
    when: {actions: [chat, embed, list_models, check, feedback]}
""",
    "guardrails/screens.yaml": """
screens:
  held:
    review_wait_s: %d
    input:
      - {id: attacks, types: [prompt_injection, jailbreak, indirect_injection], at_least: 0.7, then: deny}
      - {id: payroll, types: ["topic:payroll"], then: escalate}
      - {id: mail, types: [EMAIL], then: redact}
topics:
  payroll: {title: Payroll, terms: [salary list]}
""",
    "models/models.yaml": """
deployments:
  external:
    provider: openai_compatible
    model: external-model
    location: external
    region: eu
    base_url: env:EXTERNAL_URL
    price: {input_per_million: "0", output_per_million: "0"}
    timeouts: {connect_s: 2, first_token_s: 2, total_s: 8}
    capabilities: [chat, tools]
models:
  assistant:
    targets: [{deployment: external}]
""",
}


def write_workspace(folder: Path, wait_s: int = 0) -> Path:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((text % wait_s if name.startswith("guardrails") else text).lstrip("\n"))
    return folder


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="module")
def platform(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(write_workspace(tmp_path_factory.mktemp("held")), peers.environment) as running:
        yield running


@pytest.fixture
def make(peers: Peers, tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start a platform whose screen lets callers wait for so many seconds, or one with a screen of the test's own."""
    made: list[Platform] = []

    def start(wait_s: int, screens: str = "") -> Platform:
        folder = write_workspace(tmp_path / f"w{len(made)}", wait_s)
        if screens:
            (folder / "guardrails" / "screens.yaml").write_text(screens)
        made.append(Platform(folder, peers.environment))
        return made[-1].start()

    yield start
    for platform in made:
        platform.stop()
