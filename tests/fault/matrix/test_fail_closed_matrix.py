"""The fail-closed matrix, row by row: which dependency is down, what that means by risk class, on which store.

| dependency down | high | limited | minimal |
|---|---|---|---|
| audit append | deny | spool 10 min, then deny | spool 60 min, then deny |
| bundle expired or signature bad | deny | deny | last good bundle 15 min, then deny |
| registry snapshot stale | last signed 5 min | 60 min | 24 h |
| guardrail, input or output | deny | deny | allow with a flag |
| key service | skeleton only | skeleton only | skeleton only |
| clock not synchronised | deny | mark | mark |

The same table, with the names of these tests, is in docs/guide/audit.md.
"""

from typing import Literal

import pytest
from tests.fault.matrix.conftest import VALID_DAYS, Detector, Faults, Gateway, Site

from greffier.app import front_door
from greffier.core.context import RISK_CLASSES, RiskClass

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.fixture(params=RISK_CLASSES)
def risk(request: pytest.FixtureRequest) -> RiskClass:
    found: RiskClass = request.param
    return found


async def test_with_everything_in_order_every_class_is_answered(gateway: Gateway, risk: RiskClass) -> None:
    reply = await gateway.ask(risk)
    assert reply.status == 200
    admission, outcome = gateway.records(reply.headers["x-request-id"])
    assert (admission["facts"]["risk_class"], outcome["outcome"]) == (risk, "answered")
    assert "ts_src" not in admission["facts"]


SPOOLED_S: dict[RiskClass, float] = {"high": 0, "limited": 10 * MINUTE, "minimal": 60 * MINUTE}


async def test_audit_append(gateway: Gateway, faults: Faults, risk: RiskClass) -> None:
    faults.break_journal()
    bound = SPOOLED_S[risk]
    spooled = []
    if bound:
        reply = await gateway.ask(risk)
        assert reply.status == 200
        spooled.append(reply.headers["x-request-id"])
        await gateway.let_outage_last(bound - MINUTE)
        reply = await gateway.ask(risk)
        assert reply.status == 200, "within its time"
        spooled.append(reply.headers["x-request-id"])
        await gateway.let_outage_last(2 * MINUTE)
    assert await gateway.told(risk) == "journal_unavailable"
    assert gateway.peers.external.requests == [], "no model is asked without a record"
    faults.mend()
    await gateway.recovered()
    for request_id in spooled:
        assert [event["kind"] for event in gateway.records(request_id)] == ["admission", "outcome"]
    report = gateway.acts("journal.outage")[-1]
    assert (report["details"]["spooled"], report["details"]["refused"] > 0) == (2 * len(spooled), True)
    assert await gateway.told(risk) == ""


UNVERIFIED_S: dict[RiskClass, float] = {"high": 0, "limited": 0, "minimal": 15 * MINUTE}


@pytest.mark.parametrize("why", ["signature bad", "expired"])
async def test_bundle_expired_or_signature_bad(
    site: Site, gateway: Gateway, faults: Faults, risk: RiskClass, why: Literal["signature bad", "expired"]
) -> None:
    if why == "expired":
        gateway.clock.set_wall(gateway.clock.wall_ms() + (VALID_DAYS + 1) * DAY * 1000)
    else:
        site.put_in_force(site.tampered())
    await gateway.look()
    bound = UNVERIFIED_S[risk]
    if bound:
        assert await gateway.told(risk) == "", "the last good one"
        gateway.clock.advance(bound)
        await gateway.look()
    assert await gateway.told(risk) == "snapshot_expired"
    assert gateway.peers.external.requests == []
    if why == "expired":
        gateway.clock.set_wall(gateway.clock.wall_ms() - (VALID_DAYS + 1) * DAY * 1000)
    else:
        site.put_in_force(gateway.door._snapshot.revision)
    await gateway.look()
    assert await gateway.told(risk) == ""


