"""A witness's Ed25519 key in a file that only its owner can read."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from greffier.adapters.signers.checkpoint_file import UnusableKey


def open_witness_key(path: Path) -> Ed25519PrivateKey:
    """Open the key (PEM, PKCS#8, mode 0600), or create it.

    Raises:
        UnusableKey: The file is no Ed25519 key, or readable by others.
        OSError: The file cannot be read or created.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    if path.stat().st_mode & 0o077:
        raise UnusableKey(f"{path.name} may be read by others; set its mode to 0600")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise UnusableKey(f"{path.name} holds no unencrypted private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey(f"{path.name} is not an Ed25519 key")
    return key
