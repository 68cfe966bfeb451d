"""An erasure that is killed at any step is resumed to the same end: nothing of the person is left, the ledger whole."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greffier.app.privacy_desk import Office, open_office, replay_erasures
from greffier.app.stores import open_reader
from greffier.audit.ports import PartLabel
from greffier.config.paths import WorkspacePaths
from greffier.config.settings import WorkspaceSettings
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.events import Act, parse
from greffier.governance.privacy.handling import Handler, digest, new_request_id, person_of
from greffier.governance.privacy.ports import NotAllowed, SubjectRequests
from greffier.governance.privacy.records import Hold, SubjectRequest
from greffier.identity.keys import issue_key
from greffier.identity.settings import TenantSettings

ADA, BOB = "end_user:ada", "end_user:bob"
CANARY = b"canary: Ada lives in Ulm"
_STEPS = 40  # more than there are


def snapshot() -> Snapshot:
    workspace = WorkspaceSettings(schema=1, name="t", tenants={"acme": TenantSettings(title="Acme")})
    empty: dict[str, Any] = {name: {} for name in Snapshot.__struct_fields__[4:]}
    return Snapshot("r", "", 0, workspace, **empty | {"rules": ()})


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path)
    made.ensure()
    (tmp_path / "greffier.yaml").write_text(
        "schema: 1\nname: t\nunsafe_development_mode: true\ntenants: {acme: {title: A}}\n"
    )
    return made


@pytest.fixture
def office(paths: WorkspacePaths) -> Iterator[Office]:
    with open_office(paths) as opened:
        yield opened


def fill(office: Office) -> SubjectRequest:
    """Content of two people, a mention of one in the other's, a key, and a request that is ready to run."""

    def put(subject: str, event: str, text: bytes) -> str:
        label = PartLabel(subject, "assistant", "help", ("personal",))
        return asyncio.run(office.content.put("acme", event, {"prompt": text}, label))["prompt"][0]

    put(ADA, "req_1", CANARY)
    put(ADA, "req_2", CANARY)
    put(BOB, "req_3", b"only Bob")
    mention = put(BOB, "req_4", b"Bob on " + CANARY)
    now = SystemClock().wall_ms()
    issued = issue_key(
        tenant="acme",
        use_case="assistant",
        created_ms=now,
        expires_ms=now + 86_400_000,
        principal_type="user",
        groups=(),
        roles=(),
        purpose=None,
        attributes={},
        label="Ada of canary street",
    )
    office.keys.create(issued.record)
    request = SubjectRequest(
        id=new_request_id(),
        type="erase",
        tenant="acme",
        state="identified",
        received_ms=now,
        due_ms=now + 1,
        law="test",
        opened_by="os:ann:1",
        refs=(ADA, f"key:{issued.record.id}"),
        parts=(mention,),
        identity_check="known in person",
    )
    office.requests.add(request)
    return request


class Killed:
    """Requests whose keeper is killed: what a step did is done, and the note of it is lost."""

    def __init__(self, real: SubjectRequests, survives: int) -> None:
        self._real = real
        self._left = survives

    def save(self, request: SubjectRequest, was: SubjectRequest) -> None:
        if self._left == 0:
            os._exit(9)
        self._left -= 1
        self._real.save(request, was)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def run(paths: WorkspacePaths, request_id: str, survives: int | None = None) -> SubjectRequest:
    with open_office(paths) as office:
        desk = office.desk(snapshot())
        if survives is not None:
            desk = msgspec.structs.replace(desk, requests=Killed(office.requests, survives))
        return Handler(desk).run(office.requests.get(request_id))


