"""Only what a trusted key signed is served: at the start, and when a running gateway is offered something else."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from greffier.testing.platform import Platform, eventually

Make = Callable[..., Platform]


def signed(platform: Platform) -> Path:
    """Make a signed release the one in force; return the folder of releases."""
    settings = platform.workspace / "greffier.yaml"
    settings.write_text(settings.read_text().replace("unsafe_development_mode: true\n", ""))
    for line in (("sign-key", "--trust"), ("build", "--sign")):
        done = platform.command("config", *line)
        assert done.returncode == 0, done.stdout + done.stderr
    return platform.workspace / ".greffier" / "releases"


def tampered(releases: Path) -> str:
    """Store the release in force once more under another name, with one word changed."""
    good = releases / (releases / "current").read_text().strip()
    bad = releases / ("0" * 64)
    bad.mkdir()
    data = (good / "bundle.json").read_bytes()
    (bad / "bundle.json").write_bytes(data.replace(b"approved", b"apprOved", 1))
    (bad / "bundle.sig").write_bytes((good / "bundle.sig").read_bytes())
    return bad.name


def put_in_force(releases: Path, revision: str) -> None:
    draft = releases / "draft"
    draft.write_text(revision + "\n")
    draft.replace(releases / "current")


def test_a_release_that_was_tampered_with_is_never_served(make: Make, issued: str) -> None:
    platform = make(settings="max_snapshot_age_s: 60\n")
    releases = signed(platform)
    good = (releases / "current").read_text().strip()
    bad = tampered(releases)

    put_in_force(releases, bad)
    code, said = platform.refusal()
    assert code == 3
    assert "signature" in said
    assert "Traceback" not in said

    put_in_force(releases, good)
    platform.start()
    assert platform.request("GET", "/healthz").json["signed_by"]
    put_in_force(releases, bad)
    eventually(lambda: "signature" in json.dumps(platform.request("GET", "/healthz").json["warnings"]))
    assert platform.request("GET", "/healthz").json["snapshot"] == good
    refused = platform.chat(issued, "hello")
    assert (refused.status, refused.code) == (503, "snapshot_expired"), "limited risk waits for a good signature"

    put_in_force(releases, good)
    eventually(lambda: "signature" not in json.dumps(platform.request("GET", "/healthz").json["warnings"]))
    assert platform.chat(issued, "hello").status == 200


def test_without_a_release_and_without_development_mode_nothing_starts(make: Make) -> None:
    platform = make()
    settings = platform.workspace / "greffier.yaml"
    settings.write_text(settings.read_text().replace("unsafe_development_mode: true\n", ""))
    code, said = platform.refusal()
    assert code == 3
    assert "no signed release" in said


def test_a_worker_that_cannot_be_restarted_does_not_take_the_others_with_it(make: Make, issued: str) -> None:
    """The configuration on disk goes bad, then a worker dies: the other one keeps serving what was good."""
    platform = make(workers=2)
    releases = signed(platform)
    platform.start()
    put_in_force(releases, "1" * 64)  # it never got there
    doomed, survivor = platform.workers()
    os.kill(doomed, signal.SIGKILL)
    eventually(lambda: "cannot serve this configuration" in platform.log.read_text(), 20)
    assert survivor in platform.workers()
    assert platform.chat(issued, "hello").status == 200
