"""The part of ``models/`` that says which deployments stand behind the model names callers use."""

from typing import Annotated

from msgspec import Meta

from greffier.core.settings import Identifier, Settings


class TargetSettings(Settings, frozen=True, kw_only=True):
    """A deployment behind a model name. Lower ``priority`` is tried first; ``weight`` splits traffic within one."""

    deployment: Identifier
    weight: Annotated[int, Meta(ge=0, le=10_000)] = 100
    priority: Annotated[int, Meta(ge=0, le=100)] = 0


class RetrySettings(Settings, frozen=True, kw_only=True):
    """``attempts`` bounds all calls for one request, the first included. ``budget_percent`` bounds retries overall."""

    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    budget_percent: Annotated[int, Meta(ge=0, le=100)] = 20
    backoff_ms: Annotated[int, Meta(ge=0)] = 100
    max_backoff_ms: Annotated[int, Meta(ge=0)] = 2000


class BreakerSettings(Settings, frozen=True, kw_only=True):
    """A deployment that fails ``failures`` times in a row, or above ``failure_percent`` of a window, rests a while."""

    failures: Annotated[int, Meta(ge=1)] = 5
    failure_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    window_s: Annotated[int, Meta(ge=1)] = 30
    cooldown_s: Annotated[int, Meta(ge=1)] = 10


class ModelSettings(Settings, frozen=True, kw_only=True):
    """A model name callers use."""

    title: str = ""
    targets: Annotated[tuple[TargetSettings, ...], Meta(min_length=1)]
    sticky: bool = False
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