async def test_what_lost_its_trust_does_not_get_it_back_by_something_worse(
    site: Site, gateway: Gateway, risk: RiskClass
) -> None:
    """The operator withdraws trust, and a moment later the release cannot even be read: that is no good news."""
    good = site.revision
    site.put_in_force(site.tampered())
    await gateway.look()
    gateway.clock.advance(UNVERIFIED_S[risk])
    site.put_in_force("1" * 64)
    await gateway.look()
    assert await gateway.told(risk) == "snapshot_expired"
    assert gateway.peers.external.requests == []
    site.put_in_force(good)
    await gateway.look()
    assert await gateway.told(risk) == ""


STALE_S: dict[RiskClass, float] = {"high": 5 * MINUTE, "limited": 60 * MINUTE, "minimal": 24 * HOUR}


async def test_registry_snapshot_stale(site: Site, gateway: Gateway, faults: Faults, risk: RiskClass) -> None:
    good = site.revision
    await gateway.look()
    site.put_in_force("1" * 64)  # what the pointer names never arrived
    await gateway.look()
    gateway.clock.advance(STALE_S[risk])
    await gateway.look()
    assert await gateway.told(risk) == "", "the last signed one, within its time"
    gateway.clock.advance(1)
    assert await gateway.told(risk) == "snapshot_expired"
    assert gateway.peers.external.requests == []
    site.put_in_force(good)
    await gateway.look()
    assert await gateway.told(risk) == ""


@pytest.mark.parametrize("direction", ["input", "output"])
async def test_guardrail(
    gateway: Gateway, detector: Detector, risk: RiskClass, direction: Literal["input", "output"]
) -> None:
    detector.fails_on = "user" if direction == "input" else "output"
    gateway.peers.clear()
    reply = await gateway.ask(risk, "[[say=42 it is]] what is it?")
    asked = len(gateway.peers.external.requests)
    events = gateway.records(reply.headers["x-request-id"])
    lines = [line for event in events for line in event.get("guardrails", ())]
    flagged = [line for line in lines if line["type"] == "detector_unavailable"]
    assert flagged, "it is on record either way"
    if risk == "minimal":
        assert reply.status == 200
        assert {line["action"] for line in flagged} == {"flag"}
    else:
        assert (reply.status, reply.json()["error"]["code"]) == (503, "guardrail_unavailable")
        assert b"42 it is" not in reply.body
        assert {line["action"] for line in flagged} == {"deny"}
        assert asked == (0 if direction == "input" else 1)


async def test_key_service(gateway: Gateway, faults: Faults, risk: RiskClass) -> None:
    faults.break_keys()
    reply = await gateway.ask(risk)
    assert reply.status == 200, "no class needs content to be kept"
    admission, outcome = gateway.records(reply.headers["x-request-id"])
    parts = [*admission["parts"], *outcome["parts"]]
    assert {(part["store_id"], part["commit"]) for part in parts} == {("unavailable", "")}, "it says so"
    assert outcome["outcome"] == "answered"
    faults.mend()
    reply = await gateway.ask(risk)
    admission, _ = gateway.records(reply.headers["x-request-id"])
    assert all(part["commit"] for part in admission["parts"])


@pytest.mark.parametrize("source", ["unsynchronised", "unknown"])
async def test_clock_not_synchronised(
    gateway: Gateway, risk: RiskClass, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_door, "time_source", lambda: source)
    await gateway.look()
    gateway.peers.clear()
    reply = await gateway.ask(risk)
    facts = gateway.records(reply.headers["x-request-id"])[0]["facts"]
    assert facts["ts_src"] == source, "marked, whether it is answered or refused"
    if risk == "high":
        assert (reply.status, reply.json()["error"]["code"]) == (503, "clock_unsynchronised")
        assert gateway.peers.external.requests == []
    else:
        assert reply.status == 200
    assert gateway.acts("clock.change")[-1]["details"]["ts_src"] == source
    monkeypatch.setattr(front_door, "time_source", lambda: "synchronised")
    await gateway.look()
    assert await gateway.told(risk) == ""
