"""Ports of identity: how a caller is recognised, where API keys are kept, where issuers' public keys come from."""

from typing import Protocol

import msgspec

from greffier.core.context import Arrival, Credential, RequestContext
from greffier.core.rulings import Ruling
from greffier.identity.keys import KeyRecord


class Authenticator(Protocol):
    """Understands one kind of credential. On the request path: answers from memory, in microseconds, without I/O."""

    def recognises(self, credential: Credential) -> bool:
        """Whether the credential has this kind's shape. Says nothing about whether it is genuine."""
        ...

    async def authenticate(self, arrival: Arrival, credential: Credential) -> Ruling[RequestContext]:
        """Say who is asking. Called only with a credential it recognises; nobody else is asked after it."""
        ...


class KeyStoreUnavailable(Exception):  # noqa: N818 - named for the condition the directory asks about
    """The store of API keys cannot be read or written now. The message names the cause, never a key."""


class KeyNotFound(Exception):  # noqa: N818 - named for the condition
    """No key has this id."""


class KeyConflict(Exception):  # noqa: N818 - named for the condition
    """The key is not in a state that allows the act: already revoked, expired or rotated. The message says which."""


class Generation(msgspec.Struct, frozen=True):
    """Which state of which store a reader has seen.

    Attributes:
        store: Random name given when the store was made; another name means other keys (a restored or new database).
        number: Grows by at least one with every committed change.
    """

    store: str
    number: int


class KeyChanges(msgspec.Struct, frozen=True):
    """Keys that changed.

    Attributes:
        generation: State the reader has reached once it applied ``records``.
        records: Every key created, rotated or revoked since. A record may be delivered twice; none is left out.
    """

    generation: Generation
    records: tuple[KeyRecord, ...]


class KeyStore(Protocol):
    """Keeps API keys. Blocking: called from a thread or the command line, never on the request path.

    Keys are never deleted: a revoked or expired key stays, so that its holder is told why and audits stay readable.
    Every method raises `KeyStoreUnavailable` when the store cannot be reached.
    """

    def create(self, record: KeyRecord) -> None:
        """Add a key.

        Raises:
            KeyConflict: The id or the digest exists.
        """
        ...

    def rotate(self, key_id: str, successor: KeyRecord, retire_ms: int) -> KeyRecord:
        """Add ``successor`` and let ``key_id`` expire at ``retire_ms`` (or at its own expiry, if that is sooner).

        Both happen or neither. Returns the old key as it now stands.

        Raises:
            KeyNotFound: No such key.
            KeyConflict: The key is revoked, expired (at ``successor.created_ms``) or has a successor already.
        """
        ...

    def revoke(self, key_id: str, *, at_ms: int, reason: str) -> KeyRecord:
        """Withdraw a key for good. Returns it as it now stands.

        Raises:
            KeyNotFound: No such key.
            KeyConflict: The key is revoked already.
        """
        ...

    def get(self, key_id: str) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFound: No such key.
        """
        ...

    def list(self, tenant: str | None = None) -> tuple[KeyRecord, ...]:
        """All keys, or those of one tenant, oldest first."""
        ...

    def generation(self) -> Generation:
        """The state of the store, cheap enough to ask several times a second."""
        ...

    def changes(self, since: int = 0) -> KeyChanges:
        """Keys whose last change came after generation number ``since``; 0 gives all."""
        ...


class JwksUnavailable(Exception):  # noqa: N818 - named for the condition callers are told about
    """An issuer's public keys cannot be had now. The message names the cause."""


class JwksLocation(msgspec.Struct, frozen=True):
    """Where an issuer publishes its public keys.

    Attributes:
        issuer: Issuer identifier, exactly as in the ``iss`` claim.
        jwks_uri: Address of the key set, or None to discover it from the issuer.
        ca_file: Certificates to trust instead of the system's; None trusts the system's.
        proxy: URL of the HTTP proxy, or ``env:NAME``; None connects directly.
    """

    issuer: str
    jwks_uri: str | None = None
    ca_file: str | None = None
    proxy: str | None = None


class JwksSource(Protocol):
    """Fetches key sets. Knows nothing of caching: `greffier.identity.jwks` decides when to ask."""

    async def fetch(self, location: JwksLocation) -> bytes:
        """Return the JSON Web Key Set as the issuer serves it now, bounded in size and time.

        Raises:
            JwksUnavailable: It cannot be had, whatever the cause.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
