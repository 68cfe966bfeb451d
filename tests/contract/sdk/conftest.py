"""Real SDKs, each generation in a virtual environment of its own, against the real platform and a scripted model."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from greffier.testing.platform import Platform
from greffier.testing.workspaces import write_workspace

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

USE_CASE = """
id: {id}
title: {id}
tenant: acme
status: {status}
owner: olga@acme.example
approval: {{by: [anton@acme.example], on: "2026-11-01"}}
purpose: assistance
intended_purpose: Answers questions of programs that only know an SDK.
lawful_basis: {{article_6: "6(1)(f)", article_9: "9(2)(b)"}}
risk_class: minimal
data_classes: [public, internal, personal, special_category, payment, secret]
models: [assistant, vectors]
default_model: assistant
prompt: assistant
screen: sdk
limits: {limits}
"""

WORKSPACE = {
    "greffier.yaml": """
schema: 1
name: sdk
unsafe_development_mode: true
server: {max_body_bytes: 4000000}
tenants:
  acme: {title: Acme}
""",
    "use_cases/assistant.yaml": USE_CASE.format(id="assistant", status="approved", limits="{}"),
    "use_cases/limited.yaml": USE_CASE.format(id="limited", status="approved", limits="{requests_per_minute: 1}"),
    "use_cases/broke.yaml": USE_CASE.format(id="broke", status="approved", limits='{spend_per_day: "0.000001"}'),
    "use_cases/draft.yaml": USE_CASE.format(id="draft", status="draft", limits="{}"),
    "prompts/assistant.md": """---
version: 1
title: Assistant
owner: olga@acme.example
---
You are the assistant of Acme.
""",
    "policies/access.yaml": """
rules:
  - id: everyone
    description: Every credential of an approved use case may use it.
    effect: allow
    when: {actions: [chat, embed, list_models, check, feedback]}
""",
    "guardrails/sdk.yaml": """
topics:
  bluebird: {title: A secret project, terms: [the secret project bluebird]}
screens:
  sdk:
    title: For programs that only know an SDK
    detectors: [injection, topics, leak]
    input:
      - {id: injection, types: [prompt_injection, jailbreak], at_least: 0.8, then: deny}
    output:
      - {id: bluebird, types: ["topic:bluebird"], then: deny}
""",
    "models/models.yaml": """
deployments:
  scripted:
    provider: openai_compatible
    model: scripted-model
    location: external
    region: eu
    base_url: env:SCRIPTED_URL
    price: {input_per_million: "1", output_per_million: "2"}
    timeouts: {connect_s: 2, first_token_s: 2, total_s: 10}
    capabilities: [chat, tools, images, json_schema, embeddings]
models:
  assistant:
    targets: [{deployment: scripted}]
    retry: {attempts: 1}
    breaker: {failures: 1000, failure_percent: 100}
  vectors:
    targets: [{deployment: scripted}]
    breaker: {failures: 1000, failure_percent: 100}
""",
}


@pytest.fixture(scope="session")
def upstream_url() -> Iterator[str]:
    line = [sys.executable, "-m", "greffier.testing.upstream"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.poll() is None, "the scripted upstream died; results of this session say nothing"
        process.terminate()


@pytest.fixture(scope="session")
def platform(upstream_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    workspace = write_workspace(tmp_path_factory.mktemp("sdk-workspace"), WORKSPACE)
    with Platform(workspace, {"SCRIPTED_URL": upstream_url}) as running:
        yield running


def python_of(generation: str) -> Path:
    """The interpreter of an SDK generation, its environment made from the lock file when that changed."""
    lock = HERE / f"requirements-{generation}.lock"
    folder = ROOT / ".venvs" / f"sdk-{generation}"
    stamp = folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    near = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `make` puts it beside our interpreter
    with _alone():
        if not stamp.exists() or stamp.read_text() != digest:
            shutil.rmtree(folder, ignore_errors=True)
            if uv := shutil.which("uv", path=near):  # the same result in a tenth of the time
                _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
                _run([uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)])
            else:
                _run([sys.executable, "-m", "venv", str(folder)])
                _run([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)])
            stamp.write_text(digest)
    return python


def node_modules() -> Path:
    """The folder of the Node suite, its packages installed from the lock file when that changed."""
    lock = HERE / "package-lock.json"
    folder = ROOT / ".venvs" / "sdk-node"
    stamp = folder / "lock.sha256"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    with _alone():
        if not stamp.exists() or stamp.read_text() != digest:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "package.json", folder)
            shutil.copy(lock, folder)
            _run(["npm", "ci", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder)])
            stamp.write_text(digest)
    return folder


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two workers of one test run must not install over each other."""
    with Path(__file__).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _run(line: list[str]) -> None:
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(line)} failed; it needs a package index:\n{done.stdout}{done.stderr}"


Suite = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def suite(platform: Platform) -> Suite:
    """Run a suite once and return what its cases returned: ``suite("openai", "new")["chat_plain"]``."""

    @cache
    def results(name: str, generation: str) -> dict[str, Any]:
        # Keys of their own for each run: what one suite uses up does not limit the next.
        keys = {use: platform.create_key("acme", use) for use in ("assistant", "limited", "broke", "draft")}
        environment = {"PATH": os.environ["PATH"], "GREFFIER_URL": platform.url, "GREFFIER_KEYS": json.dumps(keys)}
        if generation == "node":
            script = node_modules() / f"suite_{name}.mjs"
            shutil.copy(HERE / "suites" / script.name, script)
            line = ["node", str(script)]
        else:
            line = [str(python_of(generation)), str(HERE / "suites" / f"suite_{name}.py")]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        answers: dict[str, Any] = json.loads(done.stdout)
        return answers

    return results
