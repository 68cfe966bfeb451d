"""A P-256 private key in a file that only its owner can read (PKCS#8, PEM)."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from greffier.config.signing import SignerError

_MAX_KEY_BYTES = 10_000


class KeyFileSigner:
    """Signs with a key held in memory. For an installation without an HSM."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        self._name = name
        self._key = key

    def __repr__(self) -> str:
        return f"KeyFileSigner({self._name})"

    @property
    def name(self) -> str:
        """Name of the key, for people."""
        return self._name

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature over SHA-256 of the message, ASN.1 DER."""
        return self._key.sign(message, ec.ECDSA(SHA256()))

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def create_key_file(path: Path, name: str | None = None) -> KeyFileSigner:
    """Make a key and write it, mode 0600, without ever replacing a file.

    Args:
        path: Where to write it.
        name: Name of the key; the file's stem if absent.

    Raises:
        SignerError: The file exists or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise SignerError(f"{path} exists already.", "Keep using it, or name another file.") from error
    except OSError as error:
        raise SignerError(
            f"{path} cannot be written: {error.strerror}.", "Choose a folder you may write to."
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return KeyFileSigner(name or path.stem, key)


def open_key_file(path: Path, name: str | None = None) -> KeyFileSigner:
    """Read a key.

    Args:
        path: The PEM file.
        name: Name of the key; the file's stem if absent.

    Raises:
        SignerError: It is missing, readable by others, encrypted, or not a P-256 key.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            pem = file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise SignerError(
            f"The key file {path} cannot be read: {error.strerror}.",
            "Make one with 'greffier config sign-key', or name the right file.",
        ) from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SignerError(f"The key file {path} can be read by others.", f"Run 'chmod 600 {path}', or make a new key.")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise SignerError(f"The key file {path} is encrypted.", "Use an unencrypted file, or an HSM.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignerError(f"{path} does not hold a private key.", "Name a PKCS#8 file in PEM form.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignerError(f"{path} does not hold a P-256 key.", "Make one with 'greffier config sign-key'.")
    return KeyFileSigner(name or path.stem, key)
