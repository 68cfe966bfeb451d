"""A workspace whose screen brings a person in, and the real platform over it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Platform
from greffier.testing.workspaces import small_workspace, use_case, write_workspace

SCREENS = """
screens:
  held:
    review_wait_s: %d
    input:
      - {id: attacks, types: [prompt_injection, jailbreak, indirect_injection], at_least: 0.7, then: deny}
      - {id: payroll, types: ["topic:payroll"], then: escalate}
      - {id: mail, types: [EMAIL], then: redact}
topics:
  payroll: {title: Payroll, terms: [salary list]}
"""


def write_held(folder: Path, wait_s: int = 0) -> Path:
    files = small_workspace(None, use_case(screen="held"))
    return write_workspace(folder, files | {"guardrails/screens.yaml": SCREENS % wait_s})


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="module")
def platform(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(write_held(tmp_path_factory.mktemp("held")), peers.environment) as running:
        yield running


@pytest.fixture
def make(peers: Peers, tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start a platform whose screen lets callers wait for so many seconds, or one with a screen of the test's own."""
    made: list[Platform] = []

    def start(wait_s: int, screens: str = "") -> Platform:
        folder = write_held(tmp_path / f"w{len(made)}", wait_s)
        if screens:
            (folder / "guardrails" / "screens.yaml").write_text(screens)
        made.append(Platform(folder, peers.environment))
        return made[-1].start()

    yield start
    for platform in made:
        platform.stop()
