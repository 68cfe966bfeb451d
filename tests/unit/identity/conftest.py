from collections.abc import AsyncIterator

import pytest

from greffier.identity.claims import Pseudonyms
from greffier.identity.jwks import IssuerKeys
from greffier.identity.settings import IssuerSettings, TenantSettings, UseCaseMapping
from greffier.identity.tokens import TokenVerifier
from greffier.testing.clock import ManualClock
from greffier.testing.issuer import AUDIENCE, ISSUER, MemoryIssuer

PSEUDONYM_KEY = bytes(range(32))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def issuer() -> MemoryIssuer:
    return MemoryIssuer()


@pytest.fixture
def settings() -> IssuerSettings:
    return IssuerSettings(
        issuer=ISSUER,
        audience=AUDIENCE,
        use_cases=(UseCaseMapping(claim="client_id", equals="claims-frontend", use_case="claims"),),
    )


@pytest.fixture
async def keys(issuer: MemoryIssuer, clock: ManualClock) -> AsyncIterator[IssuerKeys]:
    kept = IssuerKeys(issuer, clock)
    yield kept
    await kept.close()


@pytest.fixture
def verifier(settings: IssuerSettings, keys: IssuerKeys) -> TokenVerifier:
    return TokenVerifier({"acme": TenantSettings(title="Acme", issuers=(settings,))}, keys, Pseudonyms(PSEUDONYM_KEY))
