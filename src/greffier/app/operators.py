"""Who is at the command line: a port with two implementations, neither of which takes anybody's word for it.

Acts that need two people compare what stands here, so one person must never have two names. Therefore a workspace has
one source at a time: once a key of an operator is trusted, the kernel's word for who logged in counts no more.
"""

import os
import pwd
import secrets
from pathlib import Path
from typing import Protocol

from greffier.adapters.signers.key_file import open_key_file
from greffier.config.paths import WorkspacePaths
from greffier.config.problems import ConfigError, UnknownOperator
from greffier.config.signing import SignerError, sign, trusted_keys, verify

KEY_VARIABLE = "GREFFIER_OPERATOR_KEY"
"""Environment variable that says where an operator's private key is; whose key it is, the key itself proves."""

LOGIN_UID = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1
_PURPOSE = b"greffier.operator/1"


class IdentitySource(Protocol):
    """Says who is at the command line."""

    def who(self) -> str:
        """The person, always under the same name, and no other person under that name.

        Raises:
            UnknownOperator: It cannot be told.
        """
        ...


class KernelIdentity:
    """The operating system's word; neither option nor environment can set it.

    Where the kernel knows who logged in (``pam_loginuid``), it is that person, also behind ``sudo``: two people who
    work as one service account are still two people.
    """

    def who(self) -> str:
        """See `IdentitySource`: ``os:NAME:UID``."""
        uid = _login_uid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:  # a container may run under a number that has no name
            name = "unnamed"
        return f"os:{name}:{uid}"


class KeyIdentity:
    """Whoever holds the private key of a trusted operator: for containers, where nobody logs in."""

    def __init__(self, trusted: Path, key: Path | None) -> None:
        """Name the files; nothing is read yet.

        Args:
            trusted: Folder with the public key of each operator, ``NAME.pem``.
            key: File with the private key of whoever is at work.
        """
        self._trusted = trusted
        self._key = key

    def who(self) -> str:
        """See `IdentitySource`: ``person:NAME``, proved by a signature over a fresh challenge."""
        if self._key is None:
            raise UnknownOperator(
                "this workspace knows people by their keys, and none was named",
                f"Say where yours is: {KEY_VARIABLE}=FILE.",
            )
        challenge = secrets.token_bytes(32)
        try:
            signature = sign(challenge, open_key_file(self._key), purpose=_PURPOSE)
        except SignerError as error:
            raise UnknownOperator(error.reason, error.remedy) from error
        try:
            name = verify(
                challenge, signature, trusted_keys(self._trusted), purpose=_PURPOSE, what="operator's challenge"
            )
        except ConfigError as error:
            if error.code != "signature_untrusted":
                raise UnknownOperator(error.reason, error.remedy) from error
            raise UnknownOperator(
                "the key is not that of an operator of this workspace",
                "Let an administrator trust it: 'greffier operator trust NAME PEM'.",
            ) from error
        return f"person:{name}"


def identity_of(paths: WorkspacePaths) -> IdentitySource:
    """The one source that counts in a workspace.

    Raises:
        UnknownOperator: It cannot be told which one.
    """
    try:
        by_key = any(entry.suffix == ".pem" for entry in paths.operators.iterdir())
    except FileNotFoundError:
        by_key = False
    except OSError as error:
        raise UnknownOperator(
            f"{paths.operators} cannot be read: {error.strerror}", "Give it back to the workspace's user."
        ) from error
    if not by_key:
        return KernelIdentity()
    named = os.environ.get(KEY_VARIABLE)
    return KeyIdentity(paths.operators, Path(named) if named else None)


def process_owner() -> str:
    """As whom the platform itself runs, for what no person asked for."""
    return KernelIdentity().who()


def _login_uid() -> int:
    try:
        text = LOGIN_UID.read_text()
    except OSError:  # a kernel without auditing
        return os.getuid()
    uid = int(text)
    return os.getuid() if uid == _NOBODY_LOGGED_IN else uid
