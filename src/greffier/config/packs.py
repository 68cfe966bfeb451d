"""Signature packs of a workspace: ``guardrails/packs/NAME.json`` with ``NAME.sig`` beside it.

A pack is read only if the key that the workspace pins for it signed exactly these bytes. What is read goes into the
bundle, so the gateway and ``guard serve`` run what was reviewed and released, and never look for packs themselves.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from greffier.config.problems import ConfigError, Problem
from greffier.config.signing import MAX_SIGNATURE_BYTES, Signer, public_key_der, sign, verify
from greffier.config.workspace import Located, Sources
from greffier.core.errors import GreffierError
from greffier.guardrails.settings import SignaturePackSettings
from greffier.guardrails.signature_packs import SignaturePack, parse_pack

FOLDER = "guardrails/packs"
PURPOSE = b"greffier.signature-pack/1"
MAX_PACK_BYTES = 8_388_608


def pack_files(root: Path, name: str) -> tuple[Path, Path]:
    """Where a pack and its signature lie."""
    return root / FOLDER / f"{name}.json", root / FOLDER / f"{name}.sig"


def sign_pack(data: bytes, signer: Signer) -> bytes:
    """The bytes of a pack's signature file.

    Raises:
        SignerError: The key cannot be used.
        GreffierError: It is no pack that could be used.
    """
    parse_pack(data)
    return sign(data, signer, purpose=PURPOSE)


def verified_pack(name: str, data: bytes, signature: bytes, key_pem: str) -> SignaturePack:
    """The pack that these bytes are, once the signature of the pinned key holds.

    Raises:
        ConfigError: The key cannot be read, or the signature is not one by it over these bytes.
        GreffierError: It is no pack, or another one than its file says.
    """
    verify(data, signature, {name: public_key_der(key_pem)}, purpose=PURPOSE, what="pack")
    pack = parse_pack(data)
    if pack.name != name:
        raise ConfigError("pack_invalid", f"The file {name}.json holds the pack '{pack.name}'.", "Rename the file.")
    return pack


def read_packs(root: Path, sources: Sources) -> Iterator[Problem]:
    """Read every pack that the workspace names into ``sources``; each that cannot be used is a mistake."""
    for name, place in sources.packs.items():
        try:
            sources.pack_contents[name] = _read(root, name, place)
        except OSError as error:
            yield place.problem(
                (), "pack_missing", f"{FOLDER}/{name}.json or its .sig cannot be read: {error.strerror}.",
                "Run 'greffier guard pack install FILE'.", at_key=True,
            )  # fmt: skip
        except (ConfigError, GreffierError) as error:
            yield place.problem(
                (), "pack_invalid", f"The pack cannot be used: {error.reason}", error.remedy, at_key=True
            )


def _read(root: Path, name: str, place: Located[SignaturePackSettings]) -> SignaturePack:
    file, signature = pack_files(root, name)
    return verified_pack(name, bounded(file, MAX_PACK_BYTES), bounded(signature, MAX_SIGNATURE_BYTES), place.value.key)


def bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: It cannot be read.
        ConfigError: It is larger than ``limit``.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigError("pack_invalid", f"{path.name} is larger than {limit} bytes.", "Split the pack.")
    return data


def newer(data: bytes, installed: bytes) -> bool:
    """Whether a pack may replace the one installed: an older version would bring back what was withdrawn."""
    try:
        return parse_pack(data).version >= msgspec.json.decode(installed, type=SignaturePack).version
    except msgspec.DecodeError:
        return True  # what lies there is no pack, and protects nothing
