"""The part of ``greffier.yaml`` about logs, metrics and traces. None of them ever carries content."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.settings import Settings, ValueOrEnv


class TelemetrySettings(Settings, frozen=True, kw_only=True):
    """``otlp_endpoint`` switches traces on; ``sample_percent`` thins them out (evidence is never sampled)."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    otlp_endpoint: ValueOrEnv | None = None
    sample_percent: Annotated[int, Meta(ge=0, le=100)] = 10
    metrics_require_key: bool = False
