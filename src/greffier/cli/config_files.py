"""What the ``config`` commands do with files: bundles, releases and keys; every failure explained."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from greffier.adapters.secrets.references import SecretMissing, resolve_secret
from greffier.adapters.signers.key_file import create_key_file, open_key_file
from greffier.app.recording import record_act
from greffier.audit.ports import JournalUnavailable
from greffier.cli.output import Exit, fail
from greffier.config.bundle import MAX_BUNDLE_BYTES, Bundle, build, parse_bundle
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError
from greffier.config.releases import (
    BUNDLE_FILE,
    SIGNATURE_FILE,
    activate,
    check_release,
    read_bounded,
    replace_file,
    store_release,
    trust_folder,
)
from greffier.config.signing import (
    MAX_SIGNATURE_BYTES,
    Signer,
    SignerError,
    fingerprint,
    public_pem,
    sign,
    trusted_keys,
)

_MAX_KEY_BYTES = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@contextmanager
def explained(*, as_json: bool) -> Iterator[None]:
    """Turn the errors of this module and of `greffier.config` into a message, a remedy and an exit code."""
    try:
        yield
    except ConfigError as error:
        fail(error.reason, error.remedy, code=Exit.CONFIG, as_json=as_json)
    except SignerError as error:
        fail(error.reason, error.remedy, code=Exit.UNAVAILABLE, as_json=as_json)
    except SecretMissing as error:
        fail(f"The PIN is missing: {error}.", "Set it, or name another place.", code=Exit.UNAVAILABLE, as_json=as_json)
    except JournalUnavailable as error:
        reason = f"The act cannot be recorded, so nothing was done: {error}"
        fail(reason, "Free disk space or correct the state folder's mode.", code=Exit.UNAVAILABLE, as_json=as_json)
    except OSError as error:
        reason = f"{error.filename} cannot be used: {error.strerror}."
        fail(reason, "Name a place you may read and write.", code=Exit.UNAVAILABLE, as_json=as_json)


def open_signer(
    paths: WorkspacePaths, key: Path | None, *, module: Path | None, token: str, label: str, pin: str
) -> Signer:
    """Open the signer that the options describe: an HSM when a PKCS#11 module is named, else a key file.

    Raises:
        SignerError: The key cannot be used.
        SecretMissing: The PIN is not where the reference says.
    """
    if module is None:
        return open_key_file(key or signing_key(paths))
    if not (token and label and pin):
        raise SignerError(
            "An HSM needs its token, key and PIN named.", "Add --pkcs11-token, --pkcs11-key and --pkcs11-pin."
        )
    if not pin.startswith(("env:", "file:")):
        raise SignerError(
            "The PIN stands on the command line, where others can see it.", "Write env:NAME or file:PATH instead."
        )
    try:
        adapter = importlib.import_module("greffier.adapters.signers.pkcs11")  # its library is the extra [hsm]
    except ModuleNotFoundError as error:
        raise SignerError("PKCS#11 support is not installed.", "Install greffier[hsm].") from error
    signer: Signer = adapter.Pkcs11Signer(str(module), token, label, resolve_secret(pin, paths.root))
    return signer


def signing_key(paths: WorkspacePaths) -> Path:
    """Where ``sign-key`` puts the private key."""
    return paths.secrets / "bundle-signing.pem"


def release(paths: WorkspacePaths, bundle: Bundle, signer: Signer) -> Path:
    """Sign a bundle, store it and put it in force; return the release's folder."""
    store_release(paths, bundle.data, sign(bundle.data, signer))
    _put_in_force(paths, bundle.revision, fingerprint(signer.public_key_der()))
    return paths.releases / bundle.revision


