"""Checkpoint signing with a P-256 key in a file of the workspace's key folder."""

import os
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from greffier.audit.checkpoint import Verifier
from greffier.config.paths import WorkspacePaths


class UnusableKey(Exception):  # noqa: N818 - named for what was found
    """The key file is there but holds no P-256 private key, or others may read it."""


class FileCheckpointSigner:
    """CheckpointSigner with a key file, PEM PKCS#8, mode 0600, created at first use.

    The public keys of all keys ever used stand beside it in ``<file>.public``, one verifier key a line, so that old
    checkpoints stay verifiable after a rotation (`rotate`).
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open the key, or create it.

        Raises:
            UnusableKey: The file is no P-256 key, or readable by others.
            OSError: The file cannot be read or created.
        """
        self._path = path
        self._name = name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise UnusableKey(f"{path.name} may be read by others; set its mode to 0600")
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise UnusableKey(f"{path.name} holds no unencrypted private key in PEM form") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise UnusableKey(f"{path.name} is not a P-256 key")
        self._key = key
        self._remember()

    @property
    def name(self) -> str:
        """Key name as it stands in the signature line."""
        return self._name

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA P-256 signature over SHA-256 of the message, ASN.1 DER."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _remember(self) -> None:
        remember(self._path, Verifier(self._name, self.public_key_der()))


def remember(path: Path, verifier: Verifier) -> None:
    """Add a public key to those that signed, or will sign, the log; what stands there stays.

    Args:
        path: The log's key file, whether or not it exists; the register stands beside it.
        verifier: The key.
    """
    register = _register(path)
    if not register.exists() or verifier.vkey not in register.read_text().splitlines():
        register.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with register.open("a", encoding="ascii") as lines:
            lines.write(verifier.vkey + "\n")
            lines.flush()
            os.fsync(lines.fileno())


def rotate(paths: WorkspacePaths, name: str) -> Verifier:
    """Destroy the key file and begin a new one; the public key of the old one stays in the register.

    A running gateway signs with the old key, from its memory, until it is started again.

    Raises:
        UnusableKey: The file is no usable key.
        OSError: It cannot be removed or created.
    """
    path = log_key_path(paths)
    FileCheckpointSigner(path, name)  # its public key is in the register before the private one goes
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    fresh = FileCheckpointSigner(path, name)
    return Verifier(name, fresh.public_key_der())


def _register(path: Path) -> Path:
    return path.with_name(path.name + ".public")


def _create(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, pem)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, path)  # atomic, and loses against another worker that was faster
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def log_key_path(paths: WorkspacePaths) -> Path:
    """Where the workspace keeps the key that signs checkpoints."""
    return paths.secrets / "log-signing.pem"


def known_verifiers(paths: WorkspacePaths) -> list[Verifier]:
    """Public keys of every key the workspace's log was ever signed with, oldest first; empty before the first.

    Raises:
        BadCheckpoint: A line of the register is damaged.
    """
    register = _register(log_key_path(paths))
    if not register.exists():
        return []
    return [Verifier.parse(line) for line in register.read_text(encoding="ascii").splitlines() if line]
