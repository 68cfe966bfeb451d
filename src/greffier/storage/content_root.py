"""The root key of the content in a file; a token takes its place through the same port (`adapters/signers`)."""

import os
from collections.abc import Sequence
from pathlib import Path

from greffier.audit.content import KEY_BYTES, decrypt, encrypt
from greffier.audit.ports import ContentUnavailable, KeyWrapper


class FileKeyWrapper:
    """KeyWrapper whose root key is a file of 32 random bytes, mode 0600, created at first use."""

    def __init__(self, path: Path) -> None:
        """Open the key, or create it.

        Raises:
            ContentUnavailable: The file is no root key, may be read by others, or cannot be read.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                _create_key(path)
            if path.stat().st_mode & 0o077:
                raise ContentUnavailable(f"{path.name} may be read by others; set its mode to 0600")
            self._key = path.read_bytes()
        except OSError as error:
            raise ContentUnavailable(f"the content root key cannot be read ({error})") from error
        if len(self._key) != KEY_BYTES:
            raise ContentUnavailable(f"{path.name} is not a key of {KEY_BYTES} bytes")

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """Encrypt a key; ``purpose`` must be given again to unwrap it."""
        return encrypt(self._key, key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """Decrypt a key.

        Raises:
            ContentUnavailable: It was not wrapped by this root key for this purpose.
        """
        return decrypt(self._key, wrapped, purpose)


class SuccessiveRoots:
    """`KeyWrapper` while one root takes over from others: the newest wraps, whichever it was unwraps."""

    def __init__(self, newest: KeyWrapper, older: Sequence[KeyWrapper]) -> None:
        self._newest = newest
        self._older = older

    def wrap(self, key: bytes, purpose: bytes) -> bytes:
        """See `KeyWrapper.wrap`."""
        return self._newest.wrap(key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """See `KeyWrapper.unwrap`; what the newest root says counts where none can."""
        try:
            return self._newest.unwrap(wrapped, purpose)
        except ContentUnavailable:
            for root in self._older:
                try:
                    return root.unwrap(wrapped, purpose)
                except ContentUnavailable:
                    continue
            raise


def _create_key(path: Path) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, path)  # atomic, and loses against another worker that was faster
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
