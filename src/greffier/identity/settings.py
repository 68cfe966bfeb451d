"""The part of ``greffier.yaml`` that says whom the gateway believes."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.settings import Settings

Algorithm = Literal["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "EdDSA"]


class UseCaseMapping(Settings, frozen=True, kw_only=True):
    """When ``claim`` equals (or, for a list claim, contains) ``equals``, the token belongs to ``use_case``."""

    claim: str
    equals: str
    use_case: str


class IssuerSettings(Settings, frozen=True, kw_only=True):
    """An OpenID Connect issuer whose RFC 9068 access tokens a tenant accepts."""

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


class TenantSettings(Settings, frozen=True, kw_only=True):
    """An organisation whose data is kept apart from every other's."""

    title: str
    issuers: tuple[IssuerSettings, ...] = ()
