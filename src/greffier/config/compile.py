"""From a bundle to the Snapshot that the data plane owns."""

from greffier.config.bundle import Bundle, digest
from greffier.config.permitted import permitted_data_classes
from greffier.config.settings import WorkspaceSettings
from greffier.config.snapshot import Snapshot
from greffier.core.deployment import Deployment, Price, Timeouts
from greffier.core.prompt import Prompt, written
from greffier.limits.money import micro
from greffier.llm.settings import DeploymentSettings, PriceSettings


def compile_snapshot(bundle: Bundle, *, signed_by: str, now_ms: int) -> Snapshot:
    """Compile a bundle.

    Args:
        bundle: The bundle; verified, or built from the files in development mode.
        signed_by: Name of the key whose signature was verified; empty for an unsigned bundle.
        now_ms: Wall clock, milliseconds since the epoch.
    """
    content = bundle.content
    return Snapshot(
        revision=bundle.revision,
        document=bundle.data,
        signed_by=signed_by,
        built_ms=now_ms,
        workspace=content.workspace,
        use_cases=content.use_cases,
        use_case_digests={name: digest(use_case) for name, use_case in content.use_cases.items()},
        rules=content.rules,
        screens=content.screens,
        topics=content.topics,
        detectors=content.detectors,
        signature_packs=content.signature_packs,
        deployments={
            name: _deployment(name, settings, content.workspace) for name, settings in content.deployments.items()
        },
        deployment_settings=content.deployments,
        models=content.models,
        prompts={
            name: Prompt(
                name=name,
                version=prompt.front.version,
                digest=prompt.digest,
                text=prompt.text,
                variables={
                    key: None if variable.default is None else written(variable.default)
                    for key, variable in prompt.front.variables.items()
                },
            )
            for name, prompt in content.prompts.items()
        },
    )


def _deployment(name: str, settings: DeploymentSettings, workspace: WorkspaceSettings) -> Deployment:
    timeouts = settings.timeouts
    return Deployment(
        name=name,
        provider=settings.provider,
        model=settings.model,
        location=settings.location,
        region=settings.region,
        data_classes=permitted_data_classes(settings, workspace),
        price=_price(settings.price),
        timeouts=Timeouts(timeouts.connect_s, timeouts.first_token_s, timeouts.total_s),
        capabilities=_capabilities(settings),
        max_output_tokens=settings.max_output_tokens,
        context_tokens=settings.context_tokens,
        extra_parameters=settings.extra_parameters,
    )


def _capabilities(settings: DeploymentSettings) -> tuple[str, ...]:
    """As written; a provider outside fetches pictures from its own network, a server of ours only if we say so."""
    given = settings.capabilities
    fetches = settings.location == "external" and "images" in given and "image_urls" not in given
    return (*given, "image_urls") if fetches else given


def _price(price: PriceSettings | None) -> Price | None:
    if price is None:
        return None
    cached = price.cached_per_million
    return Price(
        micro(price.input_per_million),
        micro(price.output_per_million),
        None if cached is None else micro(cached),
    )
