"""Checkpoints: what the log looked like at a moment, signed (C2SP tlog-checkpoint in a C2SP signed-note).

The signature type is 0x02, ECDSA P-256 over SHA-256 in ASN.1 DER, as transparency-dev implements it; its key id is the
first four bytes of SHA-256 over the SubjectPublicKeyInfo. One extension line carries the time in milliseconds, because
an auditor asks when, and the format has no other place for it.
"""

import base64
import hashlib

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from greffier.audit.merkle import HASH_BYTES
from greffier.audit.ports import CheckpointSigner

ECDSA = b"\x02"
_ID_BYTES = 4
_TIME = "greffier-time-ms "
_SIGNATURE = "\N{EM DASH} "
_MAX_NOTE = 16_384


class BadCheckpoint(Exception):  # noqa: N818 - named for what was found
    """Not a checkpoint, or not one signed by a key we know."""


class Checkpoint(msgspec.Struct, frozen=True):
    """A tree head.

    Attributes:
        origin: Name of the log.
        size: Number of leaves.
        root: Root hash over them.
        time_ms: When it was signed, milliseconds since the epoch, UTC.
    """

    origin: str
    size: int
    root: bytes
    time_ms: int

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{_TIME}{self.time_ms}\n"


class Verifier(msgspec.Struct, frozen=True):
    """A public key that may sign checkpoints.

    Attributes:
        name: Key name in the signature line.
        key_der: SubjectPublicKeyInfo.
    """

    name: str
    key_der: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that stand before the signature."""
        return key_id(self.key_der)

    @property
    def vkey(self) -> str:
        """The key in one line, as tlog tools take it: ``name+hash+base64(type || key)``."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ECDSA + self.key_der).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> "Verifier":
        """Read the one-line form.

        Raises:
            BadCheckpoint: It is not an ECDSA verifier key, or its hash does not fit.
        """
        try:
            name, identifier, encoded = vkey.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise BadCheckpoint("not a verifier key of the form name+hash+base64") from error
        verifier = cls(name, raw[1:])
        if raw[:1] != ECDSA or identifier != verifier.key_id.hex():
            raise BadCheckpoint(f"the verifier key of {name} is not ECDSA, or its hash does not fit")
        return verifier

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            key = load_der_public_key(self.key_der)
        except (ValueError, UnsupportedAlgorithm):
            return False
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        try:
            key.verify(signature, text.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def key_id(key_der: bytes) -> bytes:
    """Key id of signature type 0x02: the truncated hash of the DER-encoded public key."""
    return hashlib.sha256(key_der).digest()[:_ID_BYTES]


def sign(checkpoint: Checkpoint, signer: CheckpointSigner) -> str:
    """The signed note."""
    text = checkpoint.text()
    signature = key_id(signer.public_key_der()) + signer.sign(text.encode())
    return f"{text}\n{_SIGNATURE}{signer.name} {base64.b64encode(signature).decode()}\n"


def verify(note: str, verifiers: list[Verifier], origin: str | None) -> Checkpoint:
    """Read a signed note: the checkpoint, if a known key signed it. Unknown signatures are passed over.

    Args:
        note: The signed note.
        verifiers: Keys that may have signed it.
        origin: Name the log must have; None takes any that a known key signed.

    Raises:
        BadCheckpoint: Malformed, for another log, unsigned, or a signature by a known key does not verify.
    """
    text, signatures = _split(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    verified = False
    for name, raw in signatures:
        verifier = known.get((name, raw[:_ID_BYTES]))
        if verifier is None:
            continue
        if not verifier.verifies(text, raw[_ID_BYTES:]):
            raise BadCheckpoint(f"the signature of {name} does not verify")
        verified = True
    if not verified:
        raise BadCheckpoint("no known key signed the checkpoint")
    checkpoint = _parse(text)
    if origin is not None and checkpoint.origin != origin:
        raise BadCheckpoint(f"the checkpoint is of log {checkpoint.origin!r}, not {origin!r}")
    return checkpoint


def unverified(note: str) -> Checkpoint:
    """Read a note without looking at its signatures: for copies whose readers verify, never for a decision.

    Raises:
        BadCheckpoint: It is malformed.
    """
    return _parse(_split(note)[0])


def signatures(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text that is signed, and each signature by the name of its key, unverified.

    Raises:
        BadCheckpoint: It is not a signed note.
    """
    return _split(note)


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > _MAX_NOTE:
        raise BadCheckpoint("the note is too long")
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n") or any(char < " " and char != "\n" for char in note):
        raise BadCheckpoint("not a signed note")
    signatures = []
    for line in block.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise BadCheckpoint("a signature line is malformed") from error
        if not line.startswith(_SIGNATURE) or not name or len(raw) <= _ID_BYTES:
            raise BadCheckpoint("a signature line is malformed")
        signatures.append((name, raw))
    return text + "\n", signatures


def _parse(text: str) -> Checkpoint:
    try:
        origin, size, root, *extensions = text.removesuffix("\n").split("\n")
        times = [line.removeprefix(_TIME) for line in extensions if line.startswith(_TIME)]
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True), int(times[0]))
    except (ValueError, IndexError) as error:
        raise BadCheckpoint("the note is not a checkpoint with a time") from error
    if checkpoint.size < 0 or len(checkpoint.root) != HASH_BYTES or not origin or size != str(checkpoint.size):
        raise BadCheckpoint("the note is not a checkpoint")
    return checkpoint
