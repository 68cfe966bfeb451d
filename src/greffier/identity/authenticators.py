"""From an unauthenticated `Arrival` to a `RequestContext`, by whatever credential the caller offered."""

from greffier.core.context import Arrival, Credential, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.identity.claims import TokenHolder
from greffier.identity.directory import KeyDirectory, KeyHolder
from greffier.identity.keys import KEY_LENGTH, KEY_PREFIX, digest_of, is_well_formed
from greffier.identity.ports import Authenticator
from greffier.identity.tokens import TokenVerifier

# Made once: refusing a flood of bad credentials must be as cheap as possible.
_MISSING = Deny(Code.MISSING_CREDENTIALS, "identity.missing", "the request carries no credential")
# One answer for every key that is not valid, so that nobody learns whether an id or a prefix exists. Only the holder of
# the whole secret is told that it expired or was revoked.
_INVALID = Deny(Code.INVALID_API_KEY, "identity.key.invalid", "the API key is not valid")
_EXPIRED = Deny(Code.EXPIRED_API_KEY, "identity.key.expired", "the API key has expired")
_REVOKED = Deny(Code.REVOKED_API_KEY, "identity.key.revoked", "the API key was revoked")
_UNAVAILABLE = Deny(
    Code.IDENTITY_UNAVAILABLE,
    "identity.key.unavailable",
    "the store of API keys is out of reach, so no key can be checked",
    "Try again; the operator finds the cause in /healthz.",
    retry_after_s=5.0,
)
_KEY_RULE = "identity.key"
_JWS_DOTS = 2


class Authenticators:
    """Asks the one authenticator that recognises the credential; what it says is final."""

    def __init__(self, directory: KeyDirectory, tokens: TokenVerifier, others: tuple[Authenticator, ...] = ()) -> None:
        """Recognise API keys, then access tokens, then what ``others`` recognise."""
        self._authenticators: tuple[Authenticator, ...] = (
            KeyAuthenticator(directory),
            TokenAuthenticator(tokens),
            *others,
        )

    async def authenticate(self, arrival: Arrival) -> Ruling[RequestContext]:
        """Say who is asking, or why that cannot be said."""
        credential = arrival.credential
        if credential is None or not credential.secret:
            return _MISSING
        for authenticator in self._authenticators:
            if authenticator.recognises(credential):
                return await authenticator.authenticate(arrival, credential)
        return _INVALID


class KeyAuthenticator:
    """API keys, from the directory."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory

    def recognises(self, credential: Credential) -> bool:
        """See `Authenticator.recognises`."""
        return credential.secret.startswith(KEY_PREFIX)

    async def authenticate(self, arrival: Arrival, credential: Credential) -> Ruling[RequestContext]:
        """See `Authenticator.authenticate`."""
        if not self._directory.usable:
            return _UNAVAILABLE
        found = await self._holder(credential.secret)
        if isinstance(found, Deny):
            return found
        if found.revoked:
            return _REVOKED
        if arrival.received_ms >= found.expires_ms:
            return _EXPIRED
        return Allow(_context(arrival, found), _KEY_RULE)

    async def _holder(self, secret: str) -> KeyHolder | Deny:
        if len(secret) != KEY_LENGTH or not secret.isascii():
            return _INVALID
        digest = digest_of(secret)
        holder = self._directory.find(digest)
        if holder is not None:
            return holder
        # Perhaps created a moment ago. The checksum keeps typing errors and plain guesses away from the store.
        if not is_well_formed(secret):
            return _INVALID
        if not await self._directory.catch_up():
            return _UNAVAILABLE  # the key may be a valid one that we have not seen yet
        return self._directory.find(digest) or _INVALID


class TokenAuthenticator:
    """OAuth access tokens."""

    def __init__(self, tokens: TokenVerifier) -> None:
        self._tokens = tokens

    def recognises(self, credential: Credential) -> bool:
        """See `Authenticator.recognises`."""
        return credential.secret.count(".") == _JWS_DOTS

    async def authenticate(self, arrival: Arrival, credential: Credential) -> Ruling[RequestContext]:
        """See `Authenticator.authenticate`."""
        ruling = await self._tokens.verify(credential.secret, arrival.received_ms)
        if isinstance(ruling, Deny):
            return ruling
        return Allow(_context(arrival, ruling.value), ruling.rule)


def _context(arrival: Arrival, holder: KeyHolder | TokenHolder) -> RequestContext:
    return RequestContext(
        request_id=arrival.request_id,
        surface=arrival.surface,
        principal=holder.principal,
        tenant=holder.tenant,
        use_case=holder.use_case,
        purpose=holder.purpose,
        received_ms=arrival.received_ms,
        started=arrival.started,
    )