def activate_release(paths: WorkspacePaths, named: str) -> tuple[str, str]:
    """Put a release in force, named by its revision or by a folder; return the revision and the signer's name."""
    folder = Path(named)
    if (folder / BUNDLE_FILE).is_file():
        data = read_bounded(folder / BUNDLE_FILE, MAX_BUNDLE_BYTES)
        named = store_release(paths, data, read_bounded(folder / SIGNATURE_FILE, MAX_SIGNATURE_BYTES)).revision
    bundle, signed_by = check_release(paths, named)
    _put_in_force(paths, bundle.revision, signed_by)
    return bundle.revision, signed_by


def _put_in_force(paths: WorkspacePaths, revision: str, signed_by: str) -> None:
    record_act(paths, "release.activate", f"bundle:{revision}", details={"signed_by": signed_by})
    activate(paths, revision)


def write_bundle(folder: Path, bundle: Bundle, signer: Signer | None) -> list[Path]:
    """Write a bundle, and its signature if there is a signer, into a folder; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / BUNDLE_FILE, bundle.data)
    written = [folder / BUNDLE_FILE]
    if signer is not None:
        replace_file(folder / SIGNATURE_FILE, sign(bundle.data, signer))
        written.append(folder / SIGNATURE_FILE)
    return written


def open_bundle(path: Path) -> Bundle:
    """Build the bundle of a workspace's folder, or read one from a release's folder or a file.

    Raises:
        ConfigError: It is not valid, or there is none.
    """
    if path.is_dir():
        release_file = path / BUNDLE_FILE
        return parse_bundle(read_bounded(release_file, MAX_BUNDLE_BYTES)) if release_file.is_file() else build(path)
    return parse_bundle(read_bounded(path, MAX_BUNDLE_BYTES))


def publish_key(paths: WorkspacePaths, signer: Signer, private: str, *, trust: bool) -> dict[str, str | bool]:
    """Write a signer's public key, and trust it if asked; return what there is to know about the key."""
    paths.ensure()
    public = paths.secrets / f"{signer.name}.pub.pem"
    replace_file(public, public_pem(signer.public_key_der()))
    if trust:
        trust_key(paths, public, "")
    key = fingerprint(signer.public_key_der())
    return {"fingerprint": key, "private": private, "public": str(public), "trusted": trust}


def create_signing_key(paths: WorkspacePaths) -> tuple[Signer, str]:
    """Make a signing key in a file; return it with the file's name."""
    paths.ensure()
    return create_key_file(signing_key(paths)), str(signing_key(paths))


def trust_key(
    paths: WorkspacePaths, pem: Path, name: str, *, folder: Path | None = None, action: str = "signer.trust"
) -> tuple[str, str]:
    """Place a public key in a trust directory; return its name there and its fingerprint.

    Args:
        paths: The workspace.
        pem: The key.
        name: Its name; empty takes the file's.
        folder: The directory; that of signers of releases if absent.
        action: How the act is recorded.

    Raises:
        ConfigError: It is not a P-256 public key, or another key has this name.
    """
    name = name or pem.name.removesuffix(".pem").removesuffix(".pub")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "trust_invalid", "This cannot be the name of a key.", "Choose one with --name: a-z, 0-9, '-'."
        )
    try:
        key = load_pem_public_key(read_bounded(pem, _MAX_KEY_BYTES))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("trust_invalid", f"{pem} is no public key.", "Name the .pub.pem file.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("trust_invalid", f"{pem} is not a P-256 key.", "Make one with 'greffier config sign-key'.")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    paths.ensure()
    folder = folder or trust_folder(paths)
    target = folder / f"{name}.pem"
    if der in [known for other, known in trusted_keys(folder).items() if other != name]:
        raise ConfigError("trust_invalid", "This key is trusted under another name.", "Keep using that name.")
    if target.exists() and target.read_bytes() != public_pem(der):
        raise ConfigError("trust_invalid", f"Another key is trusted as '{name}'.", "Choose another --name.")
    record_act(paths, action, f"key:{fingerprint(der)}", details={"name": name})
    target.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(target, public_pem(der))
    return name, fingerprint(der)
