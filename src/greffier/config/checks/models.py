"""Checks of ``models/``: deployments that can be called, and models that lead to them."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from greffier.config.checks.references import all_exist, environment, exists
from greffier.config.problems import Problem, quoted
from greffier.config.workspace import Located, Sources
from greffier.llm.settings import DeploymentSettings
from greffier.router.settings import ModelSettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ADDRESS_NEEDED = ("openai_compatible", "azure_openai")
_SECRET_NEEDED = ("openai", "azure_openai", "anthropic")


def check_models(sources: Sources) -> Iterator[Problem]:
    """Check every deployment and every model."""
    for name, deployment in sources.deployments.items():
        if sources.settings is not None and deployment.value.data_classes is not None:
            known = sources.settings.value.data_classes
            classes = deployment.value.data_classes
            yield from all_exist(deployment, ("data_classes",), "data class", classes, known)
        yield from _address(deployment)
        yield from _credentials(deployment)
        yield from _price(name, deployment, sources)
    for model in sources.models.values():
        yield from _targets(model, sources)


def _targets(place: Located[ModelSettings], sources: Sources) -> Iterator[Problem]:
    targets = place.value.targets
    seen: set[str] = set()
    for index, target in enumerate(targets):
        path = ("targets", index, "deployment")
        if "models" not in sources.incomplete:
            yield from exists(place, path, "deployment", target.deployment, sources.deployments)
        if target.deployment in seen:
            yield place.problem(
                path,
                "duplicate_target",
                f"The deployment '{target.deployment}' is a target of this model twice.",
                "Keep one of the two.",
            )
        seen.add(target.deployment)
    if not any(target.weight for target in targets):
        yield place.problem(
            ("targets",), "no_weight", "All weights are 0, so no deployment would ever be chosen.", "Raise one of them."
        )


def _address(place: Located[DeploymentSettings]) -> Iterator[Problem]:
    deployment = place.value
    yield from environment(place, ("base_url",), deployment.base_url)
    yield from environment(place, ("proxy",), deployment.proxy)
    if deployment.provider == "local":
        yield from _local(place)
        return
    if deployment.base_url is None:
        if deployment.provider in _ADDRESS_NEEDED:
            yield place.problem(
                (),
                "base_url_missing",
                f"A deployment of the provider '{deployment.provider}' needs a 'base_url'.",
                "Add 'base_url: https://...' or 'base_url: env:NAME'.",
                at_key=True,
            )
    elif not deployment.base_url.lower().startswith("env:"):
        yield from _url(place, deployment.base_url)
    if deployment.model_path is not None:
        yield place.problem(
            ("model_path",),
            "misplaced_key",
            "'model_path' is for the provider 'local' only.",
            "Remove it; the server knows where its model lies.",
            at_key=True,
        )
    if deployment.provider == "azure_openai" and deployment.api_version is None:
        yield place.problem(
            (), "api_version_missing", "Azure OpenAI needs an 'api_version'.", "Add 'api_version'.", at_key=True
        )


def _local(place: Located[DeploymentSettings]) -> Iterator[Problem]:
    if place.value.location != "on_premises":
        yield place.problem(
            ("location",),
            "wrong_value",
            "The provider 'local' runs on this machine, so its location is on_premises.",
            "Write 'location: on_premises'.",
        )
    for key, value in (("base_url", place.value.base_url), ("secret", place.value.secret)):
        if value is not None:
            yield place.problem(
                (key,), "misplaced_key", f"The provider 'local' has no '{key}'.", "Remove it.", at_key=True
            )


def _url(place: Located[DeploymentSettings], url: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises when it is none
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"}:
        message = f"Expected an address that begins with https://, got {quoted(url)}."
        yield place.problem(("base_url",), "wrong_value", message, "Write the server's address, or env:NAME.")
    elif parts.username is not None:
        return  # reported already
    elif parts.query or parts.fragment:
        yield place.problem(
            ("base_url",),
            "wrong_value",
            "The address holds a query or a fragment.",
            "Keep the plain address here, and put the credential where 'secret' refers to.",
        )
    elif parts.scheme == "http" and place.value.location == "external" and host not in _LOOPBACK:
        yield place.problem(
            ("base_url",),
            "insecure_url",
            "An external deployment would be called over plain http.",
            "Use https://, so that prompts and the secret are encrypted on the way.",
        )


def _credentials(place: Located[DeploymentSettings]) -> Iterator[Problem]:
    deployment = place.value
    with_certificate = deployment.tls.client_cert_file is not None
    needed = deployment.provider in _SECRET_NEEDED or deployment.location == "external"
    if needed and deployment.provider != "local" and deployment.secret is None and not with_certificate:
        yield place.problem(
            (),
            "secret_missing",
            "The deployment has neither a 'secret' nor a client certificate.",
            "Add 'secret: env:NAME' or 'secret: file:PATH'.",
            at_key=True,
            warning=deployment.provider not in _SECRET_NEEDED,  # a gateway of one's own may need none
        )
    tls = deployment.tls
    if (tls.client_cert_file is None) != (tls.client_key is None):
        yield place.problem(
            ("tls",),
            "incomplete_certificate",
            "A client certificate needs both 'client_cert_file' and 'client_key'.",
            "Add the missing one, or remove the other.",
            at_key=True,
        )


def _price(name: str, place: Located[DeploymentSettings], sources: Sources) -> Iterator[Problem]:
    settings = sources.settings
    if place.value.price is None and settings is not None and settings.value.limits.unknown_price == "deny":
        yield place.problem(
            (),
            "price_missing",
            f"The price of '{name}' is unknown, so every request to it will be refused.",
            "Add 'price:' (\"0\" if it costs nothing), or set 'limits: unknown_price: ceiling' in greffier.yaml.",
            at_key=True,
            warning=True,
        )
