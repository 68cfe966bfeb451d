"""A small workspace, a scripted model server and the real platform between a test and it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.workspaces import write_workspace

WORKSPACE = {
    "greffier.yaml": """
schema: 1
name: flow
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
  other: {title: Other}
limits:
  tenants:
    other: {requests_per_minute: 3}
""",
    "use_cases/assistant.yaml": """
id: assistant
title: Assistant
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: assistance
intended_purpose: Answers questions of staff.
lawful_basis: {article_6: "6(1)(f)", article_9: "9(2)(b)"}
risk_class: limited
data_classes: [public, internal, personal, special_category, payment, secret]
models: [assistant, vectors]
default_model: assistant
prompt: assistant
prompt_variables: {sentences: 2}
modalities: [image]
screen: default
""",
    "use_cases/draft.yaml": """
id: draft
title: Not approved yet
tenant: acme
status: draft
owner: olga@acme.example
purpose: assistance
intended_purpose: Nothing yet.
risk_class: minimal
models: [assistant]
""",
    "use_cases/other.yaml": """
id: other
title: Another tenant's assistant
tenant: other
status: approved
owner: oscar@other.example
approval: {by: [ada@other.example], on: "2026-11-01"}
purpose: assistance
intended_purpose: Answers questions.
risk_class: minimal
models: [assistant]
""",
    "prompts/assistant.md": """---
version: 1
title: Assistant
owner: olga@acme.example
variables:
  sentences: {type: integer, default: 3}
  formal: {type: boolean, default: true}
---
You are the assistant of Acme Insurance. Answer politely and briefly, and never mention the internal project Bluebird.
Write {{sentences}} sentences at most. Formal: {{formal}}.
""",
    "policies/access.yaml": """
rules:
  - id: staff-may-ask
    description: Every credential of an approved use case may use it.
    effect: allow
    when: {actions: [chat, embed, list_models, check, feedback]}
""",
    "models/models.yaml": """
deployments:
  external:
    provider: openai_compatible
    model: external-model
    location: external
    region: eu
    base_url: env:EXTERNAL_URL
    price: {input_per_million: "1", output_per_million: "2"}
    timeouts: {connect_s: 2, first_token_s: 2, total_s: 8}
    capabilities: [chat, tools, images, json_schema, embeddings]
    max_answer_bytes: 1000000
  onprem:
    provider: openai_compatible
    model: onprem-model
    location: on_premises
    region: local
    base_url: env:ONPREM_URL
    price: {input_per_million: "0", output_per_million: "0"}
    timeouts: {connect_s: 2, first_token_s: 2, total_s: 8}
    capabilities: [chat, tools, images, json_schema, embeddings]
models:
  assistant:
    targets:
      - {deployment: external, priority: 0}
      - {deployment: onprem, priority: 1}
    retry: {attempts: 3, backoff_ms: 1, max_backoff_ms: 5}
  vectors:
    targets: [{deployment: onprem}]
""",
}


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of the test's own, to change at will."""
    return write_workspace(tmp_path / "workspace", WORKSPACE)


@pytest.fixture(scope="module")
def platform(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    workspace = write_workspace(tmp_path_factory.mktemp("workspace"), WORKSPACE)
    with Platform(workspace, peers.environment) as running:
        yield running


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    return platform.create_key("acme", "assistant")


@pytest.fixture(autouse=True)
def _fresh_captures(peers: Peers) -> None:
    peers.clear()
