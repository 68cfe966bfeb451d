"""Two gateways on two machines, one database: they decide for each other, and one of them supplies the sinks."""

import json
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from greffier.app.stores import administration_of, open_reader
from greffier.cli.review import app
from greffier.config.paths import WorkspacePaths
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Answer, Platform, eventually
from greffier.testing.postgres_server import PostgresServer
from greffier.testing.workspaces import settings, small_workspace, use_case, write_workspace

HELD = "Please send the salary list to the works council"
SCREENS = """
screens:
  held:
    review_wait_s: 60
    input:
      - {id: payroll, types: ["topic:payroll"], then: escalate}
topics:
  payroll: {title: Payroll, terms: [salary list]}
"""
SETTINGS = settings(
    server={"drain_timeout_s": 5},
    sinks={"archive": {"kind": "file", "path": "out/events.json"}},
    storage={"url": "env:GATEWAY_URL", "admin_url": "env:OWNER_URL"},
)
FILES = small_workspace(SETTINGS, use_case(screen="held")) | {"guardrails/screens.yaml": SCREENS}


class Machines:
    """Two workspaces with the same files and keys, each with a gateway of its own."""

    def __init__(self, first: Platform, second: Platform, key: str) -> None:
        self.first = first
        self.second = second
        self.key = key

    def review(self, machine: Platform, *arguments: str) -> Any:
        """Run ``greffier review`` on a machine."""
        done = CliRunner().invoke(app, [*arguments, "--json", "--workspace", str(machine.workspace)])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


class Call:
    """A call that waits for its answer in a thread."""

    def __init__(self, machine: Platform, key: str, text: str) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(machine.chat(key, text)))
        self._thread.start()

    def answer(self) -> Answer:
        """The answer, waited for."""
        self._thread.join(90)
        return self._answers[0]


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="module")
def machines(server: PostgresServer, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    name = server.database()
    folder = tmp_path_factory.mktemp("machines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_URL", server.url(name, "gateway"))
        patch.setenv("OWNER_URL", server.url(name))
        write_workspace(folder / "first", FILES)
        database = administration_of(WorkspacePaths(folder / "first"))
        assert database is not None
        database.upgrade()
        first = Platform(folder / "first", peers.environment)
        key = first.create_key("acme", "assistant")
        with first:
            shutil.copytree(folder / "first", folder / "second", ignore=shutil.ignore_patterns(".greffier"))
            one, other = WorkspacePaths(folder / "first"), WorkspacePaths(folder / "second")
            shutil.copytree(one.secrets, other.secrets)
            shutil.copytree(one.run / "automata", other.run / "automata")  # saves compiling them once more
            with Platform(folder / "second", peers.environment) as second:
                yield Machines(first, second, key)


def test_a_call_held_on_one_machine_goes_on_when_a_reviewer_decides_at_the_other(machines: Machines) -> None:
    for decision, expected in (("approve", 200), ("reject", 403)):
        call = Call(machines.second, machines.key, f"{HELD}, {decision}")
        eventually(lambda: bool(machines.review(machines.first, "list")), within_s=30)
        (waiting,) = machines.review(machines.first, "list")
        shown = machines.review(machines.first, "show", waiting["id"], "--full")
        assert shown["input"]["messages"][0]["content"] == f"{HELD}, {decision}", "what was said is read there too"
        machines.review(machines.first, decision, waiting["id"], "--reason", "because")
        answer = call.answer()
        assert (answer.status, answer.headers["x-greffier-review"]) == (expected, waiting["id"])
        status = machines.first.request("GET", f"/v1/reviews/{waiting['id']}", key=machines.key)
        assert status.json["used"] is (expected == 200), "either machine tells the caller what became of it"


def test_a_failover_of_the_database_is_no_decision(machines: Machines, server: PostgresServer) -> None:
    call = Call(machines.second, machines.key, f"{HELD}, all of it")
    eventually(lambda: bool(machines.review(machines.first, "list")), within_s=30)
    (waiting,) = machines.review(machines.first, "list")
    server.stop("immediate")
    server.start()
    machines.review(machines.first, "approve", waiting["id"], "--reason", "because")
    assert call.answer().status == 200


def shipped(machine: Platform) -> list[int]:
    """Sequence numbers of what a machine has put into the archive."""
    file = machine.workspace / "out" / "events.json"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["metadata"]["sequence"] for line in lines]


def size(machine: Platform) -> int:
    reader = open_reader(WorkspacePaths(machine.workspace))
    try:
        return reader.size()
    finally:
        reader.close()


def test_one_machine_supplies_the_sinks_and_the_other_goes_on_when_it_stops(machines: Machines) -> None:
    both = (machines.first, machines.second)

    def arrived() -> list[int]:
        return [seq for machine in both for seq in shipped(machine)]

    for machine in both:
        assert machine.chat(machines.key, "hello").status == 200
    eventually(lambda: max(arrived(), default=0) == size(machines.first), within_s=30)
    supplier, other = sorted(both, key=lambda machine: max(shipped(machine), default=0), reverse=True)
    before = size(other)
    supplier.stop()
    assert other.chat(machines.key, "hello").status == 200
    eventually(lambda: max(shipped(other), default=0) == size(other), within_s=30)
    assert set(arrived()) == set(range(1, size(other) + 1))
    handed_over = [seq for seq in arrived() if seq > before]
    assert len(handed_over) == len(set(handed_over)), "what one has shipped, the other does not ship again"
