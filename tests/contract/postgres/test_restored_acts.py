"""After a restore, what people did since the copy is named, and nothing is served before it was seen to (ADR 0136)."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from tests.contract.postgres.conftest import STORAGE, Depot
from tests.fault.platform.conftest import write_workspace

from greffier.adapters.signers.checkpoint_file import known_verifiers
from greffier.app.privacy_desk import open_office, references_of
from greffier.app.reconciling import missing
from greffier.app.stores import open_content, open_keys
from greffier.audit.lost import lost_from
from greffier.audit.ports import PartLabel
from greffier.audit.proofs import newest
from greffier.audit.tiles import BadLog, TileStore, encode_bundle
from greffier.storage.journal import SqliteJournalReader
from greffier.testing.platform import Platform
from greffier.testing.postgres_server import PostgresServer

Store = Literal["sqlite", "postgresql"]
ENVIRONMENT = {"EXTERNAL_URL": "http://127.0.0.1:9/v1"}


class Site(Depot):
    """A workspace, and what people do in it."""

    def __init__(self, root: Path, settings: str) -> None:
        super().__init__(write_workspace(root, settings=settings))

    def objects(self, who: str, verb: str = "object") -> str:
        more = ("--kind", "objection") if verb == "lift" else ()
        lines = self.run("privacy", verb, "--tenant", "acme", "--end-user", who, "--reason", "a letter", *more)
        return str(lines[0]["subject"])

    def lost_actions(self) -> list[str]:
        return [act["action"] for act in self.run("restore", "missing", code=1)["open"]]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.param
    return found


@pytest.fixture
def site(store: Store, name: str, point: Callable[[str], None], tmp_path: Path) -> Site:
    point(name)
    return Site(tmp_path / "w", STORAGE if store == "postgresql" else "")


def test_what_people_did_after_the_copy_is_named_entered_again_or_settled(
    site: Site, store: Store, server: PostgresServer, point: Callable[[str], None], tmp_path: Path
) -> None:
    key = site.run("keys", "create", "--tenant", "acme", "--use-case", "assistant")["id"]
    bob = site.objects("bob")
    site.append(300)  # more than one entry bundle
    site.seal()
    site.run("db", "backup", str(tmp_path / "copy"))
    site.append(300)
    carl = site.objects("carl")
    site.objects("dora")
    site.objects("dora", "lift")
    site.run("keys", "revoke", key, "--reason", "leaked")
    site.run("privacy", "hold", "place", "--tenant", "acme", "--use-case", "assistant", "--reason", "a dispute")
    opened = site.run("incident", "open", "--title", "A list was sent to the wrong office")["id"]
    site.run("incident", "list")  # reading changes nothing
    site.seal()
    if store == "sqlite":
        unsealed = [site.objects("emil")]  # the command line needs no sealer: this is in the journal only
    else:
        unsealed = []
        point(server.database())
    restored = site.run("db", "restore", str(tmp_path / "copy"))

    expected = ["objection.enter", "objection.enter", "objection.lift", "key.revoke", "hold.place", "incident.open"]
    assert restored["acts_missing"] == len(expected) + len(unsealed)
    assert site.lost_actions() == [*expected, *["objection.enter" for _ in unsealed]]
    acts = {act["action"]: act for act in site.run("restore", "missing", code=1)["open"]}
    assert acts["incident.open"]["target"] == f"incident:{opened}"
    assert acts["hold.place"]["details"]["use_case"] == "assistant"

    platform = Platform(site.paths.root, ENVIRONMENT)
    code, said = platform.refusal()
    assert code != 0
    assert "greffier restore missing" in said
    assert "Traceback" not in said

    entered = site.run("restore", "enter")
    left = ["objection.enter", "objection.lift", "hold.place", "incident.open"]
    assert [act["action"] for act in entered["open"]] == left, "dora's say is for a person to tell"
    with open_office(site.paths) as office:
        for person in (bob, carl, *unsealed):
            assert [line.active for line in office.ledger.lines("acme", person)] == [True]
    keys = open_keys(site.paths)
    (record,) = [record for record in keys.list() if record.id == key]
    assert record.revoked_ms is not None
    keys.close()
    assert site.run("restore", "enter")["entered"] == [], "once"

    site.run("restore", "settle", "evt_unknown", "--reason", "x", code=2)
    first, *others = [act["id"] for act in entered["open"]]
    assert site.run("restore", "settle", first, "--reason", "entered by hand")["open"] == len(others)
    site.run("restore", "settle", "--all", "--reason", "entered by hand")
    assert site.run("restore", "missing")["open"] == []
    with platform:
        assert platform.request("GET", "/healthz").status == 200


def test_an_act_that_could_not_be_entered_stays_missing(tmp_path: Path) -> None:
    """The record says "entered" only of what was: else an objection would be lost for good by a fault in between."""
    site = Site(tmp_path / "w", "")
    site.objects("bob")
    site.seal()
    site.run("db", "backup", str(tmp_path / "copy"))
    carl = site.objects("carl")
    site.seal()
    site.run("db", "restore", str(tmp_path / "copy"))
    with sqlite3.connect(site.paths.privacy_db) as ledger:
        ledger.execute("CREATE TRIGGER full BEFORE INSERT ON privacy_ledger BEGIN SELECT RAISE(ABORT, 'full'); END")
    site.run("restore", "enter", code=1)
    assert site.lost_actions() == ["objection.enter"]
    with sqlite3.connect(site.paths.privacy_db) as ledger:
        ledger.execute("DROP TRIGGER full")
    site.run("restore", "enter")
    assert site.run("restore", "missing")["open"] == []
    with open_office(site.paths) as office:
        assert [line.active for line in office.ledger.lines("acme", carl)] == [True]


def test_a_database_that_another_tool_set_back_is_noticed_by_the_log_beside_it(
    server: PostgresServer, name: str, point: Callable[[str], None], tmp_path: Path
) -> None:
    point(name)
    site = Site(tmp_path / "w", STORAGE)
    site.append(10)
    site.seal()
    older = server.database(template=name)  # as a point-in-time recovery would leave it
    site.append(10)
    site.objects("carl")
    site.seal()
    assert missing(site.paths) == []
    point(older)
    assert site.lost_actions() == ["objection.enter"]
    site.append(300)  # gateways wrote on before anyone looked: the numbers are taken by other events now
    assert site.lost_actions() == ["objection.enter"]
    site.run("restore", "enter")
    assert site.run("restore", "missing")["open"] == []


def test_a_log_somebody_shortened_is_not_believed(tmp_path: Path) -> None:
    site = Site(tmp_path / "w", "")
    site.append(10)
    site.seal()
    site.run("db", "backup", str(tmp_path / "copy"))
    site.objects("carl")
    site.append(300)
    site.seal()
    site.run("db", "restore", str(tmp_path / "copy"))
    (aside,) = site.paths.replaced.glob("*")
    store = TileStore(aside / "log")
    bundle = store.path("entries", 0)
    entries = store.bundle(0, 256)
    position = next(at for at, entry in enumerate(entries) if b"objection.enter" in entry)
    entries[position] = entries[position].replace(b"objection.enter", b"objection.xnter")
    bundle.write_bytes(encode_bundle(entries))
    reader = SqliteJournalReader(site.paths.journal_db)
    sealed = newest(store, known_verifiers(site.paths))
    assert sealed is not None
    with pytest.raises(BadLog, match="entry bundle 0"):
        lost_from(store, sealed, reader)
    reader.close()
    assert "cannot be believed" in site.run("restore", "missing", code=1)["error"]["message"]
    code, said = Platform(site.paths.root, ENVIRONMENT).refusal()
    assert code != 0
    assert "cannot be told" in said


def test_an_erasure_reaches_what_a_restore_set_aside(tmp_path: Path) -> None:
    site = Site(tmp_path / "w", "")
    site.append(1)
    content = open_content(site.paths)
    (person,) = references_of(site.paths, "acme", end_users=("carl",))
    label = PartLabel(subject=person, use_case="assistant")
    asyncio.run(content.put("acme", "req_1", {"prompt": b"carl was here"}, label))
    content.close()
    site.run("db", "backup", str(tmp_path / "copy"), "--content-keys", str(tmp_path / "keys"))
    site.run("db", "restore", str(tmp_path / "copy"), "--content-keys", str(tmp_path / "keys"))
    aside = {file.name for file in site.paths.replaced.glob("*/*")}
    assert {"content.db", "content-keys.db"} <= aside
    request = site.run("dsr", "open", "--type", "erase", "--tenant", "acme", "--end-user", "carl")["id"]
    site.run("dsr", "identify", request, "--how", "a passport was seen")
    assert site.run("dsr", "run", request)["state"] == "done"
    left = {file.name.partition("-wal")[0] for file in site.paths.replaced.glob("*/*")}
    assert not left & {"content.db", "content-keys.db", "state.db"}
    assert {"journal.db", "log"} & left
