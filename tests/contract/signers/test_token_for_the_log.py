"""The key that signs the log: in a token or in a file, rotated, with old checkpoints verifiable all the while."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pkcs11
import pkcs11.util.ec
import pytest
from typer.testing import CliRunner

from greffier.adapters.secrets.references import SecretMissing
from greffier.adapters.signers.checkpoint_file import known_verifiers, log_key_path
from greffier.app.sealing import make_sealer
from greffier.audit.checkpoint import verify
from greffier.audit.ports import SignerUnavailable
from greffier.audit.settings import AuditSettings, LogHsmSettings
from greffier.audit.tiles import TileStore
from greffier.audit.verification import Verification
from greffier.cli.audit import app
from greffier.config.demo import write_demo
from greffier.config.paths import WorkspacePaths
from greffier.config.signing import SignerError
from greffier.storage.journal import open_journal, open_reader
from greffier.testing.contracts.journal import make_admission

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "123456"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    assert Path(MODULE).exists(), "softhsm2 is not installed: run make dev"
    folder = Path(os.environ["SOFTHSM2_CONF"]).parent if "SOFTHSM2_CONF" in os.environ else None
    if folder is None:
        folder = tmp_path_factory.mktemp("softhsm")
        (folder / "tokens").mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(conf)
    label = "greffier-log"
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "654321", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)
    library = pkcs11.lib(MODULE)
    library.reinitialize()
    with library.get_token(token_label=label).open(user_pin=PIN, rw=True) as session:
        for name in ("log-2026", "log-2027"):
            curve = {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}
            parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
            parameters.generate_keypair(store=True, label=name)
    return label


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkspacePaths:
    write_demo(tmp_path)
    monkeypatch.setenv("LOG_PIN", PIN)
    made = WorkspacePaths(tmp_path)
    made.ensure()
    return made


def settings(token: str, key: str) -> AuditSettings:
    return AuditSettings(hsm=LogHsmSettings(module=MODULE, token=token, key=key, pin="env:LOG_PIN"))


def grow_and_seal(paths: WorkspacePaths, chosen: AuditSettings) -> str:
    async def run() -> None:
        journal = open_journal(paths, chosen)
        await journal.append(make_admission())
        await journal.close()

    asyncio.run(run())
    sealer = make_sealer(paths, chosen)
    assert sealer.seal_once() is not None
    sealer.close()
    return (paths.log / "checkpoint").read_text()


def whole(paths: WorkspacePaths, notes: list[str]) -> None:
    reader = open_reader(paths)
    verifiers = known_verifiers(paths)
    kept = [(str(number), note) for number, note in enumerate(notes)]
    report = Verification(reader, TileStore(paths.log), verifiers, AuditSettings().origin, kept).run()
    reader.close()
    assert not [one for one in report.findings if one.severity == "error"]


def test_a_token_signs_and_its_key_rotates(paths: WorkspacePaths, token: str) -> None:
    notes = [grow_and_seal(paths, AuditSettings())]  # began with a file
    notes += [grow_and_seal(paths, settings(token, key)) for key in ("log-2026", "log-2026", "log-2027")]
    assert "log-2026" in notes[1]
    assert "log-2027" in notes[3]
    assert not any("PRIVATE" in path.read_text() for path in paths.secrets.glob("*.public"))
    whole(paths, notes)
    assert [key.name for key in known_verifiers(paths)] == ["greffier-log", "log-2026", "log-2027"]


def test_a_token_that_is_not_there_stops_the_start(
    paths: WorkspacePaths, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_and_seal(paths, AuditSettings())
    for chosen in (settings(token, "no-such-key"), settings("no-such-token", "log-2026")):
        with pytest.raises(SignerError):
            make_sealer(paths, chosen)
    monkeypatch.delenv("LOG_PIN")
    with pytest.raises(SecretMissing):
        make_sealer(paths, settings(token, "log-2026"))


def test_a_token_that_fails_is_tried_again_and_nothing_is_signed_meanwhile(
    paths: WorkspacePaths, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(token, "log-2026")
    note = grow_and_seal(paths, chosen)
    sealer = make_sealer(paths, chosen)
    sealer._signer.close()  # type: ignore[attr-defined]
    monkeypatch.setattr(sealer._signer, "_token", "pulled-out")

    async def run() -> None:
        journal = open_journal(paths, chosen)
        await journal.append(make_admission())
        await journal.close()

    asyncio.run(run())
    with pytest.raises(SignerUnavailable):
        sealer.seal_once()
    assert (paths.log / "checkpoint").read_text() == note
    monkeypatch.setattr(sealer._signer, "_token", token)  # it is back
    sealed = sealer.seal_once()
    assert sealed is not None
    assert sealed.size == 2
    sealer.close()
    whole(paths, [note])


def test_a_key_file_is_rotated_and_the_old_private_key_is_gone(paths: WorkspacePaths) -> None:
    notes = [grow_and_seal(paths, AuditSettings())]
    kept = paths.root / "copy.pem"
    shutil.copy(log_key_path(paths), kept)
    done = CliRunner().invoke(app, ["rotate-key", "--workspace", str(paths.root)])
    assert done.exit_code == 0, done.output
    assert log_key_path(paths).read_bytes() != kept.read_bytes()
    assert log_key_path(paths).stat().st_mode & 0o777 == 0o600
    notes.append(grow_and_seal(paths, AuditSettings()))
    old, new = known_verifiers(paths)
    assert done.stdout.strip() == new.vkey
    verify(notes[0], [old], None)
    verify(notes[1], [new], None)
    whole(paths, notes)
