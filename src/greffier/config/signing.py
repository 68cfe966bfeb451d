"""Signatures over bundles: ECDSA P-256, verified against public keys that the operator placed beside the bundle.

A signature file names the key it was made with only as a hint; which keys count is decided by the trust directory
(``.greffier/keys/trusted/*.pem``), which no bundle can change. What is signed is not the bundle's bytes but a
statement about their digest that begins with the purpose, so that a signature made for another purpose with the
same key (a checkpoint of the log, say) can never pass for one over a bundle.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from greffier.config.problems import ConfigError

_PURPOSE = b"greffier.bundle/1"
_FORMAT: Literal["greffier.bundle-signature/1"] = "greffier.bundle-signature/1"
_MAX_KEY_BYTES = 10_000
MAX_SIGNATURE_BYTES = 4096


class Signer(Protocol):
    """Signs with ECDSA P-256; the private key may live in a file, an HSM or a KMS.

    The same shape as `greffier.audit.ports.CheckpointSigner`, so one adapter serves both.
    """

    @property
    def name(self) -> str:
        """Name of the key, for people."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over SHA-256 of the message, ASN.1 DER."""
        ...

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        ...


class SignerError(Exception):
    """The key cannot be used: missing, unreadable to us or readable by others, locked, of another kind.

    Attributes:
        reason: One sentence; never holds key material or a PIN.
        remedy: What to do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class _SignatureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["greffier.bundle-signature/1"]
    key: str
    signature: str


def fingerprint(public_key_der: bytes) -> str:
    """SHA-256 of a SubjectPublicKeyInfo, hex: how a key is named wherever its file name is not known."""
    return hashlib.sha256(public_key_der).hexdigest()


def sign(data: bytes, signer: Signer, *, purpose: bytes = _PURPOSE) -> bytes:
    """Return the bytes of a signature file (``bundle.sig``) for a bundle's bytes, or for those of another document.

    Raises:
        SignerError: The key cannot be used.
    """
    signature = signer.sign(_statement(data, purpose))
    key = fingerprint(signer.public_key_der())
    return _encode(_SignatureFile(_FORMAT, key, base64.b64encode(signature).decode()))


def verify(
    data: bytes, signature_file: bytes, trusted: dict[str, bytes], *, purpose: bytes = _PURPOSE, what: str = "bundle"
) -> str:
    """Return the name of the trusted key whose signature over ``data`` holds.

    Args:
        data: The bundle's bytes.
        signature_file: The bytes of ``bundle.sig``.
        trusted: SubjectPublicKeyInfo by name.
        purpose: What the signature must have been made for.
        what: The document, for people.

    Raises:
        ConfigError: ``signature_invalid`` or ``signature_untrusted``.
    """
    stated = _decode(signature_file)
    name = next((name for name, der in trusted.items() if fingerprint(der) == stated.key), None)
    if name is None:
        raise ConfigError(
            "signature_untrusted",
            f"The {what} is signed by the key {stated.key[:16]}..., which is not among the trusted keys.",
            "Sign it with a trusted key, or, if you know this one, accept it with 'greffier config trust PEM'.",
        )
    key = _p256(trusted[name], name)
    try:
        key.verify(base64.b64decode(stated.signature, validate=True), _statement(data, purpose), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise _invalid(f"The signature does not match the {what}") from error
    return name


def trusted_keys(folder: Path) -> dict[str, bytes]:
    """Read the public keys of a trust directory (``NAME.pem``), as SubjectPublicKeyInfo by name.

    Raises:
        ConfigError: ``trust_invalid``: a file there is not a P-256 public key. One bad file refuses all of them:
            passing over it could hide that the key which should count is not being read.
    """
    keys: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.pem")):
        try:
            with path.open("rb") as file:
                pem = file.read(_MAX_KEY_BYTES)
            key = load_pem_public_key(pem)
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise _untrustworthy(path.name, "cannot be read as a public key") from error
        keys[path.stem] = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        _p256(keys[path.stem], path.name)
    return keys


def public_pem(public_key_der: bytes) -> bytes:
    """Return a SubjectPublicKeyInfo as PEM."""
    body = base64.encodebytes(public_key_der).replace(b"\n", b"")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""])


def public_key_der(pem: str) -> bytes:
    """SubjectPublicKeyInfo of a P-256 public key in PEM form.

    Raises:
        ConfigError: ``trust_invalid``: it is none.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _untrustworthy("of the workspace", "cannot be read as a public key") from error
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _p256(der, "of the workspace")
    return der


def _statement(data: bytes, purpose: bytes) -> bytes:
    return purpose + b"\n" + hashlib.sha256(data).hexdigest().encode() + b"\n"


def _encode(value: _SignatureFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def _decode(signature_file: bytes) -> _SignatureFile:
    try:
        stated = msgspec.json.decode(signature_file, type=_SignatureFile)
        raw = base64.b64decode(stated.signature, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise _invalid("The signature file cannot be read") from error
    rebuilt = _SignatureFile(stated.format, stated.key, base64.b64encode(raw).decode())
    if _encode(rebuilt) != signature_file:  # one signature has one spelling, so no byte of it can be changed
        raise _invalid("The signature file is not in its canonical form")
    return stated


def _p256(der: bytes, name: str) -> ec.EllipticCurvePublicKey:
    key = load_pem_public_key(public_pem(der))
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _untrustworthy(name, "is not a P-256 key")
    return key


def _untrustworthy(name: str, why: str) -> ConfigError:
    return ConfigError(
        "trust_invalid",
        f"The trusted key {name} {why}.",
        "Keep only P-256 public keys in PEM form in .greffier/keys/trusted/.",
    )


def _invalid(reason: str) -> ConfigError:
    return ConfigError(
        "signature_invalid", f"{reason}; it is not used.", "Build and sign the release again, or restore its files."
    )
