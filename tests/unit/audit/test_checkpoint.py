import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from greffier.adapters.signers.checkpoint_file import (
    FileCheckpointSigner,
    UnusableKey,
    known_verifiers,
    log_key_path,
)
from greffier.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, sign, verify
from greffier.config.paths import WorkspacePaths

HEAD = Checkpoint("greffier.local/log", 20852163, hashlib.sha256(b"root").digest(), 1_700_000_000_000)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileCheckpointSigner:
    return FileCheckpointSigner(tmp_path_factory.mktemp("keys") / "log.pem", "greffier-log")


@pytest.fixture(scope="module")
def verifier(signer: FileCheckpointSigner) -> Verifier:
    return Verifier(signer.name, signer.public_key_der())


def test_a_signed_checkpoint_is_read_back(signer: FileCheckpointSigner, verifier: Verifier) -> None:
    note = sign(HEAD, signer)
    assert verify(note, [verifier], HEAD.origin) == HEAD
    lines = note.split("\n")
    assert lines[:3] == [HEAD.origin, "20852163", base64.b64encode(HEAD.root).decode()]
    assert lines[4] == ""
    assert lines[5].startswith("— greffier-log ")


def test_openssl_verifies_the_signature(signer: FileCheckpointSigner, verifier: Verifier, tmp_path: Path) -> None:
    text, _, line = sign(HEAD, signer).rpartition("\n\n")
    raw = base64.b64decode(line.split()[2])
    assert raw[:4] == hashlib.sha256(verifier.key_der).digest()[:4]
    (tmp_path / "text").write_text(text + "\n")
    (tmp_path / "signature").write_bytes(raw[4:])
    key = load_der_public_key(verifier.key_der)
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "text"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "Verified OK"


def test_the_verifier_key_of_the_rekor_log_is_read_with_the_key_id_its_checkpoints_carry() -> None:
    vkey = (
        "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l"
        "+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
    )
    assert Verifier.parse(vkey).vkey == vkey


def test_after_a_rotation_old_and_new_checkpoints_verify(tmp_path: Path) -> None:
    paths = WorkspacePaths(tmp_path)
    path = log_key_path(paths)
    old = sign(HEAD, FileCheckpointSigner(path, "greffier-log"))
    path.rename(path.with_suffix(".2025"))
    new = sign(HEAD, FileCheckpointSigner(path, "greffier-log"))
    FileCheckpointSigner(path, "greffier-log")
    verifiers = known_verifiers(paths)
    assert len(verifiers) == 2
    for note in (old, new):
        assert verify(note, verifiers, HEAD.origin) == HEAD
    with pytest.raises(BadCheckpoint, match="no known key"):
        verify(new, verifiers[:1], HEAD.origin)


def test_signatures_of_others_beside_ours_are_passed_over(signer: FileCheckpointSigner, verifier: Verifier) -> None:
    cosigned = sign(HEAD, signer) + "— witness.example/w1 " + base64.b64encode(b"\x00" * 76).decode() + "\n"
    assert verify(cosigned, [verifier], HEAD.origin) == HEAD


@given(st.data())
def test_no_changed_byte_verifies(signer: FileCheckpointSigner, verifier: Verifier, data: st.DataObject) -> None:
    note = sign(HEAD, signer).encode()
    at = data.draw(st.integers(0, 10_000)) % len(note)  # a DER signature has no fixed length
    forged = bytearray(note)
    forged[at] ^= data.draw(st.integers(1, 255))
    try:
        found = verify(forged.decode(errors="replace"), [verifier], HEAD.origin)
    except BadCheckpoint:
        return
    assert found == HEAD  # a spare bit of base64 changed, nothing signed did


def test_a_checkpoint_of_another_log_is_refused(signer: FileCheckpointSigner, verifier: Verifier) -> None:
    with pytest.raises(BadCheckpoint, match="not 'other/log'"):
        verify(sign(HEAD, signer), [verifier], "other/log")


@pytest.mark.parametrize(
    "text",
    ["", "x", "a\n\n", "o\n1\nAAAA\n", "o\n-1\n", "o\n01\n", "o\n1\n" + base64.b64encode(bytes(32)).decode() + "\n"],
)
def test_signed_text_that_is_no_checkpoint_is_refused(
    signer: FileCheckpointSigner, verifier: Verifier, text: str
) -> None:
    signature = base64.b64encode(verifier.key_id + signer.sign(text.encode())).decode()
    with pytest.raises(BadCheckpoint):
        verify(f"{text}\n— {signer.name} {signature}\n", [verifier], "o")


@pytest.mark.parametrize("vkey", ["", "a+b", "n+00000000+AAAA", "n+zz+!!", "n+00000000+Ag=="])
def test_damaged_verifier_keys_are_refused(vkey: str) -> None:
    with pytest.raises(BadCheckpoint):
        Verifier.parse(vkey)


def test_the_key_file_is_private_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "log.pem"
    first = FileCheckpointSigner(path, "n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileCheckpointSigner(path, "n").public_key_der() == first.public_key_der()
    path.chmod(0o644)
    with pytest.raises(UnusableKey, match="0600"):
        FileCheckpointSigner(path, "n")
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(UnusableKey):
        FileCheckpointSigner(path, "n")
    other = ec.generate_private_key(ec.SECP384R1())
    from_other = Verifier("n", other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert not from_other.verifies("text", b"")
