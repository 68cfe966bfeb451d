"""Whether what a configuration names outside this machine can be reached, for whoever sets a gateway up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import msgspec

from greffier.adapters.http import Fault, HttpClient, HttpError
from greffier.adapters.providers.build import BadDeployment, build_client
from greffier.adapters.providers.errors import from_fault
from greffier.adapters.secrets.references import SecretMissing, resolve_value
from greffier.app import optional
from greffier.config.paths import WorkspacePaths
from greffier.config.snapshot import Snapshot
from greffier.core.errors import GreffierError
from greffier.identity.ports import JwksLocation, JwksSource, JwksUnavailable
from greffier.identity.tokens import trusts_of

_REMEDIES = {
    Fault.NAME_UNKNOWN: "Correct 'base_url', or the machine's name service.",
    Fault.ADDRESS_FORBIDDEN: "Correct 'base_url' or the name service: such addresses are never called.",
    Fault.PROXY_FAILED: "Correct 'proxy', or have the proxy let this machine through.",
    Fault.TLS_FAILED: "Name the authority that signed the server's certificate in 'tls: {ca_file: ...}'.",
}
_ANY_OTHER = "Is the server running, and does the firewall let this machine through?"


class Reached(msgspec.Struct, frozen=True):
    """Something outside, and what keeps us from it: nothing, if ``problem`` is empty."""

    what: str
    problem: str = ""
    remedy: str = ""


async def look_outside(paths: WorkspacePaths, snapshot: Snapshot) -> list[Reached]:
    """Connect to what the snapshot names: servers of models, shared limits, identity providers. Asks no model."""
    issuers = optional.jwks_source(paths.root)
    try:
        looks = [*_deployments(paths, snapshot), *_limits(snapshot), *_issuers(snapshot, issuers)]
        return await asyncio.gather(*(look() for look in looks))
    finally:
        await issuers.close()


Look = Callable[[], Awaitable[Reached]]


def _deployments(paths: WorkspacePaths, snapshot: Snapshot) -> Iterator[Look]:
    for name, settings in snapshot.deployment_settings.items():
        try:
            client = build_client(name, settings, snapshot.deployments[name], paths.root)
        except BadDeployment:
            continue  # said where the deployment itself is looked at
        if client is not None:
            yield partial(_server, f"server of {name}", client)


async def _server(what: str, client: HttpClient) -> Reached:
    try:
        await client.reach()
    except HttpError as error:
        return Reached(what, from_fault(error).reason, _REMEDIES.get(error.fault, _ANY_OTHER))
    finally:
        await client.close()
    return Reached(what)


def _limits(snapshot: Snapshot) -> Iterator[Look]:
    shared = snapshot.workspace.limits.shared
    if shared is None:
        return
    what = "shared limits"

    async def look() -> Reached:
        try:
            problem = await optional.shared_limits_problem(resolve_value(shared.url))
        except (SecretMissing, GreffierError) as error:
            problem = str(error)
        return Reached(what, problem, "Correct 'limits.shared.url', or start the server." if problem else "")

    yield look


def _issuers(snapshot: Snapshot, source: JwksSource) -> Iterator[Look]:
    async def look(location: JwksLocation) -> Reached:
        what = f"issuer {location.issuer}"
        try:
            await source.fetch(location)
        except JwksUnavailable as error:
            return Reached(
                what, str(error), "Correct 'issuers' of the tenant; tokens of this issuer get 503 until then."
            )
        return Reached(what)

    for location in sorted({trust.location for trust in trusts_of(snapshot.workspace.tenants)}, key=str):
        yield partial(look, location)
