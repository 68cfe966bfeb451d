"""RFC 3161 against a real authority (openssl), and every answer that must not be believed."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from greffier.adapters.anchors.fetch import Unreachable
from greffier.adapters.anchors.timestamps import BadTimestamp, query, timestamp, verify_timestamp
from greffier.app.sealing import make_sealer
from greffier.audit.settings import AuditSettings
from greffier.cli.audit import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.storage.journal import open_journal
from greffier.testing.contracts.journal import make_admission
from greffier.testing.tsa import time_stamping_authority


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with time_stamping_authority(tmp_path_factory.mktemp("tsa")) as running:
        yield running


def test_a_timestamp_holds_for_what_it_was_made_for(tsa: tuple[str, Path], tmp_path: Path) -> None:
    address, ca = tsa
    answer = timestamp(address, b"a checkpoint", ca)
    assert "GMT" in verify_timestamp(b"a checkpoint", answer, ca)
    with pytest.raises(BadTimestamp):
        verify_timestamp(b"another checkpoint", answer, ca)
    changed = bytearray(answer)
    changed[-10] ^= 1
    with pytest.raises(BadTimestamp):
        verify_timestamp(b"a checkpoint", bytes(changed), ca)
    with time_stamping_authority(tmp_path) as (_, other_ca), pytest.raises(BadTimestamp):
        verify_timestamp(b"a checkpoint", answer, other_ca)


def test_an_old_answer_is_not_taken_for_a_new_one(tsa: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    address, ca = tsa
    old = timestamp(address, b"a checkpoint", ca)  # its nonce belongs to an older question
    monkeypatch.setattr("greffier.adapters.anchors.timestamps.fetch", lambda *_a, **_k: old)
    with pytest.raises(BadTimestamp):
        timestamp(address, b"a checkpoint", ca)


def test_an_authority_that_is_away(tsa: tuple[str, Path]) -> None:
    with pytest.raises(Unreachable):
        timestamp("http://127.0.0.1:9/", b"x", tsa[1])


@given(st.binary(max_size=100), st.binary(min_size=8, max_size=8))
def test_the_question_is_der(data: bytes, nonce: bytes) -> None:
    asked = query(data, nonce)
    assert asked[0] == 0x30
    assert asked[1] == len(asked) - 2
    number = asked[asked.index(b"\x04\x20") + 34 :]
    assert number[0] == 2
    assert int.from_bytes(number[2 : 2 + number[1]], "big", signed=True) == int.from_bytes(nonce, "big")


def test_openssl_reads_the_question(tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(query(b"x", b"\xff" * 8))
    shown = subprocess.run(["openssl", "ts", "-query", "-in", tmp_path / "q", "-text"], check=True, capture_output=True)
    assert b"Hash Algorithm: sha256" in shown.stdout
    assert b"Nonce: 0xFFFFFFFFFFFFFFFF" in shown.stdout


def test_checkpoints_are_stamped_and_checked_from_the_command_line(tsa: tuple[str, Path], tmp_path: Path) -> None:
    address, ca = tsa
    write_demo(tmp_path)
    paths = WorkspacePaths(tmp_path)
    paths.ensure()

    async def run() -> None:
        journal = open_journal(paths, AuditSettings())
        await journal.append(make_admission())
        await journal.close()

    asyncio.run(run())
    common = ["--ca", str(ca), "--workspace", str(tmp_path)]
    assert CliRunner().invoke(app, ["timestamp", "--tsa", address, *common]).exit_code == 1  # nothing is sealed yet
    sealer = make_sealer(paths, AuditSettings())
    sealer.seal_once()
    sealer.close()
    done = CliRunner().invoke(app, ["timestamp", "--tsa", address, *common, "--json"])
    assert done.exit_code == 0, done.output
    kept = Path(json.loads(done.stdout)["file"])
    command = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        str(kept.with_suffix(".note")),
        "-in",
        str(kept),
        "-CAfile",
        str(ca),
    ]
    assert b"Verification: OK" in subprocess.run(command, check=True, capture_output=True).stdout
    assert CliRunner().invoke(app, ["timestamps", *common]).exit_code == 0
    kept.with_suffix(".note").write_text(
        kept.with_suffix(".note").read_text().replace("greffier-time-ms 1", "greffier-time-ms 2")
    )
    assert CliRunner().invoke(app, ["timestamps", *common]).exit_code == 1
    assert CliRunner().invoke(app, ["timestamp", "--tsa", "http://127.0.0.1:9/", *common]).exit_code == 4
