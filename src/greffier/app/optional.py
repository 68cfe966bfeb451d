"""Parts that are loaded only where the workspace names them: their libraries take longer to import than to use.

Each name is resolved when the part is first needed; one that the workspace names and that cannot load stops the start.
"""

from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast

from greffier.boundary.ports import Observer
from greffier.core.clock import Clock
from greffier.core.errors import Code, GreffierError
from greffier.guardrails.ports import OutsideDetector
from greffier.guardrails.settings import DetectorSettings
from greffier.identity.ports import JwksLocation, JwksSource
from greffier.limits.ports import LimitState


class ClosableObserver(Observer, Protocol):
    """An observer that flushes on the way out."""

    def close(self) -> None:
        """Flush."""
        ...


class _JwksWhenNeeded:
    """Loads the HTTP client with the first issuer; workspaces without issuers never do."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._source: JwksSource | None = None

    async def fetch(self, location: JwksLocation) -> bytes:
        if self._source is None:
            self._source = cast("JwksSource", import_module("greffier.adapters.idp.jwks").HttpJwksSource(self._base))
        return await self._source.fetch(location)

    async def close(self) -> None:
        if self._source is not None:
            await self._source.close()


def jwks_source(base: Path) -> JwksSource:
    """Where issuers' keys come from."""
    return _JwksWhenNeeded(base)


def shared_limits(
    url: str, clock: Clock, *, lease_ms: int, on_unavailable: Literal["local", "deny"], hold_ttl_s: float
) -> LimitState:
    """Limits shared through Valkey or Redis."""
    module = import_module("greffier.adapters.limits.valkey")
    state = module.ValkeyLimitState(url, clock, lease_ms=lease_ms, on_unavailable=on_unavailable, hold_ttl_s=hold_ttl_s)
    return cast("LimitState", state)


async def shared_limits_problem(url: str) -> str:
    """What keeps us from the server of shared limits; empty if nothing does."""
    problem: str = await import_module("greffier.adapters.limits.valkey").problem_with(url)
    return problem


class ClosableDetector(OutsideDetector, Protocol):
    """A detector that holds something open."""

    async def close(self) -> None:
        """Let go of it."""
        ...


def onnx_classifier(name: str, settings: DetectorSettings, base: Path) -> ClosableDetector:
    """A classifier from a model file.

    Raises:
        GreffierError: The libraries are not installed, or the files cannot be used.
    """
    try:
        module = import_module("greffier.adapters.detectors.onnx_text")
    except ImportError as error:
        raise GreffierError(
            Code.GUARDRAIL_UNAVAILABLE,
            f"the detector '{name}' needs the extra 'onnx', which is not installed",
            "Install it: pip install 'greffier[onnx]'.",
        ) from error
    classifier = module.OnnxClassifier(
        name, settings.onnx, base, timeout_s=settings.timeout_ms / 1000, max_chars=settings.max_chars
    )
    return cast("ClosableDetector", classifier)


def traces(endpoint: str, sample_percent: int) -> ClosableObserver:
    """Traces exported over OTLP."""
    module = import_module("greffier.telemetry.traces")
    return cast("ClosableObserver", module.Traces.to_collector(endpoint, sample_percent))
