"""The signer port's contract, over a key file and over a PKCS#11 token (SoftHSM)."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pkcs11.util.ec
import pytest
import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from greffier.adapters.signers.key_file import create_key_file, open_key_file
from greffier.adapters.signers.pkcs11 import Pkcs11Signer
from greffier.cli import config
from greffier.config.demo import write_demo
from greffier.config.loading import load_snapshot
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.signing import Signer, SignerError, fingerprint, sign, verify

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "123456"


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert Path(MODULE).exists(), "softhsm2 is not installed: run make dev"
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    label = "greffier-test"
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "654321", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    with pkcs11.lib(MODULE).get_token(token_label=label).open(user_pin=PIN, rw=True) as session:
        for name, curve in (("bundle", "secp256r1"), ("wrong-curve", "secp384r1")):
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(curve)},
                local=True,
            )
            parameters.generate_keypair(store=True, label=name)
    yield label
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture(params=["key_file", "pkcs11"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Signer]:
    if request.param == "key_file":
        yield create_key_file(tmp_path / "bundle.pem")
        return
    hsm = Pkcs11Signer(MODULE, request.getfixturevalue("token"), "bundle", PIN)
    yield hsm
    hsm.close()


def test_signs_what_the_public_key_verifies(signer: Signer) -> None:
    public = load_der_public_key(signer.public_key_der())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)
    for message in (b"", b"x", bytes(100_000)):
        public.verify(signer.sign(message), message, ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(signer.sign(b"one"), b"other", ec.ECDSA(SHA256()))


def test_keeps_its_public_key_and_its_name(signer: Signer) -> None:
    assert signer.public_key_der() == signer.public_key_der()
    assert signer.name == "bundle"


def test_signs_bundles(signer: Signer) -> None:
    signature = sign(b"{}", signer)
    trusted = {"release": signer.public_key_der()}
    assert verify(b"{}", signature, trusted) == "release"
    with pytest.raises(ConfigError) as refused:
        verify(b"{ }", signature, trusted)
    assert refused.value.code == "signature_invalid"


def test_shows_no_secret(signer: Signer) -> None:
    assert PIN not in repr(signer)
    assert "PRIVATE" not in repr(signer)


def test_token_survives_a_dropped_session(token: str) -> None:
    hsm = Pkcs11Signer(MODULE, token, "bundle", PIN)
    hsm._session.close()  # as when an HSM restarts
    public = load_der_public_key(hsm.public_key_der())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(hsm.sign(b"x"), b"x", ec.ECDSA(SHA256()))
    hsm.close()


def test_two_signers_share_a_token_and_outlive_each_other(token: str) -> None:
    first = Pkcs11Signer(MODULE, token, "bundle", PIN)
    second = Pkcs11Signer(MODULE, token, "bundle", PIN)
    first.close()  # logs the whole process out
    public = load_der_public_key(second.public_key_der())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(second.sign(b"x"), b"x", ec.ECDSA(SHA256()))
    second.close()


def test_token_mistakes_are_explained(token: str) -> None:
    for label, key, pin, words in (
        ("no-such-token", "bundle", PIN, "no such token"),
        (token, "no-such-key", PIN, "no such EC key"),
        (token, "bundle", "000000", "refused the PIN"),
        (token, "wrong-curve", PIN, "not a P-256 key"),
    ):
        with pytest.raises(SignerError) as refused:
            Pkcs11Signer(MODULE, label, key, pin)
        assert words in refused.value.reason
        assert refused.value.remedy
        assert pin not in refused.value.reason + refused.value.remedy


def test_a_release_signed_in_the_token_is_served(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_demo(tmp_path / "demo")
    monkeypatch.setenv("HSM_PIN", PIN)
    hsm = ["--pkcs11-module", MODULE, "--pkcs11-token", token, "--pkcs11-key", "bundle", "--pkcs11-pin", "env:HSM_PIN"]
    for arguments in (["sign-key", "--trust"], ["build", "--sign"]):
        with pytest.raises(SystemExit) as left:
            typer.main.get_command(config.app).main([*arguments, "--workspace", str(tmp_path / "demo"), *hsm])
        assert left.value.code == 0
    assert load_snapshot(WorkspacePaths(tmp_path / "demo")).signed_by == "bundle"
    assert PIN not in capsys.readouterr().out


def test_a_module_that_is_none_is_explained(tmp_path: Path) -> None:
    (tmp_path / "not-a-library.so").write_text("x")
    with pytest.raises(SignerError, match="cannot be loaded"):
        Pkcs11Signer(str(tmp_path / "not-a-library.so"), "token", "key", PIN)


def test_key_file_is_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "bundle.pem"
    key = create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fingerprint(open_key_file(path).public_key_der()) == fingerprint(key.public_key_der())
    with pytest.raises(SignerError, match="exists already"):
        create_key_file(path)


def test_key_file_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SignerError, match="cannot be read"):
        open_key_file(tmp_path / "missing.pem")
    path = tmp_path / "bundle.pem"
    create_key_file(path)
    path.chmod(0o640)
    with pytest.raises(SignerError, match="by others"):
        open_key_file(path)
    rsa_key = rsa.generate_private_key(65537, 2048)
    p384 = ec.generate_private_key(ec.SECP384R1())
    p256 = ec.generate_private_key(ec.SECP256R1())
    encrypted = BestAvailableEncryption(b"x")
    for pem, words in (
        (b"not a key", "does not hold a private key"),
        (rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "P-256"),
        (p384.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "P-256"),
        (p256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted), "encrypted"),
    ):
        path.write_bytes(pem)
        path.chmod(0o600)
        with pytest.raises(SignerError, match=words):
            open_key_file(path)
