"""Cosignatures of witnesses (C2SP tlog-cosignature, c2sp.org/tlog-cosignature): someone else saw the log grow.

A cosignature is one more line under the note: key id, eight bytes of Unix time, and an Ed25519 signature over
``cosignature/v1``, the time and the text of the checkpoint. It says: then this was the newest checkpoint I knew, and
it is consistent with every earlier one I cosigned.
"""

import base64
import hashlib
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from greffier.audit.checkpoint import BadCheckpoint, signatures

_TYPE = b"\x04"
_ID_BYTES = 4
_TIME_BYTES = 8
_KEY_BYTES = 32
_DASH = "\N{EM DASH}"


class WitnessKey(msgspec.Struct, frozen=True):
    """The public key of a witness.

    Attributes:
        name: Name in the signature line.
        key: 32 bytes, Ed25519.
    """

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that stand before the signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.key).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key in one line: ``name+hash+base64(type || key)``."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_TYPE + self.key).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> "WitnessKey":
        """Read the one-line form.

        Raises:
            BadCheckpoint: It is not a cosignature key, or its hash does not fit.
        """
        try:
            name, identifier, encoded = vkey.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise BadCheckpoint("not a verifier key of the form name+hash+base64") from error
        found = cls(name, raw[1:])
        if raw[:1] != _TYPE or len(found.key) != _KEY_BYTES or identifier != found.key_id.hex():
            raise BadCheckpoint(f"the key of {name} is not for cosignatures, or its hash does not fit")
        return found


class Cosignature(msgspec.Struct, frozen=True):
    """A cosignature that verified: who, and when (seconds since the epoch)."""

    name: str
    time_s: int


def key_of(name: str, private: Ed25519PrivateKey) -> WitnessKey:
    """The public key of a witness."""
    return WitnessKey(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def cosign(note: str, name: str, private: Ed25519PrivateKey, time_s: int) -> str:
    """The note with one signature more. The caller has verified the note.

    Raises:
        BadCheckpoint: It is not a signed note.
    """
    text, _ = signatures(note)
    raw = key_of(name, private).key_id + time_s.to_bytes(_TIME_BYTES, "big") + private.sign(_message(text, time_s))
    return f"{note}{_DASH} {name} {base64.b64encode(raw).decode()}\n"


def cosigners(note: str, witnesses: Sequence[WitnessKey]) -> list[Cosignature]:
    """Witnesses whose cosignature stands under the note, each once. Unknown signatures are passed over.

    Raises:
        BadCheckpoint: Not a note, or a cosignature by a known key does not verify.
    """
    text, lines = signatures(note)
    known = {(witness.name, witness.key_id): witness for witness in witnesses}
    found: dict[bytes, Cosignature] = {}  # by key: one witness under two names is one witness
    for name, raw in lines:
        witness = known.get((name, raw[:_ID_BYTES]))
        if witness is None:
            continue
        time_s = int.from_bytes(raw[_ID_BYTES : _ID_BYTES + _TIME_BYTES], "big")
        try:
            key = Ed25519PublicKey.from_public_bytes(witness.key)
            key.verify(raw[_ID_BYTES + _TIME_BYTES :], _message(text, time_s))
        except InvalidSignature as error:
            raise BadCheckpoint(f"the cosignature of {name} does not verify") from error
        found.setdefault(witness.key, Cosignature(name, time_s))
    return list(found.values())


def merged(notes: Sequence[str]) -> str:
    """One note with the signatures of several notes of the same checkpoint.

    Raises:
        BadCheckpoint: They are of different checkpoints.
    """
    texts = {signatures(note)[0] for note in notes}
    if len(texts) != 1:
        raise BadCheckpoint("the notes are of different checkpoints")
    lines = dict.fromkeys(line for note in notes for line in note.rpartition("\n\n")[2].splitlines())
    return f"{texts.pop()}\n" + "".join(f"{line}\n" for line in lines)


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()
