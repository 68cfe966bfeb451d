"""``kill -9`` at any moment: no acknowledged record is lost, the log verifies, and service goes on."""

import os
import re
import signal
import time
from collections.abc import Callable

from greffier.testing.load import Load
from greffier.testing.peers import Peers
from greffier.testing.platform import Platform, eventually

Make = Callable[..., Platform]
ORDERS = "[[chunks=6]] [[gap=4]] [[delay=8]]"
SENT = re.compile(r"ask (\S+-\d+)\.")


def check_evidence(platform: Platform, peers: Peers, load: Load) -> None:
    """Hold the journal to its word for everything that callers and the model saw."""
    events = platform.records()
    admitted = {event["facts"].get("correlation_id") for event in events if event["kind"] == "admission"}
    recorded = {event["request_id"] for event in events if event["kind"] == "outcome"}
    assert len(load.whole) > 20
    for name, answer in load.whole.items():
        assert name in admitted
        assert answer.headers["x-request-id"] in recorded
    asked = [SENT.search(request.json["messages"][-1]["content"]) for request in peers.external.requests]
    assert {match[1] for match in asked if match} <= admitted


def check_log(platform: Platform) -> None:
    verified = platform.command("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_worker_killed_under_load_again_and_again(make: Make, peers: Peers, issued: str) -> None:
    platform = make(workers=2).start()
    with Load(platform, issued, prompt=ORDERS) as load:
        for _ in range(2):
            time.sleep(0.5)
            doomed = platform.workers()[0]
            os.kill(doomed, signal.SIGKILL)
            eventually(lambda gone=doomed: gone not in platform.workers())  # type: ignore[misc]
            for _ in range(10):  # the other worker serves meanwhile
                assert platform.chat(issued, "hello").status == 200
            eventually(lambda: len(platform.workers()) == 2, 20)
    refused = {answer.code for answer in load.answers.values() if answer.status != 200}
    assert refused == set()
    assert platform.stop() == 0
    check_evidence(platform, peers, load)
    check_log(platform)
    restarts = [event for event in platform.records() if event.get("action") == "worker.restart"]
    assert [event["details"]["exit_code"] for event in restarts] == [-9] * 2


def test_the_whole_platform_killed_under_load(make: Make, peers: Peers, issued: str) -> None:
    platform = make(workers=2)
    loads = []
    for name in ("first", "second"):
        platform.start()
        with Load(platform, issued, prompt=ORDERS, name=name) as load:
            eventually(lambda load=load: len(load.whole) > 30, 20)  # type: ignore[misc]
            platform.kill()
        loads.append(load)
    platform.start()
    assert platform.chat(issued, "hello").status == 200
    assert platform.stop() == 0
    for load in loads:
        check_evidence(platform, peers, load)
    check_log(platform)


def test_workers_whose_parent_is_killed_finish_and_leave(make: Make, peers: Peers) -> None:
    platform = make().start()
    (worker,) = platform.workers()
    assert platform.process is not None
    os.kill(platform.process.pid, signal.SIGKILL)
    platform.process.wait()
    platform.process = None

    def gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{worker}/stat") as stat:  # noqa: PTH123 - a zombie nobody reaps counts as gone
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"

    eventually(gone)
    assert platform.start().request("GET", "/readyz").status == 200