def in_child(paths: WorkspacePaths, request_id: str, survives: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            run(paths, request_id, survives)
        except BaseException:  # noqa: BLE001 - the child must never return into pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files_with(paths: WorkspacePaths, *needles: bytes) -> list[str]:
    files = [path for path in paths.state.rglob("*") if path.is_file()]
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_an_erasure_killed_at_every_step_ends_where_one_that_was_never_killed_does(paths: WorkspacePaths) -> None:
    with open_office(paths) as office:
        request = fill(office)
        sealed = _sealed(office, ADA)
    kills = 0
    for _ in range(_STEPS):  # each run gets one step further than the last one
        code = in_child(paths, request.id, survives=1 if kills else 0)
        if code == 0:
            break
        assert code == 9
        kills += 1
    assert kills >= 15
    with open_office(paths) as office:
        done = office.requests.get(request.id)
        assert (done.state, done.refs, done.parts) == ("done", (), ())
        names = [step.name for step in done.steps]
        assert len(names) == len(set(names))
        assert office.content.of_subject("acme", ADA) == []
        assert office.content.owners() == [("acme", BOB)]
        assert [part.event_id for part in office.content.of_subject("acme", BOB)] == ["req_3"]
        assert [line.kind for line in office.erasures.lines(0)] == ["subject", "subject", "part"]  # not once per try
        assert office.content.applied() == 3
        standing: dict[tuple[str, str], bool] = {}
        for line in office.ledger.lines("acme", ADA):
            standing[line.kind, line.origin] = line.active
        assert standing == {("restriction", request.id): False}
    assert files_with(paths, *sealed, b"canary street") == []
    events = [parse(row.data) for row in open_reader(paths).scan()]
    certified = [e for e in events if isinstance(e, Act) and e.action == "dsr.certificate"]
    assert {act.details["digest"] for act in certified} == {digest(done.outcome)}


def _sealed(office: Office, subject: str) -> list[bytes]:
    wanted = {part.id for part in office.content.of_subject("acme", subject)}
    path = office.paths.content_db
    with sqlite3.connect(path) as connection:
        return [row[1] for row in connection.execute("SELECT id, sealed FROM part") if row[0] in wanted]


def test_a_store_nobody_answers_for_fails_the_request_loudly(paths: WorkspacePaths, office: Office) -> None:
    request = fill(office)
    with sqlite3.connect(paths.state / "notes.db") as connection:
        connection.execute("CREATE TABLE memo (text)")
    (paths.state / "exports").mkdir()
    with pytest.raises(NotAllowed, match=r"no connector answers for exports, notes\.db:memo"):
        run(paths, request.id)
    assert len(office.content.of_subject("acme", ADA)) == 2


def test_an_unchecked_identity_and_a_hold_stop_a_request_before_anything_is_deleted(
    paths: WorkspacePaths, office: Office
) -> None:
    request = fill(office)
    unchecked = msgspec.structs.replace(request, identity_check="")
    office.requests.save(unchecked, request)
    with pytest.raises(NotAllowed, match="identity"):
        run(paths, request.id)
    office.requests.save(request, unchecked)
    now = SystemClock().wall_ms()
    office.holds.place(
        Hold(
            id="hold_1",
            tenant="acme",
            reason="suit",
            placed_by="os:ann:1",
            placed_ms=now,
            approve_by_ms=now + 1_000_000,
            expires_ms=now + 2_000_000,
        )
    )
    with pytest.raises(NotAllowed, match="hold_1"):
        run(paths, request.id)
    assert office.requests.get(request.id).state == "identified"  # still open for exceptions and refusal
    assert len(office.content.of_subject("acme", ADA)) == 2


def test_content_an_answer_under_way_stored_after_the_deletion_is_found_by_the_verification(
    paths: WorkspacePaths, office: Office
) -> None:
    request = fill(office)
    assert in_child(paths, request.id, survives=6) == 9  # deleted, not yet verified
    label = PartLabel(ADA, "assistant", "help", ("personal",))
    asyncio.run(office.content.put("acme", "req_9", {"answer": CANARY}, label))
    assert run(paths, request.id).state == "done"
    assert office.content.of_subject("acme", ADA) == []


def test_the_mark_waits_for_an_erasure_that_is_still_under_way(paths: WorkspacePaths, office: Office) -> None:
    """Else a backup made in between would bring back, unnoticed, who was not erased yet when it was made."""
    first, second = fill(office), fill(office)
    assert in_child(paths, first.id, survives=3) == 9  # buried, not settled
    assert any(step.name == "bury" for step in office.requests.get(first.id).steps)
    run(paths, second.id)
    assert office.content.applied() == 0
    run(paths, first.id)
    assert office.content.applied() == office.erasures.newest()


def test_what_an_exception_keeps_is_kept_whole_and_no_longer_as_the_persons(
    paths: WorkspacePaths, office: Office
) -> None:
    request = fill(office)
    office.requests.save(msgspec.structs.replace(request, exceptions=("17(3)(e): suit",), kept=("req_2",)), request)
    (part,) = office.content.of_event("acme", "req_2")
    _, commit = office.content.get("acme", part.id)
    done = run(paths, request.id)
    assert (done.outcome["kept_parts"], done.outcome["exceptions"]) == (1, ["17(3)(e): suit"])
    assert office.content.get("acme", part.id) == (CANARY, commit)
    assert office.content.of_subject("acme", ADA) == []


@pytest.mark.parametrize(
    ("about", "stands"),
    [
        ({"subject": ADA}, True),
        ({"subject": BOB}, True),  # what Bob said about her would be deleted with her
        ({"subject": "end_user:eve"}, False),
        ({"use_case": "assistant"}, True),
        ({"use_case": "other"}, False),
        ({"request_id": "req_2"}, True),
        ({"request_id": "req_3"}, False),
        ({"tenant": "globex"}, False),
        ({}, True),
    ],
)
def test_a_hold_stands_against_what_it_covers(office: Office, about: dict[str, str], stands: bool) -> None:
    request = fill(office)
    now = SystemClock().wall_ms()
    values: dict[str, Any] = {
        "id": "hold_1",
        "tenant": "acme",
        "reason": "suit",
        "placed_by": "os:ann:1",
        "placed_ms": now,
        "approve_by_ms": now + 1_000_000,
        "expires_ms": now + 2_000_000,
    }
    office.holds.place(Hold(**values | about))
    assert office.held(person_of(request)) == (["hold_1"] if stands else [])


def test_a_restored_key_store_is_cleaned_too(paths: WorkspacePaths) -> None:
    with open_office(paths) as office:
        request = fill(office)
    saved = {name: (paths.state / name).read_bytes() for name in ("state.db", "content.db", "content-keys.db")}
    run(paths, request.id)
    for name, data in saved.items():
        (paths.state / name).write_bytes(data)
    assert files_with(paths, b"canary street") == ["state.db"]
    assert replay_erasures(paths) == 3  # Ada's content, what Bob said about her, and her API key
    assert replay_erasures(paths) == 0
    assert files_with(paths, b"canary street") == []
    with open_office(paths) as office:
        assert office.content.owners() == [("acme", BOB)]
