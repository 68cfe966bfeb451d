"""Gateway and guard service as processes: either may die, stall or be replaced, and nothing passes unmeasured."""

import json
import signal
import time
from collections.abc import Iterator

import pytest

from greffier.testing.guard_service import RunningGuardService
from greffier.testing.peers import Peers, running_peers
from greffier.testing.platform import Answer, Platform, eventually
from greffier.testing.workspaces import File, settings, small_workspace, use_case, write_workspace

CLASSES = ["public", "internal", "personal", "payment"]
SCREENS = """
screens:
  default:
    stream: {window_chars: 64, overlap_chars: 32}
    input:
      - {id: cards, types: [CREDIT_CARD], then: redact}
      - {id: topics, types: ["topic:*"], then: deny}
    output:
      - {id: out-mail, types: [EMAIL], then: redact}
"""
CARD = "my card is 4111 1111 1111 1111"


def gateway_files(socket: object) -> dict[str, File]:
    service = {"socket": str(socket), "deadline_ms": 1500, "hedge_after_ms": 300}
    cases = [use_case(name, risk_class=name, data_classes=CLASSES) for name in ("limited", "minimal")]
    return small_workspace(settings(guardrails_service=service), *cases) | {"guardrails/screens.yaml": SCREENS}


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    yield from running_peers()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGuardService]:
    folder = write_workspace(
        tmp_path_factory.mktemp("guards"), {"greffier.yaml": settings(), "guardrails/screens.yaml": SCREENS}
    )
    with RunningGuardService(folder) as running:
        yield running


@pytest.fixture(scope="module")
def platform(
    peers: Peers, service: RunningGuardService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = write_workspace(tmp_path_factory.mktemp("gateway"), gateway_files(service.socket))
    with Platform(folder, peers.environment) as running:
        yield running


@pytest.fixture(scope="module")
def keys(platform: Platform) -> dict[str, str]:
    return {name: platform.create_key("acme", name) for name in ("limited", "minimal")}


@pytest.fixture(autouse=True)
def _well(service: RunningGuardService, peers: Peers) -> Iterator[None]:
    peers.clear()
    yield
    if service.process is None:
        service.start()
    service.signal(signal.SIGCONT)


def sent(peers: Peers) -> str:
    return b"".join(captured.body for captured in peers.external.requests).decode()


def measured(answer: Answer, peers: Peers) -> bool:
    return answer.status == 200 and "[CREDIT_CARD]" in sent(peers) and "4111" not in sent(peers)


def test_the_service_measures_and_the_gateway_redacts(platform: Platform, keys: dict[str, str], peers: Peers) -> None:
    answer = platform.chat(keys["limited"], CARD)
    assert measured(answer, peers), answer.json
    lines = platform.records(answer.headers["x-request-id"])[0]["guardrails"]
    assert [(line["type"], line["action"], line["detector"]) for line in lines] == [
        ("CREDIT_CARD", "redact", "identifiers")
    ]


def test_streams_are_screened_over_the_wire(platform: Platform, keys: dict[str, str]) -> None:
    text = "write to jane.roe@acme.example please " * 12
    answer = platform.chat(keys["limited"], text, stream=True)
    body = answer.body.decode()
    frames = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    said = "".join(c["delta"].get("content") or "" for frame in frames for c in frame.get("choices", ()))
    assert answer.status == 200
    assert "jane.roe" not in said
    assert not any("error" in frame for frame in frames)


def test_a_killed_service_refuses_by_risk_class_and_comes_back(
    platform: Platform, keys: dict[str, str], service: RunningGuardService, peers: Peers
) -> None:
    service.kill()
    refused = platform.chat(keys["limited"], CARD)
    assert (refused.status, refused.code) == (503, "guardrail_unavailable")
    assert sent(peers) == ""
    flagged = platform.chat(keys["minimal"], "hello")
    assert flagged.status == 200  # stated: minimal risk goes on, and the record says that nothing was measured
    for answer in (refused, flagged):
        lines = platform.records(answer.headers["x-request-id"])[0]["guardrails"]
        assert ("detector_unavailable", "guard_service") in [(line["type"], line["detector"]) for line in lines]
    warnings = platform.request("GET", "/healthz").json["warnings"]
    assert any("guard service does not measure" in warning for warning in warnings)
    peers.clear()
    service.start()
    assert measured(platform.chat(keys["limited"], CARD), peers)
    assert not any("guard service" in w for w in platform.request("GET", "/healthz").json["warnings"])


def test_a_stalled_service_refuses_a_stream_before_it_begins(
    platform: Platform, keys: dict[str, str], service: RunningGuardService
) -> None:
    service.signal(signal.SIGSTOP)
    answer = platform.chat(keys["limited"], "hello", stream=True)
    assert (answer.status, answer.code) == (503, "guardrail_unavailable")


def test_a_stalled_service_costs_the_deadline_and_no_more(
    platform: Platform, keys: dict[str, str], service: RunningGuardService, peers: Peers
) -> None:
    service.signal(signal.SIGSTOP)
    began = time.monotonic()
    refused = platform.chat(keys["limited"], CARD)
    assert (refused.status, refused.code) == (503, "guardrail_unavailable")
    assert time.monotonic() - began >= 1.4  # it waited for the deadline, which is 1.5 s
    assert sent(peers) == ""
    service.signal(signal.SIGCONT)
    eventually(lambda: measured(platform.chat(keys["limited"], CARD), peers))


def test_a_restarted_service_is_used_over_fresh_connections(
    platform: Platform, keys: dict[str, str], service: RunningGuardService, peers: Peers
) -> None:
    assert platform.chat(keys["limited"], "warm a connection").status == 200
    service.stop()
    service.start()
    peers.clear()
    assert measured(platform.chat(keys["limited"], CARD), peers)


def test_a_killed_gateway_leaves_the_service_to_the_next(
    platform: Platform, keys: dict[str, str], service: RunningGuardService, peers: Peers
) -> None:
    platform.kill()
    platform.process = None
    platform.start()
    eventually(lambda: platform.chat(keys["limited"], "hello").status == 200)
    peers.clear()
    assert measured(platform.chat(keys["limited"], CARD), peers)


def test_a_policy_bundle_rolls_out_to_the_service_alone(
    platform: Platform, keys: dict[str, str], service: RunningGuardService
) -> None:
    assert platform.chat(keys["limited"], "tell me about project zebra").status == 200
    topic = service.workspace / "guardrails" / "topics.yaml"
    topic.write_text("topics:\n  zebra: {title: Zebra, terms: [project zebra]}\n")
    service.signal(signal.SIGHUP)
    eventually(lambda: platform.chat(keys["limited"], "tell me about project zebra").code == "guardrail_blocked")
    topic.write_text("topics: {zebra: nonsense}\n")  # a bad bundle never replaces a good one
    service.signal(signal.SIGHUP)
    eventually(lambda: "refused" in service.log.read_text())
    assert platform.chat(keys["limited"], "tell me about project zebra").code == "guardrail_blocked"
    topic.unlink()
