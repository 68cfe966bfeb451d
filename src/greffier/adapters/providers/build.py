"""Builds the provider of a deployment from what the workspace says; a mistake stops the start."""

import asyncio
import contextlib
import errno
import os
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from greffier.adapters.http import BadHeader, BadUrl, HttpClient, Origin, Proxy, tls_context
from greffier.adapters.providers.anthropic import Anthropic
from greffier.adapters.providers.local.provider import Local
from greffier.adapters.providers.local.supervisor import EngineOptions, EngineSupervisor
from greffier.adapters.providers.local.weights import CATALOGUE, WeightsError, find_gguf
from greffier.adapters.providers.openai_compatible import Endpoints, OpenAICompatible
from greffier.adapters.providers.openai_wire import Dialect
from greffier.adapters.secrets.references import SecretMissing, resolve_secret, resolve_value
from greffier.core.deployment import Deployment
from greffier.core.errors import Code, GreffierError
from greffier.llm.ports import Provider
from greffier.llm.settings import DeploymentSettings

_OPENAI = "https://api.openai.com/v1"
_LOCAL_CONTEXT = 2048
_ANTHROPIC = "https://api.anthropic.com"
_HOSTED = {"openai": _OPENAI, "anthropic": _ANTHROPIC}


class BadDeployment(GreffierError):  # noqa: N818 - named for the condition; the start stops on it
    """A deployment cannot be built. The message names the deployment and the field, never a value of a secret."""

    def __init__(self, name: str, reason: str, remedy: str) -> None:
        super().__init__(Code.INVALID_REQUEST, f"deployment '{name}': {reason}", remedy)


def build_provider(
    name: str,
    settings: DeploymentSettings,
    deployment: Deployment,
    workspace_root: Path,
    run_dir: Path,
) -> Provider:
    """Build the provider of one deployment. Opens no connection.

    Args:
        name: The deployment's name in the workspace.
        settings: What the workspace says about it.
        deployment: The same, compiled for router and record.
        workspace_root: Where relative file references start.
        run_dir: Where running processes leave their addresses (``WorkspacePaths.run``).

    Raises:
        BadDeployment: A secret, certificate or model file is missing, or a field is wrong or lacking.
    """
    with _named(name):
        return _build(name, settings, deployment, workspace_root, run_dir)


