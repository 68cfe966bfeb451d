"""Keys the installation makes for itself at first use, readable by its owner only."""

import os
import secrets
from pathlib import Path

_KEY_BYTES = 32


def load_or_create_key(path: Path) -> bytes:
    """Return the 256-bit key in ``path``, made at first use.

    Several processes may ask at once: the file appears whole under its name or not at all.

    Raises:
        ValueError: The file does not hold a key of ours.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was first; then its key counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path} is not a {_KEY_BYTES * 8}-bit key")
    return key
