"""Seal the log in a thread of the supervisor, away from the processes that answer requests."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from greffier.adapters.secrets.references import resolve_secret
from greffier.adapters.signers.checkpoint_file import FileCheckpointSigner, known_verifiers, log_key_path, remember
from greffier.app.stores import open_journal, open_leader, open_reader
from greffier.audit.checkpoint import Verifier
from greffier.audit.ports import CheckpointSigner
from greffier.audit.sealer import Sealer
from greffier.audit.settings import AuditSettings
from greffier.audit.tiles import TileStore
from greffier.config.paths import WorkspacePaths
from greffier.config.signing import SignerError
from greffier.core.clock import SystemClock
from greffier.core.threads import BOOKKEEPING, give_way

_LAST_SEAL_S = 30.0
_INSTALL = "Install greffier[hsm]."


def checkpoint_signer(paths: WorkspacePaths, settings: AuditSettings) -> CheckpointSigner:
    """The key that signs the log: in a token where the workspace names one, else in a file.

    Raises:
        SignerError: The token or its key cannot be used.
        SecretMissing: The PIN is not where the workspace says.
        UnusableKey: The file is no usable key.
    """
    hsm = settings.hsm
    if hsm is None:
        return FileCheckpointSigner(log_key_path(paths), settings.key_name)
    try:
        module = import_module("greffier.adapters.signers.checkpoint_hsm")
    except ImportError as error:
        raise SignerError("The log's key is in a token, but PKCS#11 is not installed.", _INSTALL) from error
    pin = resolve_secret(hsm.pin, paths.root)
    signer: CheckpointSigner = module.HsmCheckpointSigner(hsm.module, hsm.token, hsm.key, pin)
    remember(log_key_path(paths), Verifier(signer.name, signer.public_key_der()))
    return signer


def make_sealer(paths: WorkspacePaths, settings: AuditSettings) -> Sealer:
    """The sealer of a workspace's log."""
    signer = checkpoint_signer(paths, settings)
    reader = open_reader(paths)
    store = TileStore(paths.log)
    return Sealer(reader, store, signer, known_verifiers(paths), settings, SystemClock(), open_leader(paths))


@asynccontextmanager
async def sealing(paths: WorkspacePaths, settings: AuditSettings) -> AsyncIterator[Sealer]:
    """Seal at every interval while inside, and once more on the way out."""
    await open_journal(paths, settings).close()  # makes the file where there is none yet
    sealer = make_sealer(paths, settings)
    stop = threading.Event()
    thread = threading.Thread(target=_seal, args=(sealer, stop), name="sealer", daemon=True)
    thread.start()
    try:
        yield sealer
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, _LAST_SEAL_S)


def _seal(sealer: Sealer, stop: threading.Event) -> None:
    give_way(BOOKKEEPING)
    sealer.run(stop)
