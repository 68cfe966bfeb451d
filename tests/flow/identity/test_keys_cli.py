"""``greffier keys`` on a demo workspace: what it prints, keeps, records and refuses."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from greffier.cli.main import app
from greffier.config.paths import WorkspacePaths
from greffier.core.clock import SystemClock
from greffier.core.context import Arrival, Credential, RequestContext
from greffier.core.events import Act, parse
from greffier.core.rulings import Allow
from greffier.identity.authenticators import Authenticators
from greffier.identity.claims import Pseudonyms
from greffier.identity.directory import KeyDirectory
from greffier.identity.jwks import IssuerKeys
from greffier.identity.keys import KEY_PATTERN
from greffier.identity.tokens import TokenVerifier
from greffier.storage.journal import open_reader
from greffier.storage.keys import SqliteKeyStore
from greffier.testing.issuer import MemoryIssuer

Keys = Callable[..., Result]
CREATE = ("create", "--tenant", "demo", "--use-case", "assistant")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    done = CliRunner().invoke(app, ["init", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def keys(workspace: Path) -> Keys:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments, "--workspace", str(workspace)])

    return run


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def acts(workspace: Path) -> list[Act]:
    reader = open_reader(WorkspacePaths(workspace))
    events = [parse(entry.data) for entry in reader.scan()]
    return [event for event in events if isinstance(event, Act)]


def test_create_prints_the_key_once_and_keeps_its_digest_only(keys: Keys, workspace: Path) -> None:
    created = told(keys(*CREATE, "--group", "analysts", "--role", "reader", "--label", "night batch", "--json"))
    assert re.fullmatch(KEY_PATTERN, created["key"])
    assert created["id"] in created["key"]
    assert (created["tenant"], created["use_case"], created["state"]) == ("demo", "assistant", "active")
    assert (created["groups"], created["roles"], created["label"]) == (["analysts"], ["reader"], "night batch")
    secret = created["key"].split("_")[2].encode()
    for file in workspace.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes(), file
    listed = told(keys("list", "--json"))
    assert listed == [{name: value for name, value in created.items() if name != "key"}]


def test_for_people(keys: Keys) -> None:
    created = keys(*CREATE, "--label", "[red]label[/]")
    assert created.exit_code == 0
    assert re.search(KEY_PATTERN, created.stdout)
    assert "only its hash is stored" in created.stdout
    shown = keys("list").stdout
    assert "[red]label[/]" in shown
    assert not re.search(KEY_PATTERN, shown)


def test_every_act_is_recorded(keys: Keys, workspace: Path) -> None:
    first = told(keys(*CREATE, "--json"))["id"]
    second = told(keys("rotate", first, "--overlap", "2h", "--json"))["id"]
    told(keys("revoke", second, "--reason", "found in a public repository", "--json"))
    recorded = acts(workspace)
    assert [(act.action, act.target) for act in recorded] == [
        ("key.create", f"key:{first}"),
        ("key.rotate", f"key:{first}"),
        ("key.revoke", f"key:{second}"),
    ]
    assert recorded[0].details["use_case"] == "assistant"
    assert recorded[1].details["successor"] == second
    assert recorded[2].reason == "found in a public repository"
    assert all(act.actor.startswith("os:") for act in recorded)


def test_rotation_keeps_rights_and_lifetime(keys: Keys) -> None:
    old = told(keys(*CREATE, "--group", "analysts", "--expires", "10d", "--json"))
    new = told(keys("rotate", old["id"], "--overlap", "24h", "--json"))
    assert new["key"] != old["key"]
    assert (new["groups"], new["use_case"], new["family"]) == (old["groups"], old["use_case"], old["id"])
    assert new["replaces"]["id"] == old["id"]
    states = {entry["id"]: entry["state"] for entry in told(keys("list", "--json"))}
    assert states == {old["id"]: "retiring", new["id"]: "active"}


def test_rotation_without_overlap_ends_the_old_key(keys: Keys) -> None:
    old = told(keys(*CREATE, "--json"))
    new = told(keys("rotate", old["id"], "--overlap", "0s", "--json"))
    assert [entry["id"] for entry in told(keys("list", "--json"))] == [new["id"]]
    assert len(told(keys("list", "--all", "--json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", "--tenant", "nobody", "--use-case", "assistant"), 3, "no tenant"),
        (("create", "--tenant", "demo", "--use-case", "nothing"), 3, "no use case"),
        ((*CREATE, "--expires", "90"), 2, "not a duration"),
        ((*CREATE, "--expires", "0d"), 2, "out of range"),
        ((*CREATE, "--expires", "99999d"), 2, "out of range"),
        ((*CREATE, "--expires", "٣d"), 2, "not a duration"),
        ((*CREATE, "--expires", "-1d"), 2, "not a duration"),
        ((*CREATE, "--group", "a b"), 2, "cannot be"),
        ((*CREATE, "--attribute", "department"), 2, "NAME=VALUE"),
        ((*CREATE, "--type", "robot"), 2, "kind of holder"),
        ((*CREATE, "--label", "two\nlines"), 2, "printable"),
        (("rotate", "nope"), 1, "no key with the id"),
        (("revoke", "[bold]nope[/]"), 1, "no key with the id [bold]nope[/]"),
    ],
)
def test_mistakes_are_named_and_change_nothing(
    keys: Keys, workspace: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = keys(*arguments)
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr
    assert "remedy" in result.stderr
    answer = keys(*arguments, "--json")
    assert answer.exit_code == code
    assert says in json.loads(answer.stdout)["error"]["message"]
    assert told(keys("list", "--all", "--json")) == []
    assert not WorkspacePaths(workspace).journal_db.exists() or acts(workspace) == []


def test_a_key_is_rotated_and_revoked_once(keys: Keys) -> None:
    first = told(keys(*CREATE, "--json"))["id"]
    told(keys("rotate", first, "--json"))
    assert "already replaced" in keys("rotate", first).stderr
    told(keys("revoke", first, "--json"))
    assert "is revoked" in keys("revoke", first).stderr


def test_what_cannot_be_recorded_is_not_done(keys: Keys, workspace: Path) -> None:
    journal = WorkspacePaths(workspace).journal_db
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.mkdir()
    result = keys(*CREATE)
    assert result.exit_code == 4
    assert "could not be recorded" in result.stderr
    assert not re.search(KEY_PATTERN, result.output)
    journal.rmdir()
    assert told(keys("list", "--all", "--json")) == []


def test_a_created_key_opens_the_gate(keys: Keys, workspace: Path) -> None:
    options = ("--purpose", "testing", "--attribute", "site=Wien", "--type", "agent")
    created = told(keys(*CREATE, *options, "--json"))
    context = asyncio.run(authenticate(workspace, created["key"]))
    assert context.purpose == "testing"
    assert (context.principal.type, context.principal.attributes) == ("agent", {"site": "Wien"})


async def authenticate(workspace: Path, key: str) -> RequestContext:
    clock = SystemClock()
    store = SqliteKeyStore(WorkspacePaths(workspace).state_db)
    directory = KeyDirectory(store, clock)
    await directory.start()
    tokens = TokenVerifier({}, IssuerKeys(MemoryIssuer(), clock), Pseudonyms(bytes(32)))
    arrival = Arrival("req_1", "messages", Credential("api_key", key), "127.0.0.1", clock.wall_ms(), clock.monotonic())
    ruling = await Authenticators(directory, tokens).authenticate(arrival)
    await directory.close()
    store.close()
    assert isinstance(ruling, Allow)
    return ruling.value


def test_a_key_that_no_request_will_be_allowed_with_is_issued_with_a_warning(keys: Keys) -> None:
    """The use case may be about to change; a silent one would be found out by its callers."""
    warned = keys(*CREATE, "--purpose", "marketing", "--json")
    assert warned.exit_code == 0
    assert json.loads(warned.stdout)["purpose"] == "marketing"
    assert "purpose_mismatch" in warned.stderr
    assert keys(*CREATE, "--purpose", "demonstration").stderr == ""


def test_the_log_can_be_read_on_a_narrow_terminal(keys: Keys, workspace: Path) -> None:
    told(keys(*CREATE, "--json"))
    shown = CliRunner().invoke(app, ["audit", "list", "--workspace", str(workspace)], env={"COLUMNS": "60"})
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["seq", "time", "tenant", "request", "event"]
    assert len(lines) == 2  # nothing is folded
    assert "key.create" in lines[1]


def test_completion_is_offered_once_for_the_whole_command() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
    for group in ("keys", "config", "audit", "db"):
        shown = CliRunner().invoke(app, [group, "--help"]).stdout
        assert "--install-completion" not in shown
        assert "Commands" in shown
