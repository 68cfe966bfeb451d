"""Content goes when its time is over, under the rule that applies, and a hold that two people want keeps it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.app.privacy_desk import open_office
from greffier.app.retention import look, retention, run_once
from greffier.audit.ports import ContentUnavailable, PartLabel
from greffier.audit.settings import AuditSettings
from greffier.config.paths import WorkspacePaths
from greffier.config.settings import RetentionRule, WorkspaceSettings
from greffier.config.snapshot import Snapshot
from greffier.core.clock import SystemClock
from greffier.core.events import Act, parse
from greffier.governance.privacy.ports import NotAllowed
from greffier.governance.privacy.records import Hold
from greffier.governance.privacy.retention import Schedule
from greffier.identity.settings import TenantSettings
from greffier.storage.content_keys import EPOCH_MS
from greffier.storage.journal import open_reader
from greffier.testing.clock import ManualClock

DAY_S = 86_400


def snapshot(*rules: RetentionRule) -> Snapshot:
    workspace = WorkspaceSettings(
        schema=1,
        name="t",
        tenants={"acme": TenantSettings(title="Acme")},
        audit=AuditSettings(content_retention_days=30),
        retention=rules,
    )
    empty: dict[str, Any] = {name: {} for name in Snapshot.__struct_fields__[4:]}
    return Snapshot("r", "", 0, workspace, **empty | {"rules": ()})


def rule(name: str, days: int, **more: str) -> RetentionRule:
    return msgspec.convert({"id": name, "days": days, "reason": "because"} | more, RetentionRule)


@pytest.fixture
def paths(tmp_path: Path) -> WorkspacePaths:
    made = WorkspacePaths(tmp_path)
    made.ensure()
    made.settings.write_text("schema: 1\nname: t\nunsafe_development_mode: true\ntenants: {acme: {title: Acme}}\n")
    return made


def put(paths: WorkspacePaths, event: str, subject: str = "", purpose: str = "help", **parts: bytes) -> list[str]:
    label = PartLabel(subject, "assistant", purpose, ("personal",))
    with open_office(paths) as office:
        kept = asyncio.run(office.content.put("acme", event, parts or {"prompt": b"p"}, label))
    return [identifier for identifier, _ in kept.values()]


def acts(paths: WorkspacePaths) -> list[Act]:
    events = [parse(row.data) for row in open_reader(paths).scan()]
    return [event for event in events if isinstance(event, Act)]


def test_content_is_deleted_when_its_time_is_over_and_not_before(paths: WorkspacePaths) -> None:
    clock = ManualClock(SystemClock().wall_ms())
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 0
    (identifier,) = put(paths, "req_1")
    clock.advance(29 * DAY_S)
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 0
    clock.advance(2 * DAY_S)
    with open_office(paths) as office:
        assert [line.overdue for line, _ in look(office, snapshot(), clock.wall_ms())] == [1]
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 1
    with open_office(paths) as office:
        assert look(office, snapshot(), clock.wall_ms()) == []
        with pytest.raises(ContentUnavailable):
            office.content.get("acme", identifier)
    purged = [act for act in acts(paths) if act.action == "content.purge"]
    assert [(act.details["parts"], act.details["rule"]) for act in purged] == [(1, "audit.content_retention_days")]


def test_keys_are_turned_on_the_way(paths: WorkspacePaths) -> None:
    put(paths, "req_1", "end_user:ada")
    clock = ManualClock(SystemClock().wall_ms() + EPOCH_MS)
    asyncio.run(run_once(paths, snapshot(), clock))
    assert [act.action for act in acts(paths)] == ["key.rotate"]


@pytest.mark.parametrize(
    ("more", "days"),
    [
        ({}, 10),
        ({"purpose": "help"}, 10),
        ({"purpose": "other"}, 30),
        ({"data_class": "personal"}, 10),
        ({"data_class": "secret"}, 30),
        ({"store": "feedback"}, 30),
        ({"tenant": "globex"}, 30),
        ({"use_case": "assistant"}, 10),
    ],
)
def test_a_rule_applies_to_what_it_names(more: dict[str, str], days: int) -> None:
    schedule = Schedule([rule("r", 10, **more)], {}, 30)
    limit = schedule.limit(
        tenant="acme", use_case="assistant", purpose="help", data_classes=frozenset({"personal"}), part="prompt"
    )
    assert limit.days == days


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_the_shortest_rule_decides(days: list[int]) -> None:
    schedule = Schedule([rule(f"r{n}", value) for n, value in enumerate(days)], {}, 30)
    limit = schedule.limit(tenant="t", use_case="u", purpose="p", data_classes=frozenset(), part="answer")
    assert limit.days == min(days)


def hold(now_ms: int, **more: Any) -> Hold:
    values: dict[str, Any] = {
        "id": "hold_1",
        "tenant": "acme",
        "reason": "law suit",
        "placed_by": "os:ann:1",
        "placed_ms": now_ms,
        "approve_by_ms": now_ms + 3 * DAY_S * 1000,
        "expires_ms": now_ms + 90 * DAY_S * 1000,
    }
    return Hold(**values | more)


def test_a_hold_of_two_people_keeps_content_and_ends(paths: WorkspacePaths) -> None:
    start = SystemClock().wall_ms()
    clock = ManualClock(start)
    put(paths, "req_1", "end_user:ada")
    put(paths, "req_2", "end_user:bob")
    with open_office(paths) as office:
        office.holds.place(hold(start, subject="end_user:ada"))
        with pytest.raises(NotAllowed, match="second person"):
            office.holds.approve("hold_1", "os:ann:1", start)
        office.holds.approve("hold_1", "os:bea:2", start)
    clock.advance(31 * DAY_S)
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 1
    with open_office(paths) as office:
        (line,) = [line for line, _ in look(office, snapshot(), clock.wall_ms())]
        assert (line.overdue, line.held) == (0, 1)
    clock.advance(60 * DAY_S)
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 1


def test_a_hold_nobody_else_approves_lapses(paths: WorkspacePaths) -> None:
    start = SystemClock().wall_ms()
    clock = ManualClock(start)
    put(paths, "req_1")
    with open_office(paths) as office:
        office.holds.place(hold(start))
    clock.advance(31 * DAY_S)
    assert asyncio.run(run_once(paths, snapshot(), clock)) == 1


def test_the_release_of_a_hold_takes_two_people(paths: WorkspacePaths) -> None:
    now = SystemClock().wall_ms()
    with open_office(paths) as office:
        office.holds.place(hold(now))
        office.holds.approve("hold_1", "os:bea:2", now)
        assert office.holds.release("hold_1", "os:ann:1", now).active(now)
        with pytest.raises(NotAllowed, match="second person"):
            office.holds.release("hold_1", "os:ann:1", now)
        assert not office.holds.release("hold_1", "os:bea:2", now).active(now)


async def test_the_task_ends_with_its_block(paths: WorkspacePaths) -> None:
    async with retention(paths, snapshot):
        pass
