"""Every command of the README is executed, in order, as a stranger would."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.testing.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHELL = "bash"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, Path]]:
    """`make up` in a folder of its own, on a free port."""
    workspace = tmp_path_factory.mktemp("readme") / "demo"
    port = free_port()
    up = subprocess.Popen(
        ["make", "-s", "up", f"ARGS=--port {port} --workspace {workspace}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert up.stdout is not None
    deadline = time.monotonic() + 120
    printed, key = "", ""
    for line in up.stdout:
        printed += line
        if found := re.search(r"grf_\w+", line):
            key = found.group()
        if "Stop with Ctrl-C" in line or time.monotonic() > deadline:
            break
    assert key, printed
    yield port, key, workspace
    os.killpg(up.pid, signal.SIGTERM)
    up.wait(60)
    up.stdout.close()


def test_the_readme_shows_what_happens(session: tuple[int, str, Path]) -> None:
    port, key, workspace = session
    script = "set -e\n"
    for command in commands():
        real = command.replace("8080", str(port)).replace("grf_...", key).replace("-w demo", f"-w {workspace}")
        allowed = " || [ $? = 1 ]" if "Ignore all previous" in real else ""
        script += f"{real}{allowed}\n"
    done = subprocess.run([SHELL, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"object":"chat.completion"' in done.stdout
    assert "CREDIT_CARD" in done.stdout
    assert "guardrail_blocked" in done.stderr
    assert "4111" not in done.stdout


def test_a_second_up_that_cannot_start_leaves_the_first_its_key(session: tuple[int, str, Path]) -> None:
    port, key, workspace = session
    line = [sys.executable, "-m", "greffier.cli.main", "up", "--workspace", str(workspace), "--port", str(port)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "cannot listen" in done.stderr) == (4, True), done.stderr
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers={"x-api-key": key})
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - loopback
        assert answer.status == 200


def test_every_page_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
