"""The real platform copies its log to a real bucket; what is wrong with the bucket never reaches a caller."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from greffier.testing.object_storage import ObjectStorage, object_storage
from greffier.testing.peers import Peers
from greffier.testing.platform import Platform, eventually

CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}
COPIES = """
audit: {{seal_interval_ms: 100}}
copies:
  vault:
    url: {url}
    bucket: {bucket}
    prefix: {prefix}
    access_key: env:COPY_ACCESS_KEY
    secret_key: env:COPY_SECRET_KEY
    retain_days: 400
    every_s: 1
    timeout_s: 5
    on_start: {on_start}
"""


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


def configured(
    workspace: Path, peers: Peers, storage: ObjectStorage, *, bucket: str = "evidence", on_start: str = "refuse"
) -> Platform:
    settings = workspace / "greffier.yaml"
    text = COPIES.format(url=storage.url, bucket=bucket, prefix=workspace.name, on_start=on_start)
    settings.write_text(settings.read_text() + text)
    environment = {"COPY_ACCESS_KEY": storage.access_key, "COPY_SECRET_KEY": storage.secret_key}
    return Platform(workspace, environment | peers.environment)


def gauge(platform: Platform, name: str) -> float:
    lines = platform.request("GET", "/metrics").body.decode().splitlines()
    found = [line.rpartition(" ")[2] for line in lines if line.startswith(f'{name}{{copy="vault"')]
    return float(found[0]) if found else -1.0


def test_the_log_is_copied_while_requests_are_answered(workspace: Path, peers: Peers, storage: ObjectStorage) -> None:
    with configured(workspace, peers, storage) as platform:
        key = platform.create_key("acme", "assistant")
        assert platform.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200
        eventually(lambda: gauge(platform, "greffier_copy_events") >= 2, within_s=60)
        assert gauge(platform, "greffier_copy_failing") == 0
        assert gauge(platform, "greffier_copy_checkpoint_timestamp_seconds") > 1e9
        done = platform.command("audit", "copies", "--json", "--output", str(workspace / "kept"))
        assert done.returncode == 0, done.stdout + done.stderr
        (report,) = json.loads(done.stdout)
        assert report["ok"]
        assert report["size"] >= 2
    verified = platform.command("audit", "verify", "--kept", str(workspace / "kept" / "vault"))
    assert verified.returncode == 0, verified.stdout
    copied = platform.command("audit", "copy", "--json")
    assert copied.returncode == 0, copied.stdout + copied.stderr
    (workspace / ".greffier" / "log" / "checkpoint").unlink()
    found = platform.command("audit", "copies", "--json")
    assert found.returncode == 1
    assert [finding["kind"] for finding in json.loads(found.stdout)[0]["findings"]] == ["cut"]


def test_a_bucket_that_does_not_lock_stops_the_start(workspace: Path, peers: Peers, storage: ObjectStorage) -> None:
    code, said = configured(workspace, peers, storage, bucket="unlocked").refusal()
    assert code != 0
    assert "made without object lock" in said


def test_a_bucket_that_is_lost_is_shown_and_never_felt(workspace: Path, peers: Peers, tmp_path: Path) -> None:
    with object_storage() as passing:
        platform = configured(workspace, peers, passing, on_start="warn").start()
        try:
            key = platform.create_key("acme", "assistant")
            eventually(lambda: gauge(platform, "greffier_copy_events") >= 1, within_s=60)
        except BaseException:
            platform.stop()
            raise
    try:
        assert platform.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200  # so there is news to copy
        eventually(lambda: gauge(platform, "greffier_copy_failing") == 1, within_s=60)
        assert platform.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200
        assert platform.request("GET", "/readyz").status == 200
        assert "not being copied to 'vault'" in str(platform.request("GET", "/healthz").json["warnings"])
        done = platform.command("audit", "copies")
        assert done.returncode == 4
        assert "127.0.0.1" in done.stderr
        assert "is not being copied to vault" in platform.log.read_text()
    finally:
        platform.stop()
