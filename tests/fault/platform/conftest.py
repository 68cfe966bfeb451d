"""A workspace with short patience, real processes, and the journal to hold them to their word."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greffier.app.supervisor import fresh_metrics_folder
from greffier.config.paths import WorkspacePaths
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.workspaces import File, deployment, small_workspace
from greffier.testing.workspaces import write_workspace as write_files

SETTINGS = """
schema: 1
name: faults
unsafe_development_mode: true
tenants:
  acme: {title: Acme}
server: {body_timeout_s: 1.5, drain_timeout_s: 10}
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
models: [assistant, MODELS]
default_model: assistant
"""
FAULTY = tuple(f"faulty-{number}" for number in range(24))
"""Models whose only deployment misbehaves on order; one for each test, or breakers would carry over."""
DEPLOYMENT = deployment(
    price={"input_per_million": "0", "output_per_million": "1000"},
    timeouts={"connect_s": 1, "first_token_s": 1, "total_s": 3},
    max_answer_bytes=1_000_000,
)
MODELS = {"assistant": "external"} | {name: name for name in FAULTY}
"""Model, and the deployment behind it."""


def write_workspace(folder: Path, *, settings: str = "", use_case: str = "", risk: str = "limited") -> Path:
    """Write the workspace, with more lines in ``greffier.yaml`` and in the use case."""
    text_of_use_case = USE_CASE.replace("MODELS", ", ".join(FAULTY)).replace("limited", risk)
    own: dict[str, File] = {
        "greffier.yaml": SETTINGS + settings,
        "use_cases/assistant.yaml": text_of_use_case + use_case,
        "models/models.yaml": {
            "deployments": dict.fromkeys(MODELS.values(), DEPLOYMENT),
            "models": {
                model: {"targets": [{"deployment": name}], "retry": {"attempts": 1}} for model, name in MODELS.items()
            },
        },
    }
    return write_files(folder, small_workspace() | own)


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(autouse=True)
def _fresh_captures(peers: Peers) -> None:
    peers.clear()


@pytest.fixture(scope="session")
def platform(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that many tests share: each leaves it as it found it."""
    workspace = write_workspace(tmp_path_factory.mktemp("shared"), settings="audit: {append_timeout_ms: 500}\n")
    with Platform(workspace, peers.environment) as running:
        yield running


@pytest.fixture(scope="session")
def key(platform: Platform) -> str:
    return platform.create_key("acme", "assistant")


@pytest.fixture(scope="session")
def _faulty() -> Iterator[str]:
    return iter(FAULTY)


@pytest.fixture
def model(_faulty: Iterator[str]) -> str:
    """A model nobody has called yet."""
    return next(_faulty)


@pytest.fixture
def write() -> Callable[..., Path]:
    """The function that writes a workspace."""
    return write_workspace


@pytest.fixture(scope="session")
def _nursery(platform: Platform, key: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A state folder with one API key and compiled patterns in it, so that not every test must make its own."""
    state = tmp_path_factory.mktemp("nursery")
    done = platform.command("keys", "list")  # the key is in the file once its writer has left
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(platform.workspace / ".greffier" / "state.db") as source:
        source.execute("VACUUM INTO ?", (str(state / "state.db"),))
    source.close()
    shutil.copytree(platform.workspace / ".greffier" / "run" / "automata", state / "run" / "automata")
    return state, key


@pytest.fixture
def issued(_nursery: tuple[Path, str]) -> str:
    """An API key that every platform of `make` knows from the start."""
    return _nursery[1]


@pytest.fixture
def make(peers: Peers, tmp_path: Path, _nursery: tuple[Path, str]) -> Iterator[Callable[..., Platform]]:
    """Make a platform that is not started yet; it is stopped afterwards whatever happens."""
    made: list[Platform] = []

    def make_one(*, workers: int = 1, environment: dict[str, str] | None = None, **lines: str) -> Platform:
        workspace = write_workspace(tmp_path / f"workspace-{len(made)}", **lines)
        shutil.copytree(_nursery[0], workspace / ".greffier")
        platform = Platform(workspace, peers.environment | (environment or {}), workers)
        made.append(platform)
        return platform

    yield make_one
    for platform in made:
        platform.stop()
        shutil.rmtree(fresh_metrics_folder(WorkspacePaths(platform.workspace)))  # a killed one leaves its own behind
