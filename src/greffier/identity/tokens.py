"""Verify OAuth 2.0 access tokens (RFC 9068), as an argument in steps.

What the steps establish, in order; each may rely on those before it, and each has a test per attack in
``tests/unit/identity/test_tokens.py``:

 1. Bounded: the token is short enough to be worth reading.
 2. Unambiguous: three strict base64url parts; header and claims are JSON objects that every parser reads alike
    (RFC 7515 section 5.2; RFC 7519 section 4; RFC 8725 sections 2.6 and 3.7).
 3. Nothing in it must be understood that we do not understand: no ``crit`` (RFC 7515 section 4.1.11).
 4. From one pinned issuer for one pinned audience of one tenant (RFC 9068 section 4; RFC 8725 sections 3.8 and 3.9).
    These claims are read before the signature only to choose the key set. Lying about them chooses a set in which the
    signature of step 7 fails.
 5. An access token and nothing else: ``typ`` is ``at+jwt`` (RFC 9068 section 4; RFC 8725 section 3.11).
 6. With an algorithm that this issuer's settings allow (RFC 8725 section 3.1). ``none`` and the symmetric algorithms
    cannot be written in the settings.
 7. Signed by a key that this issuer published for that algorithm. The header names the key by its id only; ``jku``,
    ``jwk``, ``x5u`` and ``x5c`` are never read (RFC 8725 section 3.10).
 8. In force: ``exp`` passed is refusal, so are ``nbf`` and ``iat`` in the future (RFC 7519 sections 4.1.4 to 4.1.6).
 9. Complete: the claims that RFC 9068 section 2.2 requires are there (step 10 asks for the subject and the client, by
    the names the workspace gives them). And a bearer token: one that is bound to a key or a certificate (``cnf``, RFC
    7800) must not be honoured without proof of possession, which we do not check (RFC 9449 section 7.2; RFC 8705
    section 3).
10. Mapped: scopes suffice and the workspace's rules lead to a use case (`greffier.identity.claims`).

A verified token is remembered under SHA-256 of the *whole* token. A shorter key would let a forged token with the same
beginning ride on the verdict of a real one: all tokens of an issuer begin alike (CVE-2026-35030 was a cache keyed by
``token[:20]``). Only verified tokens are remembered, never refusals, so strangers cannot fill the memory. The verdict
ends with the token, with the signing key and with the snapshot.
"""

import hashlib
from typing import Any, get_args

import msgspec
from joserfc.jws import JWSRegistry

from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.identity.claims import Pseudonyms, TokenHolder, read_holder
from greffier.identity.jose import Jws, Malformed, read_object, split_jws
from greffier.identity.jwks import MAX_KID_LENGTH, IssuerKeys, KeyRing, Trust
from greffier.identity.ports import JwksLocation, JwksUnavailable
from greffier.identity.settings import Algorithm, IdentitySettings, IssuerSettings, TenantSettings

MAX_TOKEN_BYTES = 16_384
_LATEST = 100_000_000_000  # seconds; the year 5138. Keeps arithmetic on times exact
# Marks of ID tokens (OpenID Connect Core section 2) and of logout tokens, where the type does not tell.
_FOREIGN = ("nonce", "at_hash", "c_hash", "s_hash", "events")
_ALGORITHMS = {
    # Joserfc knows EdDSA with Ed25519 by the name RFC 9864 gave it.
    name: JWSRegistry.algorithms["Ed25519" if name == "EdDSA" else name]
    for name in get_args(Algorithm)
}


class IssuerConflict(ValueError):  # noqa: N818 - named for the condition
    """Two tenants trust the same issuer for the same audience, so a token could not be told which it is for."""


class _Trusted(msgspec.Struct, frozen=True):
    tenant: str
    settings: IssuerSettings
    trust: Trust
    types: frozenset[str]


class _Remembered(msgspec.Struct, frozen=True):
    ruling: Allow[TokenHolder]
    until_ms: int
    ring: KeyRing
    version: int


def trusts_of(tenants: dict[str, TenantSettings]) -> frozenset[Trust]:
    """All issuers that a snapshot trusts, for `IssuerKeys.keep`."""
    return frozenset(_trust(settings) for tenant in tenants.values() for settings in tenant.issuers)


