"""No evidence, no answer: a journal that cannot write stops requests before the model, and lets them on afterwards."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.fault.platform.conftest import write_workspace

from greffier.testing.peers import Peers
from greffier.testing.platform import Answer, Platform, eventually


def ask_anthropic(platform: Platform, key: str) -> Answer:
    body: dict[str, Any] = {"model": "assistant", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    return platform.request("POST", "/v1/messages", body, headers={"x-api-key": key})


def check_refusals(platform: Platform, key: str, peers: Peers) -> None:
    """Each dialect gets its own shape of the same refusal, and no model is asked."""
    peers.clear()
    openai = platform.chat(key, "hello")
    assert (openai.status, openai.code) == (503, "journal_unavailable")
    assert int(openai.headers["retry-after"]) > 0
    streamed = platform.chat(key, "hello", stream=True)
    assert (streamed.status, streamed.code) == (503, "journal_unavailable")
    anthropic = ask_anthropic(platform, key)
    assert anthropic.status == 503
    assert anthropic.json["type"] == "error"
    assert anthropic.json["error"]["type"] == "overloaded_error"
    assert b"journal_unavailable" in anthropic.body
    assert peers.external.requests == []


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"this test needs the right to mount a small file system: {done.stderr}"
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def strict(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose use case is of high risk: nothing of it may be spooled."""
    settings = "audit: {append_timeout_ms: 500}\n"
    workspace = write_workspace(tmp_path_factory.mktemp("strict"), settings=settings, risk="high")
    with Platform(workspace, peers.environment) as running:
        yield running


@pytest.fixture(scope="module")
def strict_key(strict: Platform) -> str:
    return strict.create_key("acme", "assistant")


@pytest.mark.parametrize("risk", ["high", "limited"])
def test_a_full_disk_refuses_until_there_is_room_again(peers: Peers, tmp_path: Path, risk: str) -> None:
    """A spool on the same disk does not help there, and does not pretend to."""
    workspace = write_workspace(tmp_path / "workspace", risk=risk)
    with small_disk(workspace / ".greffier", 16), Platform(workspace, peers.environment) as platform:
        key = platform.create_key("acme", "assistant")
        assert platform.chat(key, "hello").status == 200
        filler = workspace / ".greffier" / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65_536)
        answered = []
        for _ in range(200):  # what the files have set aside is used up first
            answer = platform.chat(key, "hello")
            if answer.status == 503:
                break
            answered.append(answer.headers["x-request-id"])
        check_refusals(platform, key, peers)
        assert platform.request("GET", "/healthz").status == 200
        assert platform.request("GET", "/metrics").status == 200
        filler.unlink()
        eventually(lambda: platform.chat(key, "hello").status == 200)
        eventually(lambda: not platform.request("GET", "/healthz").json["journal"]["spooled_events"], 60)
        for request_id in answered:
            assert [event["kind"] for event in platform.records(request_id)] == ["admission", "outcome"]
        eventually(lambda: platform.command("audit", "verify").returncode == 0, 60)
        assert platform.stop() == 0


def test_what_was_spooled_beside_a_stalled_journal_survives_a_kill_and_is_there_once(
    peers: Peers, tmp_path: Path
) -> None:
    """Limited risk goes on for its time, whatever becomes of the process; nothing is lost and nothing doubled."""
    workspace = write_workspace(tmp_path / "workspace", settings="audit: {append_timeout_ms: 1000}\n")
    platform = Platform(workspace, peers.environment, workers=2).start()
    key = platform.create_key("acme", "assistant")
    assert platform.chat(key, "hello").status == 200
    with contextlib.closing(sqlite3.connect(workspace / ".greffier" / "journal.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN EXCLUSIVE")
        answers = [platform.chat(key, "hello") for _ in range(6)]
        assert {answer.status for answer in answers} == {200}
        warnings = platform.request("GET", "/healthz").json["warnings"]
        assert any("locked by another program" in warning for warning in warnings)
        platform.kill()
    spools = (workspace / ".greffier" / "spool").glob("*.spool")
    copy = next(file.read_bytes() for file in spools if file.stat().st_size)
    with platform:
        eventually(lambda: not platform.request("GET", "/healthz").json["journal"]["spooled_events"], 60)
        for answer in answers:
            kinds = [event["kind"] for event in platform.records(answer.headers["x-request-id"])]
            assert kinds == ["admission", "outcome"]
    # The same spool once more, as if the worker had died before it could empty the file.
    (workspace / ".greffier" / "spool" / "again.spool").write_bytes(copy)
    with platform:
        eventually(lambda: not (workspace / ".greffier" / "spool" / "again.spool").exists(), 60)
        for answer in answers:
            assert len(platform.records(answer.headers["x-request-id"])) == 2
        eventually(lambda: platform.command("audit", "verify").returncode == 0, 60)


def test_a_stalled_journal_refuses_until_it_moves_again(strict: Platform, strict_key: str, peers: Peers) -> None:
    platform, key = strict, strict_key
    assert platform.chat(key, "hello").status == 200
    intruder = sqlite3.connect(platform.workspace / ".greffier" / "journal.db", isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    try:
        check_refusals(platform, key, peers)
    finally:
        intruder.execute("ROLLBACK")
        intruder.close()
    eventually(lambda: platform.chat(key, "hello").status == 200)
    answer = platform.chat(key, "hello")
    assert [event["kind"] for event in platform.records(answer.headers["x-request-id"])] == ["admission", "outcome"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_outcome_cannot_be_recorded_does_not_leave(
    strict: Platform, strict_key: str, peers: Peers, model: str, *, stream: bool
) -> None:
    """The journal stalls while the model is at work: the admission is durable, the outcome is not."""
    platform, key = strict, strict_key
    intruder = sqlite3.connect(
        platform.workspace / ".greffier" / "journal.db", isolation_level=None, check_same_thread=False
    )

    def lock_once_asked() -> None:
        eventually(lambda: bool(peers.external.requests))
        intruder.execute("BEGIN EXCLUSIVE")

    with contextlib.closing(intruder), ThreadPoolExecutor(1) as pool:
        locked = pool.submit(lock_once_asked)
        answer = platform.chat(key, "[[delay=600]] [[say=the secret answer]]", model=model, stream=stream)
        locked.result()
    assert b"journal_unavailable" in answer.body
    assert b"[DONE]" not in answer.body
    assert stream or answer.status == 503
    assert stream or b"secret" not in answer.body
    eventually(lambda: platform.chat(key, "hello").status == 200)