def build_client(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path) -> HttpClient | None:
    """The client of one deployment alone, to see whether its server can be reached; None for an engine of ours.

    Raises:
        BadDeployment: A secret or certificate is missing, or a field is wrong or lacking.
    """
    if settings.provider == "local":
        return None
    with _named(name):
        return _client(settings, deployment, root, settings.base_url or _HOSTED.get(settings.provider, ""))


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which deployment has the mistake, and what to do about it."""
    try:
        yield
    except SecretMissing as error:
        raise BadDeployment(name, str(error), "Set it before the start, or correct the reference.") from None
    except BadUrl as error:
        raise BadDeployment(name, str(error), "Correct 'base_url' or 'proxy'.") from None
    except BadHeader:
        reason = "'secret' or 'api_version' holds line breaks or letters outside ASCII"
        raise BadDeployment(name, reason, "Correct it; it stands in a header or in the path.") from None
    except WeightsError as error:
        raise BadDeployment(name, error.reason, error.remedy) from None
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = f"a TLS file{where} cannot be used: {error.strerror or error}"
        raise BadDeployment(name, reason, "Correct 'tls'.") from None


def _build(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path, run_dir: Path) -> Provider:
    match settings.provider:
        case "openai_compatible":
            return _openai_compatible(name, settings, deployment, root)
        case "openai":
            return _openai(name, settings, deployment, root)
        case "azure_openai":
            return _azure(name, settings, deployment, root)
        case "anthropic":
            return _anthropic(name, settings, deployment, root)
        case "local":
            return _local(name, settings, deployment, root, run_dir)


def _client(settings: DeploymentSettings, deployment: Deployment, root: Path, base_url: str) -> HttpClient:
    origin = Origin.parse(resolve_value(base_url))
    return HttpClient(
        origin,
        tls=_tls(settings, root) if origin.scheme == "https" else None,
        proxy=Proxy.parse(resolve_value(settings.proxy)) if settings.proxy else None,
        timeouts=deployment.timeouts,
        max_connections=settings.max_connections,
        max_answer_bytes=settings.max_answer_bytes,
    )


def _tls(settings: DeploymentSettings, root: Path) -> ssl.SSLContext:
    tls = settings.tls
    for file in (tls.ca_file, tls.client_cert_file):
        if file and not (root / file).is_file():  # OpenSSL would not say which
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root / file))
    return tls_context(
        str(root / tls.ca_file) if tls.ca_file else None,
        str(root / tls.client_cert_file) if tls.client_cert_file else None,
        resolve_secret(tls.client_key, root) if tls.client_key else None,
    )


def _openai_compatible(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path) -> OpenAICompatible:
    if settings.base_url is None:
        raise BadDeployment(name, "'base_url' is missing", "Add the address of the server's API, up to '/v1'.")
    client = _client(settings, deployment, root, settings.base_url)
    secret = resolve_secret(settings.secret, root) if settings.secret else ""
    return OpenAICompatible(deployment, client, secret, Endpoints(), Dialect())


def _openai(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path) -> OpenAICompatible:
    client = _client(settings, deployment, root, settings.base_url or _OPENAI)
    return OpenAICompatible(
        deployment,
        client,
        _required_secret(name, settings, root),
        Endpoints(),
        Dialect(token_field="max_completion_tokens", developer_role=True),  # noqa: S106 - the name of a field
    )


def _azure(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path) -> OpenAICompatible:
    """Azure OpenAI: the dated API with ``api_version``, or its v1 API when ``base_url`` ends with ``/openai/v1``."""
    if settings.base_url is None:
        raise BadDeployment(name, "'base_url' is missing", "Add https://RESOURCE.openai.azure.com.")
    client = _client(settings, deployment, root, settings.base_url)
    if settings.api_version is None:
        endpoints = Endpoints(key_header="api-key")
    else:
        prefix = "" if client.origin.prefix.endswith("/openai") else "/openai"
        base, query = f"{prefix}/deployments/{deployment.model}", f"?api-version={settings.api_version}"
        endpoints = Endpoints(f"{base}/chat/completions{query}", f"{base}/embeddings{query}", "api-key")
    return OpenAICompatible(
        deployment,
        client,
        _required_secret(name, settings, root),
        endpoints,
        Dialect(token_field="max_completion_tokens", developer_role=True),  # noqa: S106 - the name of a field
    )


def _anthropic(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path) -> Anthropic:
    client = _client(settings, deployment, root, settings.base_url or _ANTHROPIC)
    return Anthropic(deployment, client, _required_secret(name, settings, root))


def _local(name: str, settings: DeploymentSettings, deployment: Deployment, root: Path, run_dir: Path) -> Local:
    """The embedded engine; it is started at once where a loop runs, else with the first call."""
    if find_spec("xllamacpp") is None:
        raise BadDeployment(name, "the embedded engine is not installed", "Install greffier with its 'local' extra.")
    options = EngineOptions(
        model=find_gguf(settings.model, settings.model_path, root),
        name=settings.model,
        context=settings.context_tokens or _LOCAL_CONTEXT,
    )
    supervisor = EngineSupervisor(name, options, run_dir)
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        supervisor.start()
    tools = "tools" in settings.capabilities and settings.model not in CATALOGUE
    return Local(deployment, supervisor, settings.max_answer_bytes, tools=tools)


def _required_secret(name: str, settings: DeploymentSettings, root: Path) -> str:
    if settings.secret is None:
        raise BadDeployment(name, "'secret' is missing", "Add 'secret: env:NAME' or 'secret: file:PATH'.")
    return resolve_secret(settings.secret, root)
