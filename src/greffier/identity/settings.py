"""The part of ``greffier.yaml`` that says whom the gateway believes."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.settings import Identifier, Settings, ValueOrEnv

Algorithm = Literal["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "EdDSA"]


class UseCaseMapping(Settings, frozen=True, kw_only=True):
    """When ``claim`` equals (or, for a list claim, contains) ``equals``, the token belongs to ``use_case``."""

    claim: str
    equals: str
    use_case: str


class IssuerSettings(Settings, frozen=True, kw_only=True):
    """An OpenID Connect issuer whose RFC 9068 access tokens a tenant accepts.

    ``token_types`` names the accepted ``typ`` headers. Add ``JWT`` only for providers that do not follow RFC 9068
    (Entra ID among them): their access tokens cannot be told from other JWTs by type. ``attribute_claims`` makes claims
    readable to policy rules, as attribute name: claim. Claims inside objects are written with dots
    (``realm_access.roles``). ``proxy`` is the HTTP proxy through which the issuer is reached.
    """

    issuer: str
    audience: str
    algorithms: tuple[Algorithm, ...] = ("ES256", "RS256", "PS256", "EdDSA")
    jwks_uri: str | None = None
    client_claim: str = "azp"
    subject_claim: str = "sub"
    groups_claim: str = "groups"
    roles_claim: str = "roles"
    purpose_claim: str | None = None
    use_cases: tuple[UseCaseMapping, ...] = ()
    required_scopes: tuple[str, ...] = ()
    clock_skew_s: Annotated[int, Meta(ge=0, le=300)] = 30
    jwks_max_age_s: Annotated[int, Meta(ge=60)] = 3600
    jwks_stale_s: Annotated[int, Meta(ge=0)] = 86400
    ca_file: str | None = None
    token_types: tuple[Literal["at+jwt", "JWT"], ...] = ("at+jwt",)
    attribute_claims: dict[Identifier, str] = {}
    proxy: ValueOrEnv | None = None


class TenantSettings(Settings, frozen=True, kw_only=True):
    """An organisation whose data is kept apart from every other's.

    ``contact``, ``representative`` and ``dpo`` are needed where it is a controller that you work for as a processor
    (GDPR Art. 30(2)(a)).
    """

    title: str
    contact: str = ""
    representative: str = ""
    dpo: str = ""
    issuers: tuple[IssuerSettings, ...] = ()


class IdentitySettings(Settings, frozen=True, kw_only=True):
    """How closely API keys follow their store, and how long verified tokens are remembered. Read at start.

    ``key_poll_s`` bounds how long a revoked key still works; ``key_outage_s`` how long the last known keys serve while
    the store is out of reach; ``token_cache_s`` how long a verified token is not verified again.
    """

    key_poll_s: Annotated[float, Meta(ge=0.05, le=0.8)] = 0.2
    key_outage_s: Annotated[float, Meta(ge=0, le=86_400)] = 900.0
    token_cache_s: Annotated[int, Meta(ge=0, le=600)] = 60
    token_cache_entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
