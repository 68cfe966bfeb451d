"""Every command of the guide to compliance, and of the guide to evidence where it shows a prompt, is executed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greffier.app import operators
from greffier.cli.main import app
from greffier.config.demo import write_demo
from greffier.governance.documents.law import document_law
from greffier.governance.incidents.law import incident_law
from greffier.testing.object_storage import BUCKET, object_storage
from greffier.testing.tsa import time_stamping_authority

ROOT = Path(__file__).parents[3]
COMPLIANCE = (ROOT / "docs" / "guide" / "compliance.md").read_text()
AUDIT = (ROOT / "docs" / "guide" / "audit.md").read_text()
PEOPLE = {"ann": 61001, "bea": 61002, "": 61003}


def commands(page: str) -> list[tuple[str, str]]:
    lines = [line for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    return [(person, command) for person, _, command in (line.partition("$ ") for line in lines)]


class Shell:
    """Runs the guide's commands in a workspace: ours in this process, others as processes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = monkeypatch
        monkeypatch.chdir(folder)

    def run(self, command: str, person: str, status: int = 0) -> str:
        login = self.folder.parent / f"login-{person}"
        login.write_text(str(PEOPLE[person]))
        self._patch.setattr(operators, "LOGIN_UID", login)  # the kernel's word for who is at the keyboard
        command, _, target = command.partition(" > ")
        words = [found for word in shlex.split(command) for found in self._expanded(word)]
        if words[0] == "greffier":
            done = CliRunner().invoke(app, words[1:])
            code, printed, said = done.exit_code, done.stdout, done.output
        else:
            words = [sys.executable, str(ROOT / words[1]), *words[2:]] if words[0] == "python" else words
            other = subprocess.run(words, capture_output=True, text=True, check=False)
            code, printed, said = other.returncode, other.stdout, other.stdout + other.stderr
        assert code == status, f"{command}\n{said}"
        if target:
            (self.folder / target).write_text(printed)
        return printed

    def _expanded(self, word: str) -> list[str]:
        return sorted(str(path) for path in Path().glob(word)) if "*" in word else [word]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / "demo"
    folder.mkdir()
    write_demo(folder)
    (folder / "documents/assistant/evidence").mkdir(parents=True)
    made = Shell(folder, monkeypatch)
    made.run("greffier audit public-key", "", 1)  # there is no key yet
    made.run("greffier keys create --tenant demo --use-case assistant --label guide", "")
    made.run("greffier audit seal", "")
    return made


def test_the_guide_to_compliance(shell: Shell) -> None:
    known: dict[str, str] = {}
    settings = shell.folder / "greffier.yaml"
    shown = next(block for block in re.findall(r"```yaml\n(.*?)```", COMPLIANCE, re.DOTALL) if "controller:" in block)
    settings.write_text(settings.read_text() + shown)
    for person, command in commands(COMPLIANCE):
        for word, value in known.items():
            command = command.replace(word, value)  # noqa: PLW2901 - the guide's words become this run's
        if command.startswith("greffier docs build"):
            judge(shell.folder)
        printed = shell.run(command, person)
        if "incident open" in command:
            known["INCIDENT"] = printed.split()[0]
    shell.run("greffier docs verify td.html", "ann")
    prompt = next((shell.folder / "prompts").glob("*.md"))
    prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    assert "has changed" in shell.run("greffier docs verify td.html", "ann", 1)


def judge(folder: Path) -> None:
    for path in (folder / "documents").rglob("*.md"):
        text = path.read_text().replace("TODO:", "We judged:")
        if path.name == "annex-iv.8.md" and "not_applicable" not in text:
            text = text.replace("\n---\n", "\nnot_applicable: true\n---\nThe system is not high-risk: ")
        path.write_text(text)


def test_the_guide_to_evidence(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with time_stamping_authority(tmp_path_factory.mktemp("tsa")) as (address, ca), object_storage() as storage:
        monkeypatch.setenv("COPY_ACCESS_KEY", storage.access_key)
        monkeypatch.setenv("COPY_SECRET_KEY", storage.secret_key)
        shown = next(block for block in re.findall(r"```yaml\n(.*?)```", AUDIT, re.DOTALL) if "copies:" in block)
        shown = re.sub(r"https://\S+", storage.url, shown).replace("acme-evidence", BUCKET)
        settings = shell.folder / "greffier.yaml"
        settings.write_text(settings.read_text() + shown.replace("eu-central-1", "us-east-1"))
        (shell.folder / "tsa-ca.pem").write_bytes(ca.read_bytes())
        for person, command in commands(AUDIT):
            stamped = sorted((shell.folder / ".greffier/log/timestamps").glob("*.tsr"))
            size = stamped[-1].stem if stamped else ""
            shell.run(command.replace("TSA_URL", address).replace("SIZE", size), person)
            if "rotate-key" in command:
                shell.run("greffier audit list", person)
                shell.run("greffier audit seal", person)
    assert "OK" in shell.run("greffier audit verify", "")


def test_every_document_and_regime_is_named() -> None:
    for kind in document_law().kinds:
        assert f"`{kind}`" in COMPLIANCE
    for word in ("GDPR 33", "AI Act 73", "DORA", "NIS2", "CRA"):
        assert word in COMPLIANCE
    assert len(incident_law().regimes) == 5
