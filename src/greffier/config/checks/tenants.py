"""Checks of ``greffier.yaml``."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from greffier.config.checks.references import environment, exists, known_models
from greffier.config.problems import Path, Problem, dotted, quoted
from greffier.config.settings import WorkspaceSettings
from greffier.config.workspace import Located, Sources
from greffier.identity.settings import IssuerSettings

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_tenants(sources: Sources) -> Iterator[Problem]:
    """Check tenants, their issuers, limits and keys."""
    place = sources.settings
    if place is None:
        return
    settings = place.value
    if not settings.tenants:
        yield place.problem(
            ("tenants",), "no_tenant", "A workspace has at least one tenant.", "Add one under 'tenants:'.", at_key=True
        )
    yield from _issuers(place, sources)
    yield from _limits(place, sources)
    for index, key in enumerate(settings.bundle_keys):
        if not _FINGERPRINT.fullmatch(key):
            yield place.problem(
                ("bundle_keys", index),
                "wrong_value",
                f"Expected the SHA-256 fingerprint of a public key, got {quoted(key)}.",
                "'greffier config sign-key' prints it: 64 hexadecimal digits.",
            )
    yield from environment(place, ("telemetry", "otlp_endpoint"), settings.telemetry.otlp_endpoint)


def _limits(place: Located[WorkspaceSettings], sources: Sources) -> Iterator[Problem]:
    limits = place.value.limits
    for tenant in limits.tenants:
        yield from exists(place, ("limits", "tenants", tenant), "tenant", tenant, place.value.tenants, at_key=True)
    models = known_models(sources)
    for model in limits.models if models is not None else ():
        yield from exists(place, ("limits", "models", model), "model", model, models or (), at_key=True)
    if limits.unknown_price == "ceiling" and limits.unknown_price_ceiling is None:
        yield place.problem(
            ("limits", "unknown_price"),
            "missing_ceiling",
            "'unknown_price: ceiling' needs to know the ceiling.",
            "Add 'unknown_price_ceiling' with the amount to reserve for each request.",
        )
    if limits.shared is not None:
        yield from environment(place, ("limits", "shared", "url"), limits.shared.url)


def _issuers(place: Located[WorkspaceSettings], sources: Sources) -> Iterator[Problem]:
    taken: dict[tuple[str, str], Path] = {}
    for tenant, settings in place.value.tenants.items():
        for index, issuer in enumerate(settings.issuers):
            path: Path = ("tenants", tenant, "issuers", index)
            for key, url in (("issuer", issuer.issuer), ("jwks_uri", issuer.jwks_uri)):
                yield from _https(place, (*path, key), url)
            yield from _mappings(place, path, issuer, tenant, sources)
            yield from environment(place, (*path, "proxy"), issuer.proxy)
            other = taken.setdefault((issuer.issuer, issuer.audience), path)
            if other != path:
                yield place.problem(
                    path,
                    "ambiguous_issuer",
                    f"{dotted(other)} accepts the same issuer and audience, so a token would belong to both.",
                    "Give each its own audience.",
                )


def _mappings(
    place: Located[WorkspaceSettings], path: Path, issuer: IssuerSettings, tenant: str, sources: Sources
) -> Iterator[Problem]:
    for index, mapping in enumerate(issuer.use_cases):
        at = (*path, "use_cases", index, "use_case")
        use_case = sources.use_cases.get(mapping.use_case)
        if use_case is not None and use_case.value.tenant != tenant:
            yield place.problem(
                at,
                "foreign_use_case",
                f"The use case '{mapping.use_case}' belongs to the tenant '{use_case.value.tenant}'.",
                f"Name a use case of the tenant '{tenant}'.",
            )
        elif "use_cases" not in sources.incomplete:
            yield from exists(place, at, "use case", mapping.use_case, sources.use_cases)


def _https(place: Located[WorkspaceSettings], path: Path, url: str | None) -> Iterator[Problem]:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    safe = host is not None and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    if not safe:
        yield place.problem(
            path,
            "insecure_url",
            f"Expected an https:// address, got {quoted(url)}.",
            "Keys fetched over plain http could be replaced on the way; only loopback addresses may use it.",
        )
