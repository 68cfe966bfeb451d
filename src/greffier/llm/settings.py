"""The part of ``models/`` that says where models can be called."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.settings import Identifier, Money, SecretRef, Settings, ValueOrEnv

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class PriceSettings(Settings, frozen=True, kw_only=True):
    """Price per million tokens, in the workspace's currency. Write ``"0"`` for a model that costs nothing."""

    input_per_million: Money
    output_per_million: Money
    cached_per_million: Money | None = None


class TimeoutSettings(Settings, frozen=True, kw_only=True):
    """Seconds."""

    connect_s: Seconds = 5.0
    first_token_s: Seconds = 60.0
    total_s: Seconds = 600.0


class TlsSettings(Settings, frozen=True, kw_only=True):
    """Trust and client certificate for a deployment's server. Verification cannot be switched off."""

    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key: SecretRef | None = None


class DeploymentSettings(Settings, frozen=True, kw_only=True):
    """One concrete place where a model can be called.

    ``provider``: ``openai_compatible`` (vLLM, SGLang, Ollama, llama.cpp, Mistral...), ``openai``, ``azure_openai``,
    ``anthropic``, or ``local`` (the embedded llama.cpp).
    """

    provider: Literal["openai_compatible", "openai", "azure_openai", "anthropic", "local"]
    model: str
    location: Literal["on_premises", "external"]
    region: str
    base_url: ValueOrEnv | None = None
    secret: SecretRef | None = None
    api_version: str | None = None
    model_path: str | None = None
    data_classes: tuple[Identifier, ...] | None = None
    price: PriceSettings | None = None
    timeouts: TimeoutSettings = TimeoutSettings()
    capabilities: tuple[Literal["chat", "embeddings", "tools", "images", "image_urls", "json_schema"], ...] = (
        "chat",
        "tools",
        "images",
        "json_schema",
    )
    max_output_tokens: Annotated[int, Meta(gt=0)] = 4096
    context_tokens: Annotated[int, Meta(gt=0)] | None = None
    extra_parameters: tuple[str, ...] = ()
    max_connections: Annotated[int, Meta(gt=0)] = 256
    max_answer_bytes: Annotated[int, Meta(gt=0)] = 16_777_216
    proxy: ValueOrEnv | None = None
    tls: TlsSettings = TlsSettings()
