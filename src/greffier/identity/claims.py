"""Turn the claims of a verified token into a holder: who, for which use case, in which groups and roles."""

import hashlib
import hmac
from typing import Any

import msgspec

from greffier.core.context import Principal
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.identity.settings import IssuerSettings

_MAX_NAME = 512
_SPACE_DELIMITED = {"scope", "scp"}  # RFC 8693 section 4.2, and Entra ID's name for it
_APPLICATION_MARKS = (("idtyp", "app"), ("gty", "client-credentials"))  # Entra ID; Auth0


class TokenHolder(msgspec.Struct, frozen=True):
    """A verified and mapped token, as requests need it.

    Attributes:
        principal: Who.
        tenant: The tenant that trusts the issuer for this audience.
        use_case: What the workspace's mapping says the token is for.
        purpose: From the purpose claim, or None to take the use case's own.
        expires_ms: The first millisecond in which the token is no longer accepted, clock skew included.
    """

    principal: Principal
    tenant: str
    use_case: str
    purpose: str | None
    expires_ms: int


class Pseudonyms:
    """Stable references to people that only the holder of the installation's key could recompute.

    A subject claim identifies a person. Records and policy see HMAC-SHA-256 of it under a key that never leaves the
    installation; a plain hash could be reversed by hashing every employee's id. Tenant and issuer are part of the
    message, so that references of two tenants cannot be linked.
    """

    def __init__(self, key: bytes) -> None:
        """Use ``key``.

        Raises:
            ValueError: It is shorter than 32 bytes.
        """
        if len(key) < hashlib.sha256().digest_size:
            raise ValueError("a pseudonym key has at least 32 bytes")
        self._key = key

    def subject(self, tenant: str, issuer: str, subject: str) -> str:
        """Reference to a subject: ``sub:`` and 128 bits in hex."""
        message = msgspec.json.encode([tenant, issuer, subject])  # JSON, so that no two triples run into one message
        return f"sub:{hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]}"


def read_holder(
    claims: dict[str, Any], tenant: str, settings: IssuerSettings, expires_ms: int, pseudonyms: Pseudonyms
) -> Ruling[TokenHolder]:
    """Apply the workspace's rules to the claims of a token whose signature, issuer, audience and times are verified."""
    subject = _name(claim(claims, settings.subject_claim))
    # RFC 9068 section 2.2 names the client `client_id`; OpenID providers often say `azp`.
    client = _name(claim(claims, settings.client_claim)) or _name(claims.get("client_id"))
    if not subject or not client:
        missing = settings.subject_claim if not subject else settings.client_claim
        return _invalid("claims", f"the token's {missing} claim is missing or not a name")
    scopes = names(claims, "scope" if claims.get("scope") is not None else "scp")
    groups, roles = names(claims, settings.groups_claim), names(claims, settings.roles_claim)
    if scopes is None or groups is None or roles is None:
        return _invalid("claims", "the token's scopes, groups or roles are not a list of names")
    if not set(settings.required_scopes) <= set(scopes):
        return Deny(
            Code.INSUFFICIENT_SCOPE,
            "identity.token.scope",
            "the token lacks a scope that the issuer's settings require",
        )
    use_case = next(
        (rule.use_case for rule in settings.use_cases if rule.equals in (names(claims, rule.claim) or ())), None
    )
    if use_case is None:
        return Deny(Code.TOKEN_NOT_MAPPED, "identity.token.mapping", "no mapping leads from this token to a use case")
    purpose = None
    if settings.purpose_claim is not None:
        value = claim(claims, settings.purpose_claim)
        purpose = _name(value)
        if value is not None and purpose is None:
            return _invalid("claims", "the token's purpose claim is not a name")
    attributes: dict[str, str] = {}
    for attribute, path in settings.attribute_claims.items():
        value = _name(claim(claims, path))
        if value is not None:
            attributes[attribute] = value
    principal = Principal(
        ref=pseudonyms.subject(tenant, settings.issuer, subject),
        type="service" if _is_application(claims, subject, client) else "user",
        authn="oidc",
        credential_id=f"client:{client}",  # prefixed: a client must not share the counters of a key with its name
        groups=groups,
        roles=roles,
        attributes=attributes,
    )
    return Allow(TokenHolder(principal, tenant, use_case, purpose, expires_ms), "identity.token")


def claim(claims: dict[str, Any], path: str) -> Any:
    """The claim called ``path``, or else the member that its dots lead to; None when there is neither.

    The whole name comes first because claim names are often URLs (``https://example.com/groups``).
    """
    if path in claims or "." not in path:
        return claims.get(path)
    value: Any = claims
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def names(claims: dict[str, Any], path: str) -> tuple[str, ...] | None:
    """A claim as a list of names: of one, of the words of a scope, or of many; None when it is something else."""
    value = claim(claims, path)
    if value is None:
        return ()
    if isinstance(value, str):
        parts = value.split(" ") if path in _SPACE_DELIMITED else [value]
        return tuple(part for part in parts if part)
    if isinstance(value, list) and all(_name(entry) is not None for entry in value):
        return tuple(value)
    return None


def _name(value: Any) -> str | None:
    """A usable name: text of bounded length, printable because it will stand in records."""
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable() else None


def _is_application(claims: dict[str, Any], subject: str, client: str) -> bool:
    """Whether the client acts for itself (RFC 9068 section 2.2: `sub` is then an identifier of the client)."""
    return subject == client or any(claims.get(name) == value for name, value in _APPLICATION_MARKS)


def _invalid(rule: str, reason: str) -> Deny:
    return Deny(Code.INVALID_TOKEN, f"identity.token.{rule}", reason)
