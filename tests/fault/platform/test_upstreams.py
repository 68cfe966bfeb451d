"""What becomes of a model server that is silent, endless or lies: a clear error, a record, and service goes on."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greffier.testing.peers import Peers
from greffier.testing.platform import Platform, eventually

MEMORY_KB = 60_000


def peak_memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def outcome(platform: Platform, request_id: str) -> dict[str, object]:
    admission, outcome = platform.records(request_id)
    assert (admission["kind"], outcome["kind"]) == ("admission", "outcome")
    return dict(outcome)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("[[hang]]", (504, "upstream_timeout")),
        ("[[endless]]", (502, "upstream_too_large")),
        ("[[big=100]]", (502, "upstream_too_large")),
        ("[[html]]", (502, "upstream_malformed")),
        ("[[binary]]", (502, "upstream_malformed")),
        ("[[truncate]]", (502, "upstream_malformed")),
    ],
)
def test_a_plain_answer_that_is_none(
    platform: Platform, key: str, model: str, order: str, expected: tuple[int, str]
) -> None:
    (worker,) = platform.workers()
    before = peak_memory_kb(worker)
    answer = platform.chat(key, f"{order} hello", model=model)
    assert (answer.status, answer.code) == expected
    record = outcome(platform, answer.headers["x-request-id"])
    assert (record["outcome"], record["code"]) == ("failed", expected[1])
    assert peak_memory_kb(worker) - before < MEMORY_KB
    assert platform.chat(key, "hello").status == 200


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ("[[hang]]", "upstream_timeout"),
        ("[[html]]", "upstream_malformed"),
        ("[[hang_mid]] [[chunks=40]]", "upstream_timeout"),
        ("[[endless]]", "upstream_too_large"),
        ("[[big=100]]", "upstream_too_large"),
        ("[[malformed]] [[chunks=40]]", "upstream_malformed"),
        ("[[cut]] [[chunks=40]]", "upstream_truncated"),
        ("[[truncate]] [[chunks=40]]", "upstream_truncated"),
        ("[[false_done]] [[chunks=40]]", "upstream_truncated"),
    ],
)
def test_a_stream_that_is_none(platform: Platform, key: str, model: str, order: str, code: str) -> None:
    (worker,) = platform.workers()
    before = peak_memory_kb(worker)
    answer = platform.chat(key, f"{order} hello", model=model, stream=True)
    if answer.status == 200:
        assert "[DONE]" not in answer.frames
        assert answer.frames[-1]["error"]["code"] == code
    else:
        assert answer.code == code
    record = outcome(platform, answer.headers["x-request-id"])
    assert (record["outcome"], record["code"]) == ("failed", code)
    assert peak_memory_kb(worker) - before < MEMORY_KB
    assert platform.chat(key, "hello").status == 200


def test_a_stream_without_end_is_cut_off_at_its_source(platform: Platform, key: str, model: str, peers: Peers) -> None:
    platform.chat(key, "[[endless]] hello", model=model, stream=True)
    (asked,) = peers.external.requests
    eventually(lambda: asked.aborted)


def test_a_caller_who_hangs_up_in_mid_stream_stops_the_model_and_pays_for_what_it_said(
    platform: Platform, key: str, model: str, peers: Peers
) -> None:
    content = f"[[chunks=200]] [[gap=30]] [[say={'word ' * 400}]] {time.monotonic()}"
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": content}]}).encode()
    with socket.create_connection(("127.0.0.1", platform.port), 10) as caller:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        received = b""
        while received.count(b"data: ") < 5:
            piece = caller.recv(65_536)
            assert piece, received
            received += piece
    request_id = received.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
    (asked,) = peers.external.requests
    eventually(lambda: asked.aborted)
    eventually(lambda: len(platform.records(request_id)) == 2)
    record = outcome(platform, request_id)
    assert (record["outcome"], record["rule"]) == ("cancelled", "builtin:caller-gone")
    waited = platform.records(request_id)[-1]["latency_us"] - platform.records(request_id)[-1]["overhead_us"]
    assert waited > 90_000, "waiting for the model's words is no work of ours"
    tokens = record["output_tokens"]
    assert isinstance(tokens, int)
    assert 5 <= tokens < 400
    assert record["cost_micro"] == tokens * 1000
    eventually(lambda: platform.request("GET", "/healthz").json["in_flight"] == 0)


def test_a_server_that_outlasts_every_requests_time_is_rested_like_any_that_fails(
    make: Callable[..., Platform], issued: str
) -> None:
    platform = make()
    settings = platform.workspace / "greffier.yaml"
    settings.write_text(
        settings.read_text().replace("drain_timeout_s: 10", "drain_timeout_s: 10, request_timeout_s: 0.3")
    )
    with platform:
        for stream in (False, True, False, True, False):
            answer = platform.chat(issued, "[[hang]] hello", stream=stream)
            assert (answer.status, answer.code) == (504, "upstream_timeout")
        answer = platform.chat(issued, "hello")
        assert (answer.status, answer.code) == (503, "no_healthy_deployment")
        assert int(answer.headers["retry-after"]) > 0
