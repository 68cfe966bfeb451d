"""A workspace that keeps content under keys, served by the real platform, and two people at the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greffier.cli import audit, dsr, privacy, restore, retention
from greffier.cli.main import app
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.webhook import Recipient, recipient

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
    "guardrails/quiet.yaml": "",
}
LOADED = (audit, dsr, privacy, restore, retention)
"""Commands that tests use, imported once here and not in every fork."""

ANN, BEA = 61001, 61002
"""Two people, as the kernel knows who logged in."""


class House:
    """The platform, and the command line in the hands of either person."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.state = platform.workspace / ".greffier"

    def greffier(self, *arguments: str, person: int = ANN, code: int = 0) -> Any:
        """Run a command as a person; return its JSON, or its text where it has none."""
        written = self.platform.workspace / "output.json"
        child = os.fork()  # a process of its own, because whoever logged in stays logged in; without a second import
        if child == 0:
            os._exit(self._as(person, [*arguments, "--workspace", str(self.platform.workspace), "--json"], written))
        _, status = os.waitpid(child, 0)
        text = written.read_text()
        assert os.waitstatus_to_exitcode(status) == code, f"{arguments}: {text}"
        return json.loads(text) if text.strip().startswith(("{", "[")) else text

    def _as(self, person: int, arguments: list[str], written: Path) -> int:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - the child's own, and the child ends soon
        log_in(person)
        os.environ.update(self.platform._environment)
        try:
            app(arguments)
        except SystemExit as left:
            return left.code if isinstance(left.code, int) else 1
        finally:
            sys.stdout.flush()
        return 0

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


def log_in(person: int) -> None:
    """Be a person as ``pam_loginuid`` would make us; needs the right to set it, which root in a sandbox has."""
    Path("/proc/self/loginuid").write_text(str(person))


def may_log_in() -> bool:
    """Whether this machine lets us be two people."""
    probe = subprocess.run(
        [sys.executable, "-c", "open('/proc/self/loginuid', 'w').write('61001')"], capture_output=True, check=False
    )
    return probe.returncode == 0 and os.getuid() == 0


@pytest.fixture(scope="package")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="package")
def claims() -> Iterator[Recipient]:
    with recipient(b"secret of the claims office") as running:
        yield running


@pytest.fixture(scope="package")
def house(peers: Peers, claims: Recipient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if not may_log_in():
        pytest.skip("two people need a kernel that knows who logged in, and root to say so")
    workspace = tmp_path_factory.mktemp("privacy")
    for name, text in FILES.items():
        if text:
            path = workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip("\n"))
    told = {"CLAIMS_URL": claims.url, "CLAIMS_SECRET": claims.secret.decode()}
    with Platform(workspace, peers.environment | told) as platform:
        yield House(platform)


@pytest.fixture(scope="package")
def key(house: House) -> str:
    return house.platform.create_key("acme", "assistant")
