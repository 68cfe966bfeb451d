"""Signature packs: made, signed, installed, released, matched; and refused where one of these does not hold."""

import json
import math
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from greffier.adapters.signers.key_file import create_key_file
from greffier.cli.main import app
from greffier.config.bundle import build, check_workspace, parse_bundle
from greffier.config.packs import sign_pack
from greffier.config.signing import public_pem, sign
from greffier.core.clock import SystemClock
from greffier.core.errors import GreffierError
from greffier.guardrails.detectors.signatures import Signatures
from greffier.guardrails.ports import Passage
from greffier.guardrails.screen import Guard
from greffier.guardrails.settings import ScreenSettings
from greffier.guardrails.signature_packs import SignaturePack, pack_warnings, parse_pack
from greffier.telemetry import names
from greffier.telemetry.packs import PackMetrics
from greffier.testing.guard_service import RunningGuardService, client_of

RUN = CliRunner()
HEAD = "schema: 1\nname: w\nunsafe_development_mode: true\ntenants:\n  acme: {title: Acme}\n"
FEED: dict[str, Any] = {
    "format": "greffier.signature-pack/1",
    "name": "feed",
    "version": 3,
    "issued": "2026-11-01",
    "signatures": [
        {"id": "glitch", "expression": "SolidGoldMagikarp", "note": "glitch token"},
        {"id": "beacon", "expression": "beacon-[0-9]{4}", "provenance": ["output"], "type": "beacon", "score": 0.7},
    ],
}


def pack_bytes(**changes: Any) -> bytes:
    return json.dumps({**FEED, **changes}).encode()


