"""Who is at the command line is told by the kernel or proved by a key, and one person never has two names."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.adapters.signers.key_file import create_key_file
from greffier.app.operators import KEY_VARIABLE, LOGIN_UID, KernelIdentity, KeyIdentity, identity_of
from greffier.app.recording import operator
from greffier.cli.main import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import UnknownOperator
from greffier.config.signing import public_pem
from greffier.storage.journal import open_reader


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    write_demo(tmp_path / "workspace")
    return WorkspacePaths(tmp_path / "workspace")


@pytest.fixture
def people(tmp_path: Path) -> Callable[[str], Path]:
    """Where somebody's private key is; the public one lies beside it, ``NAME.pub.pem``."""

    def of(name: str) -> Path:
        file = tmp_path / f"{name}.pem"
        if not file.exists():
            signer = create_key_file(file)
            (tmp_path / f"{name}.pub.pem").write_bytes(public_pem(signer.public_key_der()))
        return file

    return of


def run(paths: WorkspacePaths, *arguments: str, key: Path | None = None, code: int = 0) -> Any:
    environment = {KEY_VARIABLE: str(key) if key else None}
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(paths.root), "--json"], env=environment)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def know(paths: WorkspacePaths, private: Path, *, key: Path | None = None) -> None:
    run(paths, "operator", "trust", str(private.with_suffix(".pub.pem")), "--name", private.stem, key=key)


def test_without_keys_it_is_the_kernels_word(paths: WorkspacePaths, people: Callable[[str], Path]) -> None:
    found = run(paths, "operator", "whoami", key=people("ann"))  # a key that nobody trusts says nothing
    assert found == {"name": KernelIdentity().who(), "by": "operating system"}


def test_from_the_first_key_on_only_keys_count(paths: WorkspacePaths, people: Callable[[str], Path]) -> None:
    ann, bea, eve = people("ann"), people("bea"), people("eve")
    know(paths, ann)
    assert run(paths, "operator", "whoami", key=ann) == {"name": "person:ann", "by": "key"}
    assert KEY_VARIABLE in run(paths, "operator", "whoami", code=3)["error"]["remedy"]
    assert "not that of an operator" in run(paths, "operator", "whoami", key=eve, code=3)["error"]["message"]
    know(paths, bea, key=ann)
    assert run(paths, "operator", "whoami", key=bea)["name"] == "person:bea"
    assert [row["name"] for row in run(paths, "operator", "list")] == ["ann", "bea"]
    run(paths, "operator", "remove", "ann", key=bea)
    run(paths, "operator", "whoami", key=ann, code=3)
    acts = [json.loads(row.data) for row in open_reader(paths).scan()]
    assert [(act["action"], act["actor"]) for act in acts] == [
        ("operator.trust", KernelIdentity().who()),
        ("operator.trust", "person:ann"),
        ("operator.remove", "person:bea"),
    ]


def test_acts_without_a_known_person_are_refused_before_they_happen(
    paths: WorkspacePaths, people: Callable[[str], Path]
) -> None:
    know(paths, people("ann"))
    refused = run(paths, "keys", "create", "--tenant", "demo", "--use-case", "assistant", code=3)
    assert "none was named" in refused["error"]["message"]
    assert run(paths, "incident", "open", "--title", "t", code=3)["error"]["remedy"]
    assert run(paths, "incident", "list", key=people("ann")) == []


def test_one_key_is_one_name(paths: WorkspacePaths, people: Callable[[str], Path]) -> None:
    ann = people("ann")
    know(paths, ann)
    again = ("operator", "trust", str(ann.with_suffix(".pub.pem")), "--name", "another")
    assert "another name" in run(paths, *again, key=ann, code=3)["error"]["message"]
    other = ("operator", "trust", str(people("bea").with_suffix(".pub.pem")), "--name", "ann")
    assert "Another key" in run(paths, *other, key=ann, code=3)["error"]["message"]


def test_a_key_that_others_can_read_proves_nothing(paths: WorkspacePaths, people: Callable[[str], Path]) -> None:
    ann = people("ann")
    know(paths, ann)
    ann.chmod(0o644)
    assert "read by others" in run(paths, "operator", "whoami", key=ann, code=3)["error"]["message"]


def test_a_public_key_that_cannot_be_read_lets_nobody_in(
    paths: WorkspacePaths, people: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = people("ann")
    know(paths, ann)
    (paths.operators / "bea.pem").write_text("no key")
    monkeypatch.setenv(KEY_VARIABLE, str(ann))
    assert isinstance(identity_of(paths), KeyIdentity)
    with pytest.raises(UnknownOperator):
        operator(paths)


def test_the_kernel_decides_who_may_say_who_logged_in() -> None:
    """In a process of its own, because whoever logged in stays logged in."""
    before = KernelIdentity().who()
    child = os.fork()
    if child == 0:
        try:
            LOGIN_UID.write_text("61001")
        except OSError:  # refused, or a kernel without auditing: we stay who we were
            os._exit(0 if KernelIdentity().who() == before else 1)
        os._exit(0 if KernelIdentity().who().endswith(":61001") else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert KernelIdentity().who() == before


def test_people_make_their_own_key(paths: WorkspacePaths, tmp_path: Path) -> None:
    file = tmp_path / "dora.pem"
    made = CliRunner().invoke(app, ["operator", "new-key", str(file), "--json"])
    assert made.exit_code == 0, made.output
    assert file.stat().st_mode & 0o077 == 0
    run(paths, "operator", "trust", str(tmp_path / "dora.pub.pem"), "--name", "dora")
    assert run(paths, "operator", "whoami", key=file)["name"] == "person:dora"
    again = CliRunner().invoke(app, ["operator", "new-key", str(file)])
    assert again.exit_code == 4
    assert "exists already" in again.output