class TokenVerifier:
    """Verifies access tokens against the issuers of one snapshot."""

    def __init__(
        self,
        tenants: dict[str, TenantSettings],
        keys: IssuerKeys,
        pseudonyms: Pseudonyms,
        settings: IdentitySettings = IdentitySettings(),  # noqa: B008 - frozen
    ) -> None:
        """Pin the issuers.

        Raises:
            IssuerConflict: Two of them cannot be told apart.
        """
        self._keys = keys
        self._pseudonyms = pseudonyms
        self._settings = settings
        self._issuers = _pinned(tenants)
        self._remembered: dict[bytes, _Remembered] = {}

    async def verify(self, token: str, now_ms: int) -> Ruling[TokenHolder]:
        """Say who holds the token, or why it is refused."""
        if len(token) > MAX_TOKEN_BYTES:  # step 1
            return _invalid("size", f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        if not token.isascii():
            return _invalid("format", "the token is not a compact JWS")
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None:
            if (
                now_ms < remembered.until_ms
                and remembered.ring.version == remembered.version
                and remembered.ring.usable
            ):
                return remembered.ruling
            del self._remembered[digest]
        verdict = await self._verify(token, now_ms)
        if isinstance(verdict, Deny):
            return verdict
        self._remember(digest, verdict)
        return verdict.ruling

    async def _verify(self, token: str, now_ms: int) -> _Remembered | Deny:
        try:
            jws = split_jws(token)  # step 2
            claims = read_object(jws.payload)
        except Malformed as error:
            return _invalid("format", f"the token cannot be read: {error}")
        chosen = self._choose(jws.header, claims)
        if isinstance(chosen, Deny):
            return chosen
        ring = self._keys.ring(chosen.trust)
        refusal = await _check_signature(jws, chosen.settings, ring)
        version = ring.version  # of the keys just used: nothing was awaited since they were found
        refusal = refusal or _check_times(claims, chosen.settings, now_ms) or _check_kind(claims, _type(jws.header))
        if refusal is not None:
            return refusal
        expires_ms = int((claims["exp"] + chosen.settings.clock_skew_s) * 1000)
        ruling = read_holder(claims, chosen.tenant, chosen.settings, expires_ms, self._pseudonyms)  # step 10
        if isinstance(ruling, Deny):
            return ruling
        until_ms = min(expires_ms, now_ms + self._settings.token_cache_s * 1000)
        return _Remembered(ruling, until_ms, ring, version)

    def _choose(self, header: dict[str, Any], claims: dict[str, Any]) -> _Trusted | Deny:
        if "crit" in header:  # step 3
            return _invalid("crit", "the token demands extensions that are not supported")
        issuer = claims.get("iss")
        pinned = self._issuers.get(issuer, ()) if isinstance(issuer, str) else ()
        if not pinned:
            return _invalid("issuer", "the token's issuer is not trusted")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        fitting = [trusted for trusted in pinned if trusted.settings.audience in audiences]  # step 4
        if len(fitting) != 1:
            why = "names two tenants" if fitting else "is not this gateway"
            return _invalid("audience", f"the token's audience {why}")
        if _type(header) not in fitting[0].types:  # step 5
            return _invalid("type", "the token is not an access token of an accepted type (RFC 9068: typ at+jwt)")
        return fitting[0]

    def _remember(self, digest: bytes, verdict: _Remembered) -> None:
        while len(self._remembered) >= self._settings.token_cache_entries:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = verdict


async def _check_signature(jws: Jws, settings: IssuerSettings, ring: KeyRing) -> Deny | None:
    algorithm, kid = jws.header.get("alg"), jws.header.get("kid")
    if algorithm not in settings.algorithms:  # step 6
        return _invalid("algorithm", "the token's signature algorithm is not allowed for its issuer")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        return _invalid("key", "the token does not say which key signed it (kid)")
    try:
        key = await ring.find(kid, algorithm)  # step 7
    except JwksUnavailable as error:
        return Deny(
            Code.IDENTITY_UNAVAILABLE,
            "identity.token.unavailable",
            f"the token cannot be checked: {error}",
            "Try again in a few seconds; if it lasts, tell the operator.",
            retry_after_s=5.0,
        )
    if key is None:
        return _invalid("key", "the issuer has no key with the token's kid for its algorithm")
    if not _ALGORITHMS[algorithm].verify(jws.signing_input, jws.signature, key):
        return _invalid("signature", "the token's signature is wrong")
    return None


def _check_times(claims: dict[str, Any], settings: IssuerSettings, now_ms: int) -> Deny | None:
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if claims.get(name) is not None}
    if "exp" not in times or "iat" not in times or not all(_is_time(value) for value in times.values()):
        return _invalid("claims", "the token lacks a time (exp, iat), or one is not a number of seconds")
    now_s, skew_s = now_ms / 1000, settings.clock_skew_s
    if now_s >= times["exp"] + skew_s:  # step 8
        return _invalid("expired", "the token has expired")
    if max(times["iat"], times.get("nbf", 0)) > now_s + skew_s:
        return _invalid("early", "the token is not valid yet")
    return None


def _check_kind(claims: dict[str, Any], typ: str) -> Deny | None:
    if typ == "at+jwt" and not claims.get("jti"):  # step 9
        return _invalid("claims", "the token lacks the jti claim")
    if any(name in claims for name in _FOREIGN):
        return _invalid("type", "the token is an ID token or a logout token and not an access token")
    if "cnf" in claims:
        return _invalid("bound", "the token is bound to a key whose possession the gateway cannot check")
    return None


def _pinned(tenants: dict[str, TenantSettings]) -> dict[str, tuple[_Trusted, ...]]:
    pinned: dict[str, tuple[_Trusted, ...]] = {}
    for tenant, tenant_settings in tenants.items():
        for settings in tenant_settings.issuers:
            others = pinned.get(settings.issuer, ())
            for other in others:
                if other.settings.audience == settings.audience:
                    raise IssuerConflict(
                        f"tenants {other.tenant} and {tenant} both accept tokens of {settings.issuer} "
                        f"for the audience {settings.audience}; give each its own audience"
                    )
            types = frozenset(accepted.lower() for accepted in settings.token_types)
            pinned[settings.issuer] = (*others, _Trusted(tenant, settings, _trust(settings), types))
    return pinned


def _trust(settings: IssuerSettings) -> Trust:
    location = JwksLocation(settings.issuer, settings.jwks_uri, settings.ca_file, settings.proxy)
    return Trust(location, settings.jwks_max_age_s, settings.jwks_stale_s)


def _type(header: dict[str, Any]) -> str:
    """The media type without its optional prefix, in lower case (RFC 7515 section 4.1.9)."""
    typ = header.get("typ")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""


def _is_time(value: Any) -> bool:
    """A NumericDate (RFC 7519 section 2) in a range where arithmetic is exact; ``true`` is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _invalid(rule: str, reason: str) -> Deny:
    return Deny(Code.INVALID_TOKEN, f"identity.token.{rule}", reason)