class Maker:
    """Who makes the pack, with a key of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.key = folder / "maker.pem"
        self.signer = create_key_file(self.key)
        self.public = public_pem(self.signer.public_key_der()).decode()

    def publish(self, **changes: Any) -> Path:
        file = self.folder / "feed.json"
        file.write_bytes(pack_bytes(**changes))
        result = RUN.invoke(app, ["guard", "pack", "sign", str(file), "--key", str(self.key)])
        assert result.exit_code == 0, result.output
        return file


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "maker")


@pytest.fixture
def workspace(tmp_path: Path, maker: Maker) -> Path:
    folder = tmp_path / "workspace"
    (folder / "guardrails").mkdir(parents=True)
    (folder / "greffier.yaml").write_text(HEAD)
    pinned = {"signature_packs": {"feed": {"key": maker.public}}}
    (folder / "guardrails" / "packs.yaml").write_text(json.dumps(pinned))
    return folder


def install(workspace: Path, file: Path) -> tuple[int, str]:
    result = RUN.invoke(app, ["guard", "pack", "install", str(file), "-w", str(workspace), "--json"])
    return result.exit_code, " ".join(result.output.split())


def ask(path: Path, place: str) -> str:
    """What a service on a Unix socket answers."""
    connection = HTTPConnection("guard")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", place)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def codes(workspace: Path) -> list[str]:
    return [problem.code for problem in check_workspace(workspace)]


def test_from_the_maker_to_a_refused_text(workspace: Path, maker: Maker) -> None:
    assert codes(workspace) == ["pack_missing"]
    assert install(workspace, maker.publish())[0] == 0
    assert codes(workspace) == []
    bundle = build(workspace)
    assert parse_bundle(bundle.data).content.signature_packs["feed"].version == 3  # it travels in the release
    checked = RUN.invoke(app, ["guard", "check", "say SolidGoldMagikarp", "--workspace", str(workspace)])
    assert checked.exit_code == 1
    assert "default-known-bad" in checked.output
    assert "feed@3/glitch" in checked.output
    listed = json.loads(RUN.invoke(app, ["guard", "pack", "list", "-w", str(workspace), "--json"]).output)
    assert [(pack["name"], pack["version"], pack["signatures"]) for pack in listed["packs"]] == [("feed", 3, 2)]


def test_an_update_changes_the_revision_and_an_older_version_is_refused(workspace: Path, maker: Maker) -> None:
    install(workspace, maker.publish())
    before = build(workspace).revision
    assert install(workspace, maker.publish(version=4))[0] == 0
    assert build(workspace).revision != before
    code, told = install(workspace, maker.publish(version=3))
    assert code != 0
    assert "newer version" in told
    assert build(workspace).content.signature_packs["feed"].version == 4


def test_another_key_another_purpose_and_another_byte_are_refused(
    workspace: Path, maker: Maker, tmp_path: Path
) -> None:
    file = maker.publish()
    stranger = Maker(tmp_path / "stranger")
    assert "is signed by the key" in install(workspace, stranger.publish())[1]
    file.with_suffix(".sig").write_bytes(sign(pack_bytes(), maker.signer))  # the same key, for bundles
    assert "does not match" in install(workspace, file)[1]
    assert install(workspace, maker.publish())[0] == 0
    installed = workspace / "guardrails" / "packs" / "feed.json"
    installed.write_bytes(installed.read_bytes().replace(b"Magikarp", b"Magikarq"))
    assert codes(workspace) == ["pack_invalid"]
    installed.unlink()
    assert codes(workspace) == ["pack_missing"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"signatures": []}, "no signature pack"),
        ({"version": 0}, "no signature pack"),
        ({"surprise": 1}, "no signature pack"),
        ({"expires": "2026-02-30"}, "no day of the calendar"),
        ({"signatures": [{"id": "a", "expression": "(?=x)"}]}, "cannot be used"),
        ({"signatures": [{"id": "a", "expression": "x*"}]}, "matches the empty text"),
        ({"signatures": [{"id": "a", "expression": "x"}, {"id": "a", "expression": "y"}]}, "two signatures"),
    ],
)
def test_a_pack_that_cannot_be_used_is_not_signed(maker: Maker, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(GreffierError, match=why):
        sign_pack(pack_bytes(**changes), maker.signer)


def test_signatures_look_where_they_belong_and_under_disguises() -> None:
    pack: SignaturePack = parse_pack(pack_bytes())
    detector = Signatures({"feed": pack})
    assert detector.version == "feed@3"
    assert [f.type for f in detector.examine(Passage("beacon-1234 SolidGoldMagikarp", "user"))] == ["known_bad"]
    assert {f.type for f in detector.examine(Passage("beacon-1234 SolidGoldMagikarp", "output"))} == {
        "known_bad",
        "beacon",
    }
    guard = Guard({"default": ScreenSettings(detectors=("secrets",))}, packs={"feed": pack})
    measured = guard.screen("default").engine.measure(Passage("U29saWRHb2xkTWFnaWthcnA="))
    assert [(f.type, f.view, f.rule) for f in measured.findings] == [("known_bad", "base64", "feed@3/glitch")]


async def test_the_guard_service_takes_packs_from_its_own_release(workspace: Path, maker: Maker) -> None:
    install(workspace, maker.publish())
    with RunningGuardService(workspace) as running:
        client = client_of(running.socket)
        (measured,) = await client.measure_all("default", [Passage("say SolidGoldMagikarp")])
        await client.close()
    assert [f.rule for f in measured.findings if f.counts] == ["feed@3/glitch"]


def test_an_expired_pack_still_works_and_is_told_of_everywhere(workspace: Path, maker: Maker) -> None:
    install(workspace, maker.publish(expires="2026-11-02"))
    told = json.loads(RUN.invoke(app, ["doctor", "-w", str(workspace), "--offline", "--json"]).output)
    assert [(f["what"], f["state"]) for f in told if "pack" in f["what"]] == [("signature pack feed", "warning")]
    with RunningGuardService(workspace) as running:
        health = json.loads(ask(running.socket, "/healthz"))
        assert health["warnings"] == [
            "the signature pack 'feed' (version 3) expired on 2026-11-02; install a newer one"
        ]
        metrics = ask(running.socket, "/metrics")
    assert 'greffier_signature_pack_expires_timestamp_seconds{pack="feed"} 1.793664e+09' in metrics
    install(workspace, maker.publish(version=4, expires="2999-01-01"))
    packs = build(workspace).content.signature_packs
    assert pack_warnings(packs, SystemClock().wall_ms()) == []
    assert pack_warnings(packs, 40_000_000_000_000) != []


def test_no_alert_stays_behind_for_a_pack_that_is_gone() -> None:
    registry = CollectorRegistry()
    metrics = PackMetrics(registry)
    metrics.show({"feed": 5.0, "other": 6.0})
    metrics.show({"other": 7.0})
    assert registry.get_sample_value(names.PACK_END, {"pack": "feed"}) == math.inf
    assert registry.get_sample_value(names.PACK_END, {"pack": "other"}) == 7.0
