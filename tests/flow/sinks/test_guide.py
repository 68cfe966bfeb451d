"""Every command of the guide is executed, in order; every setting it shows is accepted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from greffier.config.bundle import check_workspace
from greffier.config.demo import write_demo

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "siem.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = [
    line[2:]
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo")
    return tmp_path / "demo"


def add(workspace: Path, text: str) -> None:
    settings = workspace / "greffier.yaml"
    settings.write_text(f"{settings.read_text()}\n{text}")


def test_the_commands_do_what_the_guide_says(workspace: Path) -> None:
    add(workspace, YAML[0])
    shell = shutil.which("bash")
    assert shell is not None
    command = f'greffier() {{ {sys.executable} -m greffier.cli.main "$@"; }}\nset -ex\n' + "\n".join(COMMANDS)
    done = subprocess.run([shell, "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "archive acknowledged the test event" in done.stdout
    assert "\n1\n" in done.stdout
    assert "archive              cursor 0" in done.stdout


def test_the_settings_shown_are_accepted(workspace: Path) -> None:
    add(workspace, YAML[1])
    assert check_workspace(workspace) == ()
