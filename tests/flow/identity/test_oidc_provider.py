"""Tokens of a real provider, fetched keys and all, through `Authenticators`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from greffier.adapters.idp.jwks import HttpJwksSource
from greffier.core.clock import SystemClock
from greffier.core.context import Arrival, Credential, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.identity.authenticators import Authenticators
from greffier.identity.claims import Pseudonyms
from greffier.identity.directory import KeyDirectory
from greffier.identity.jwks import IssuerKeys
from greffier.identity.settings import IssuerSettings, TenantSettings, UseCaseMapping
from greffier.identity.tokens import TokenVerifier, trusts_of
from greffier.storage.keys import SqliteKeyStore

AUDIENCE = "https://gateway.example.test"


class ShiftedClock(SystemClock):
    """The machine's clock, plus what a test adds to the monotonic one."""

    shift = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.shift


class Gateway:
    def __init__(self, authenticators: Authenticators, keys: IssuerKeys, clock: ShiftedClock) -> None:
        self._authenticators = authenticators
        self.keys = keys
        self.clock = clock

    async def ask(self, secret: str) -> Ruling[RequestContext]:
        arrival = Arrival(
            "req_1",
            "chat_completions",
            Credential("bearer", secret),
            "127.0.0.1",
            self.clock.wall_ms(),
            self.clock.monotonic(),
        )
        return await self._authenticators.authenticate(arrival)

    async def accept(self, secret: str) -> RequestContext:
        ruling = await self.ask(secret)
        assert isinstance(ruling, Allow), ruling
        return ruling.value

    async def refuse(self, secret: str) -> Deny:
        ruling = await self.ask(secret)
        assert isinstance(ruling, Deny)
        return ruling


@asynccontextmanager
async def gateway_for(issuer: str, folder: Path, **options: Any) -> AsyncIterator[Gateway]:
    settings = IssuerSettings(
        issuer=issuer,
        audience=AUDIENCE,
        client_claim="client_id",
        roles_claim="realm_access.roles",
        required_scopes=("gateway:invoke",),
        use_cases=(UseCaseMapping(claim="client_id", equals="claims-batch", use_case="claims"),),
        **options,
    )
    tenants = {"acme": TenantSettings(title="Acme", issuers=(settings,))}
    clock = ShiftedClock()
    store = SqliteKeyStore(folder / "state.db")
    directory = KeyDirectory(store, clock)
    await directory.start()
    keys = IssuerKeys(HttpJwksSource(folder), clock)
    keys.keep(trusts_of(tenants))
    verifier = TokenVerifier(tenants, keys, Pseudonyms(bytes(range(32))))
    try:
        yield Gateway(Authenticators(directory, verifier), keys, clock)
    finally:
        await keys.close()
        await directory.close()
        store.close()


async def test_client_credentials_end_to_end(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        context = await gateway.accept(provider.token())
        assert (context.tenant, context.use_case) == ("acme", "claims")
        principal = context.principal
        assert (principal.type, principal.authn, principal.credential_id) == ("service", "oidc", "client:claims-batch")
        assert (principal.groups, principal.roles) == (("batch",), ("writer",))
        assert "claims-batch" not in principal.ref


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_other_algorithms(provider: Any, tmp_path: Path, algorithm: str) -> None:
    provider.start("rsa", algorithm)
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        await gateway.accept(provider.token())


async def test_a_token_for_another_audience(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        refusal = await gateway.refuse(provider.token(resource="https://other.example.test"))
        assert (refusal.code, refusal.rule) == (Code.INVALID_TOKEN, "identity.token.audience")


async def test_a_client_without_a_use_case(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        assert (await gateway.refuse(provider.token("stranger"))).code is Code.TOKEN_NOT_MAPPED


async def test_a_tampered_token(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        head, body, signature = provider.token().split(".")
        other = provider.token("stranger").split(".")[1]
        assert (await gateway.refuse(f"{head}.{other}.{signature}")).rule == "identity.token.signature"
        await gateway.accept(f"{head}.{body}.{signature}")


async def test_the_provider_rotates_its_key(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        old = provider.token()
        await gateway.accept(old)
        provider.start("second")
        new = provider.token()
        gateway.clock.shift += 10
        await gateway.accept(new)
        refusal = await gateway.refuse(old)
        assert refusal.rule == "identity.token.key", "a key that the provider withdrew no longer counts"


async def test_the_provider_goes_down_and_comes_back(provider: Any, tmp_path: Path) -> None:
    async with gateway_for(provider.issuer, tmp_path, jwks_max_age_s=60, jwks_stale_s=600) as gateway:
        token, unseen = provider.token(), provider.token()
        await gateway.accept(token)
        provider.stop()
        gateway.clock.shift += 650
        await gateway.accept(token)
        await gateway.accept(unseen)
        assert gateway.keys.health()[0].usable
        gateway.clock.shift += 15
        for credential in (token, unseen):
            refusal = await gateway.refuse(credential)
            assert (refusal.code, refusal.rule) == (Code.IDENTITY_UNAVAILABLE, "identity.token.unavailable")
        provider.start("second")
        gateway.clock.shift += 10
        await gateway.accept(provider.token())


async def test_a_provider_that_is_down_at_start_harms_no_one_else(provider: Any, tmp_path: Path) -> None:
    token = provider.token()
    provider.stop()
    async with gateway_for(provider.issuer, tmp_path) as gateway:
        assert (await gateway.refuse(token)).code is Code.IDENTITY_UNAVAILABLE
        assert (await gateway.refuse("grf_nonsense")).code is Code.INVALID_API_KEY
        provider.start("again")
        gateway.clock.shift += 10
        await gateway.accept(provider.token())
