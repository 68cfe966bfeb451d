"""``greffier init`` and ``greffier config`` as people and scripts use them."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
import typer
import yaml

from greffier.cli import config, init
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths

app = typer.Typer()
app.add_typer(init.app)
app.add_typer(config.app, name="config")


class Answer:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> "Run":
    return Run(capsys)


class Run:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *args: object) -> Answer:
        command = typer.main.get_command(app)
        self.capsys.readouterr()
        try:
            command.main([str(arg) for arg in args], prog_name="greffier", standalone_mode=True)
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        captured = self.capsys.readouterr()
        return Answer(code, captured.out, captured.err)


@pytest.fixture
def demo(tmp_path: Path, run: Run) -> Path:
    assert run("init", tmp_path / "demo").code == 0
    return tmp_path / "demo"


def test_init_writes_a_workspace_that_can_be_served(tmp_path: Path, run: Run) -> None:
    answer = run("init", tmp_path / "new" / "demo")
    assert answer.code == 0
    assert "greffier models pull" in answer.out
    snapshot = load_snapshot(WorkspacePaths(tmp_path / "new" / "demo"))
    assert snapshot.workspace.unsafe_development_mode
    assert snapshot.use_cases["assistant"].tenant == "demo"
    assert snapshot.deployments["local-smollm2"].location == "on_premises"
    assert (tmp_path / "new" / "demo" / ".gitignore").read_text() == ".greffier/\n"


def test_init_keeps_off_what_is_there(tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    answer = run("init", tmp_path)
    assert (answer.code, "not empty" in answer.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert run("init", tmp_path, "--force").code == 0
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert run("init", tmp_path / "mine.txt").code == 2


def test_init_for_scripts(tmp_path: Path, run: Run) -> None:
    answer = run("init", tmp_path / "demo", "--json").json
    assert re.fullmatch("[0-9a-f]{64}", str(answer["revision"]))
    assert "greffier.yaml" in str(answer["files"])


def test_check_shows_place_line_and_remedy(demo: Path, run: Run) -> None:
    assert run("config", "check", "-w", demo).code == 0
    path = demo / "use_cases" / "assistant.yaml"
    path.write_text(path.read_text().replace("tenant: demo", "tennant: [demo]"))
    answer = run("config", "check", "-w", demo)
    assert answer.code == 3
    assert "use_cases/assistant.yaml:5:1 error: There is no key 'tennant' here." in answer.err
    assert "  5 | tennant: ...\n    | ^\n" in answer.err
    assert "remedy: Did you mean 'tenant'?" in answer.err
    problems = run("config", "check", "-w", demo, "--json").json["problems"]
    assert isinstance(problems, list)
    assert {problem["code"] for problem in problems} == {"unknown_key", "missing_key"}
    assert all({"file", "line", "column", "path", "message", "remedy"} <= set(problem) for problem in problems)


def test_build_answers_the_same_revision_every_time(demo: Path, tmp_path: Path, run: Run) -> None:
    first = run("config", "build", "-w", demo, "--json", "--output", tmp_path / "a").json
    second = run("config", "build", "-w", demo, "--json", "--output", tmp_path / "b").json
    assert first["revision"] == second["revision"]
    assert (tmp_path / "a" / "bundle.json").read_bytes() == (tmp_path / "b" / "bundle.json").read_bytes()
    assert not (tmp_path / "a" / "bundle.sig").exists()


def test_build_of_a_wrong_workspace(demo: Path, run: Run) -> None:
    (demo / "greffier.yaml").write_text("schema: 1")
    answer = run("config", "build", "-w", demo)
    assert (answer.code, "config check" in answer.err) == (3, True)


def test_from_key_to_signed_release(demo: Path, run: Run) -> None:
    assert "sign-key" in run("config", "build", "--sign", "-w", demo).err
    key = run("config", "sign-key", "-w", demo, "--json").json
    private = Path(str(key["private"]))
    assert private.stat().st_mode & 0o777 == 0o600
    assert run("config", "sign-key", "-w", demo).code == 4  # never replaced
    answer = run("config", "build", "--sign", "-w", demo)
    assert (answer.code, "not among the trusted keys" in answer.err) == (3, True)
    assert run("config", "trust", key["public"], "--name", "release-team", "-w", demo).code == 0
    built = run("config", "build", "--sign", "-w", demo, "--json").json
    assert built["signed_by"] == key["fingerprint"]
    snapshot = load_snapshot(WorkspacePaths(demo))
    assert (snapshot.revision, snapshot.signed_by) == (built["revision"], "release-team")
    settings = demo / "greffier.yaml"
    settings.write_text(settings.read_text().replace("requests_per_minute: 600", "requests_per_minute: 1"))
    checked = run("config", "check", "-w", demo, "--json").json
    assert checked["in_force"] == built["revision"] != checked["revision"]
    assert "in force is another release" in run("config", "check", "-w", demo).out
    shown = run("config", "show", "workspace", "--in-force", "-w", demo, "--json").json
    assert "'requests_per_minute': 600" in str(shown)


def test_signed_elsewhere_and_activated_here(demo: Path, tmp_path: Path, run: Run) -> None:
    key = run("config", "sign-key", "--trust", "-w", demo, "--json").json
    folder = tmp_path / "handover"
    run("config", "build", "--sign", "-w", demo, "--output", folder)
    gateway = tmp_path / "gateway"
    gateway.mkdir()
    assert run("config", "activate", folder, "-w", gateway).code == 3
    assert run("config", "trust", key["public"], "-w", gateway).code == 0
    answer = run("config", "activate", folder, "-w", gateway, "--json").json
    assert answer["signed_by"] == "bundle-signing"
    assert load_snapshot(WorkspacePaths(gateway)).revision == answer["revision"]
    assert run("config", "activate", "0" * 64, "-w", gateway).code == 3
    assert load_snapshot(WorkspacePaths(gateway)).revision == answer["revision"]


def test_a_pin_on_the_command_line_is_refused(demo: Path, run: Run) -> None:
    options = ("--pkcs11-module", "/x.so", "--pkcs11-token", "t", "--pkcs11-key", "k")
    answer = run("config", "build", "--sign", "-w", demo, *options, "--pkcs11-pin", "123456")
    assert (answer.code, "stands on the command line" in answer.err) == (4, True)
    assert "123456" not in answer.err
    assert run("config", "build", "--sign", "-w", demo, *options, "--pkcs11-pin", "env:NO_SUCH_PIN").code == 4
    assert run("config", "build", "--sign", "-w", demo, *options).code == 4


def test_only_p256_public_keys_are_trusted(demo: Path, tmp_path: Path, run: Run) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    assert run("config", "trust", junk, "-w", demo).code == 3
    key = run("config", "sign-key", "-w", demo, "--json").json
    assert run("config", "trust", key["private"], "-w", demo).code == 3
    assert run("config", "trust", key["public"], "--name", "../evil", "-w", demo).code == 3
    assert run("config", "trust", tmp_path / "none.pem", "-w", demo).code == 3


def test_show_writes_out_the_defaults(demo: Path, run: Run) -> None:
    assert "assistant" in run("config", "show", "-w", demo).out
    screen = yaml.safe_load(run("config", "show", "screens", "default", "-w", demo).out)
    assert screen["on_unavailable"] == "by_risk_class"
    assert run("config", "show", "use_cases", "assistant", "-w", demo, "--json").json["screen"] == "default"
    assert run("config", "show", "rules", "demo-assistant", "-w", demo).code == 0
    assert run("config", "show", "nonsense", "-w", demo).code == 2
    assert run("config", "show", "models", "nonsense", "-w", demo).code == 2


def test_diff_names_what_changed(demo: Path, tmp_path: Path, run: Run) -> None:
    before = tmp_path / "before"
    run("config", "build", "-w", demo, "--output", before)
    assert run("config", "diff", before, demo, "--exit-code").code == 0
    rules = demo / "policies" / "demo.yaml"
    inserted = "rules:\n  - {id: first, description: d, effect: deny, when: {roles: [x]}}\n"
    rules.write_text(rules.read_text().replace("rules:\n", inserted))
    settings = demo / "greffier.yaml"
    settings.write_text(settings.read_text().replace("requests_per_minute: 600", "requests_per_minute: 60"))
    (demo / "prompts" / "assistant.md").write_text("---\nversion: 2\ntitle: T\nowner: o\n---\nOne.\nTwo.\n")
    answer = run("config", "diff", before / "bundle.json", demo, "--exit-code")
    assert answer.code == 1
    assert "~ workspace.limits.per_key.requests_per_minute: 600 -> 60" in answer.out
    assert "+ rules[first]: {" in answer.out
    assert "rules.order" not in answer.out  # an insertion is one change, not a reordering
    assert "    +Two." in answer.out
    changes = run("config", "diff", demo, before, "--json").json["changes"]
    assert isinstance(changes, list)
    assert {"kind": "removed", "path": "rules[first]"}.items() <= {
        k: v for change in changes if change["path"] == "rules[first]" for k, v in change.items()
    }.items()


def test_diff_tells_when_rules_change_places(demo: Path, tmp_path: Path, run: Run) -> None:
    rules = demo / "policies" / "demo.yaml"
    one = "  - {id: one, description: d, effect: deny, when: {roles: [x]}}\n"
    two = "  - {id: two, description: d, effect: deny, when: {roles: [y]}}\n"
    rules.write_text(f"rules:\n{one}{two}")
    run("config", "build", "-w", demo, "--output", tmp_path / "before")
    rules.write_text(f"rules:\n{two}{one}")
    answer = run("config", "diff", tmp_path / "before", demo, "--json").json
    assert answer["changes"] == [
        {"kind": "changed", "path": "rules.order", "before": ["one", "two"], "after": ["two", "one"], "lines": []}
    ]


def test_diff_of_what_is_no_bundle(tmp_path: Path, run: Run) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert run("config", "diff", tmp_path / "x.json", tmp_path / "x.json").code == 3
    assert run("config", "diff", tmp_path / "none", tmp_path / "none").code == 3


def test_the_schemas_accept_the_demo_and_refuse_a_misspelt_key(demo: Path, tmp_path: Path, run: Run) -> None:
    answer = run("config", "schema", tmp_path / "schemas")
    assert "yaml-language-server" in answer.out
    schema = json.loads((tmp_path / "schemas" / "use_cases.json").read_text())
    use_case = yaml.load((demo / "use_cases" / "assistant.yaml").read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(use_case)
    assert not validator.is_valid({**use_case, "tennant": "x"})


def test_every_file_of_the_demo_points_editors_at_a_schema_that_is_there(demo: Path) -> None:
    files = [path for path in demo.rglob("*.yaml") if ".greffier" not in path.parts]
    assert len(files) == 5
    for path in files:
        first = path.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (path.parent / first.partition("=")[2]).is_file()


def test_the_wheel_would_carry_the_demo() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src/greffier/config/templates"],
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "demo/greffier.yaml" in tracked
    assert "demo/dot-gitignore" in tracked
