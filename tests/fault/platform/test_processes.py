"""Start, stop, reload: nothing in flight is lost, and what cannot be done is said plainly."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable

from greffier.testing.load import Load
from greffier.testing.peers import Peers
from greffier.testing.platform import Platform, eventually

Make = Callable[..., Platform]


def test_stopping_under_load_loses_no_request_in_flight(make: Make, peers: Peers, issued: str) -> None:
    platform = make(workers=2).start()
    with Load(platform, issued, callers=8, prompt="[[chunks=8]] [[gap=40]] [[delay=30]]") as load:
        eventually(lambda: len(load.whole) > 8)
        assert platform.stop() == 0
    assert {answer.code for answer in load.answers.values() if answer.status != 200} <= {"draining"}
    events = platform.records()
    admitted = {e["facts"]["correlation_id"] for e in events if e["kind"] == "admission"} - {""}
    assert admitted <= load.whole.keys()
    assert len([e for e in events if e["kind"] == "outcome"]) == len(admitted)
    assert [e["action"] for e in events if e["kind"] == "act"][-1] == "platform.stop"
    assert platform.command("audit", "verify").returncode == 0


def test_a_long_answer_is_finished_after_sigterm(make: Make, issued: str) -> None:
    platform = make().start()
    answers = []
    content = "[[chunks=20]] [[gap=80]] hello"
    thread = threading.Thread(target=lambda: answers.append(platform.chat(issued, content, stream=True)))
    thread.start()
    time.sleep(0.5)
    assert platform.stop() == 0
    thread.join()
    assert answers[0].frames[-1] == "[DONE]"


def test_an_answer_that_is_too_long_to_wait_for_ends_with_an_error(make: Make, issued: str) -> None:
    platform = make()
    settings = platform.workspace / "greffier.yaml"
    settings.write_text(settings.read_text().replace("drain_timeout_s: 10", "drain_timeout_s: 0.5"))
    models = platform.workspace / "models" / "models.yaml"
    models.write_text(re.sub(r'"(first_token|total)_s": \d', r'"\1_s": 60', models.read_text()))
    platform.start()
    answers = []
    content = "[[chunks=4000]] [[gap=80]] hello"
    thread = threading.Thread(target=lambda: answers.append(platform.chat(issued, content, stream=True)))
    thread.start()
    eventually(lambda: platform.request("GET", "/healthz").json["in_flight"] == 1)
    assert platform.stop() == 0
    thread.join()
    assert answers[0].frames[-1]["error"]["code"] == "draining"
    record = platform.records(answers[0].headers["x-request-id"])[-1]
    assert (record["outcome"], record["code"], record["rule"]) == ("cancelled", "draining", "gateway.drain")
    assert "Exception" not in platform.log.read_text()


def test_sighup_reloads_and_acts_are_on_record(make: Make) -> None:
    platform = make(workers=2).start()
    assert platform.process is not None
    before = platform.request("GET", "/healthz").json["snapshot"]
    path = platform.workspace / "use_cases" / "assistant.yaml"
    path.write_text(path.read_text().replace("title: Assistant", "title: Renamed"))
    os.kill(platform.process.pid, signal.SIGHUP)
    eventually(lambda: platform.request("GET", "/healthz").json["snapshot"] != before)
    after = platform.request("GET", "/healthz").json["snapshot"]

    def activated() -> list[tuple[str, int]]:
        acts = [event for event in platform.records() if event.get("action") == "snapshot.activate"]
        return sorted((act["target"], act["details"]["worker"]) for act in acts)

    eventually(lambda: len(activated()) == 4)
    assert activated() == sorted((digest, worker) for digest in (before, after) for worker in (0, 1))
    start = next(event for event in platform.records() if event.get("action") == "platform.start")
    assert start["actor"].startswith("os:")
    assert start["target"] == before


def test_a_port_that_is_taken_is_named(make: Make) -> None:
    platform = make()
    with socket.create_server(("127.0.0.1", platform.port)):
        code, said = platform.refusal()
    assert code == 4
    assert f"cannot listen on 127.0.0.1:{platform.port}: Address already in use" in said
    assert "Traceback" not in said


def test_one_workspace_has_one_platform(platform: Platform) -> None:
    second = Platform(platform.workspace)
    second.log = platform.workspace / ".greffier" / "run" / "second.log"
    second.port += 1
    code, said = second.refusal()
    assert code == 4
    assert "another gateway serves this workspace already" in said
    assert platform.request("GET", "/readyz").status == 200
