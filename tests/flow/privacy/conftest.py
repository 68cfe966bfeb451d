"""A workspace that keeps content under keys, served by the real platform, and two people at the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.adapters.signers.key_file import create_key_file
from greffier.app.operators import KEY_VARIABLE
from greffier.cli.main import app
from greffier.config.paths import WorkspacePaths
from greffier.config.signing import public_pem
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.webhook import Recipient, recipient
from greffier.testing.workspaces import write_workspace

FILES = {
    "greffier.yaml": """
schema: 1
name: privacy
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
  other: {title: Other}
controller:
  name: Acme Insurance AG
  contact: privacy@acme.example
  dpo: dpo@acme.example
  supervisory_authority: Data protection authority of Hesse
  timezone: Europe/Berlin
recipients:
  claims: {name: Acme Claims GmbH, webhook: "env:CLAIMS_URL", secret: "env:CLAIMS_SECRET"}
  printer: {name: Printing House KG, contact: dpo@printer.example, mail_folder: out/notices}
retention:
  - {id: claims, purpose: assistance, days: 20, reason: Complaints come within two weeks.}
""",
    "use_cases/assistant.yaml": """
id: assistant
title: Assistant
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: assistance
intended_purpose: Answers questions of customers.
lawful_basis: {article_6: "6(1)(b)"}
risk_class: limited
data_classes: [public, internal, personal]
data_subjects: [customers]
recipients: [Acme Claims GmbH, printer, Legal Aid e.V.]
models: [assistant]
prompt: assistant
capture_content: true
decision_effect: assist
decision_logic: Answers are read by a clerk before anything is decided.
""",
    "use_cases/newsletter.yaml": """
id: newsletter
title: Newsletter
tenant: acme
status: approved
owner: olga@acme.example
approval: {by: [anton@acme.example], on: "2026-11-01"}
purpose: marketing
intended_purpose: Writes to customers who agreed.
lawful_basis: {article_6: "6(1)(a)"}
requires_consent: true
risk_class: limited
data_classes: [public, internal, personal]
models: [assistant]
""",
    "prompts/assistant.md": """---
version: 1
title: Assistant
owner: olga@acme.example
---
You are the assistant of Acme Insurance.
""",
    "policies/access.yaml": """
rules:
  - id: all
    description: Every credential of an approved use case may use it.
    effect: allow
    when: {actions: [chat, embed, list_models, check, feedback]}
""",
    "models/models.yaml": """
deployments:
  onprem:
    provider: openai_compatible
    model: onprem-model
    location: on_premises
    region: local
    base_url: env:ONPREM_URL
    price: {input_per_million: "0", output_per_million: "0"}
models:
  assistant:
    targets: [{deployment: onprem}]
""",
}
PEOPLE = ("ann", "bea", "cid")
"""The command line knows them by their keys: on every machine, whatever its kernel tells and allows."""


class House:
    """The platform, and the command line in the hands of either person."""

    def __init__(self, platform: Platform, keys: dict[str, Path]) -> None:
        self.platform = platform
        self.state = platform.workspace / ".greffier"
        self._keys = keys

    def greffier(self, *arguments: str, person: str = "ann", code: int = 0) -> Any:
        """Run a command as a person; return its JSON, or its text where it has none."""
        line = [*arguments, "--workspace", str(self.platform.workspace), "--json"]
        environment = {**self.platform._environment, KEY_VARIABLE: str(self._keys[person])}
        done = CliRunner().invoke(app, line, env=environment)
        assert done.exit_code == code, f"{arguments}: {done.output}{done.exception!r}"
        text = done.output
        return json.loads(text) if text.strip().startswith(("{", "[")) else text

    def files_with(self, *needles: bytes) -> list[str]:
        """Files of the state folder that hold one of the byte strings."""
        files = [path for path in self.state.rglob("*") if path.is_file()]
        return [str(path.relative_to(self.state)) for path in files if any(n in content(path) for n in needles)]


def content(path: Path) -> bytes:
    """Bytes of a file; of one that was there a moment ago, none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def give_keys(workspace: Path, folder: Path) -> dict[str, Path]:
    """Let the workspace know everybody by a key; where each has their own."""
    trusted = WorkspacePaths(workspace).operators
    trusted.mkdir(parents=True)
    for name in PEOPLE:
        signer = create_key_file(folder / f"{name}.pem")
        (trusted / f"{name}.pem").write_bytes(public_pem(signer.public_key_der()))
    return {name: folder / f"{name}.pem" for name in PEOPLE}


@pytest.fixture(scope="package")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="package")
def claims() -> Iterator[Recipient]:
    with recipient(b"secret of the claims office") as running:
        yield running


@pytest.fixture(scope="package")
def house(peers: Peers, claims: Recipient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    workspace = write_workspace(tmp_path_factory.mktemp("privacy"), FILES)
    told = {"CLAIMS_URL": claims.url, "CLAIMS_SECRET": claims.secret.decode()}
    keys = give_keys(workspace, tmp_path_factory.mktemp("people"))
    with Platform(workspace, peers.environment | told | {KEY_VARIABLE: str(keys["ann"])}) as platform:
        yield House(platform, keys)


@pytest.fixture(scope="package")
def key(house: House) -> str:
    return house.platform.create_key("acme", "assistant")
