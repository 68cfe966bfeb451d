"""No evidence, no answer: a journal that cannot write stops requests before the model, and lets them on afterwards."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

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


def test_a_full_disk_refuses_until_there_is_room_again(
    peers: Peers, tmp_path: Path, write: Callable[..., Path]
) -> None:
    workspace = write(tmp_path / "workspace")
    with small_disk(workspace / ".greffier", 16), Platform(workspace, peers.environment) as platform:
        key = platform.create_key("acme", "assistant")
        assert platform.chat(key, "hello").status == 200
        filler = workspace / ".greffier" / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65_536)
        for _ in range(200):  # what the files have set aside is used up first
            if platform.chat(key, "hello").status == 503:
                break
        check_refusals(platform, key, peers)
        assert platform.request("GET", "/healthz").status == 200
        assert platform.request("GET", "/metrics").status == 200
        filler.unlink()
        eventually(lambda: platform.chat(key, "hello").status == 200)
        eventually(lambda: platform.command("audit", "verify").returncode == 0, 30)
        assert platform.stop() == 0


def test_a_stalled_journal_refuses_until_it_moves_again(platform: Platform, key: str, peers: Peers) -> None:
    assert platform.chat(key, "hello").status == 200
    intruder = sqlite3.connect(platform.workspace / ".greffier" / "journal.db", isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    try:
        check_refusals(platform, key, peers)
    finally:
        intruder.execute("ROLLBACK")
        intruder.close()
    answer = platform.chat(key, "hello")
    assert answer.status == 200
    assert [event["kind"] for event in platform.records(answer.headers["x-request-id"])] == ["admission", "outcome"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_outcome_cannot_be_recorded_does_not_leave(
    platform: Platform, key: str, peers: Peers, model: str, *, stream: bool
) -> None:
    """The journal stalls while the model is at work: the admission is durable, the outcome is not."""
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
