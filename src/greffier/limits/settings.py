"""The part of ``greffier.yaml`` that bounds use beyond what each use case says for itself."""

from typing import Literal

from greffier.core.settings import Identifier, LimitSettings, Money, Settings, ValueOrEnv


class SharedLimitsSettings(Settings, frozen=True, kw_only=True):
    """A Valkey or Redis server through which several workers and machines share their limits.

    ``lease_ms`` bounds how long a worker may spend from its lease when the server is out of reach.
    """

    url: ValueOrEnv
    lease_ms: int = 1000
    on_unavailable: Literal["local", "deny"] = "local"


class LimitsSettings(Settings, frozen=True, kw_only=True):
    """Ceilings by scope; each request must fit under all that apply (key, use case, tenant, model).

    ``unknown_price``: what to do with a model whose price nobody stated: ``deny``, or reserve ``unknown_price_ceiling``
    for every request.
    """

    per_key: LimitSettings = LimitSettings()
    tenants: dict[Identifier, LimitSettings] = {}
    models: dict[Identifier, LimitSettings] = {}
    unknown_price: Literal["deny", "ceiling"] = "deny"
    unknown_price_ceiling: Money | None = None
    shared: SharedLimitsSettings | None = None
