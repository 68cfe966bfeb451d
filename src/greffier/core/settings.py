"""Base and shared words of everything that is read from workspace files: unknown keys are refused."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A part of the workspace's YAML. Class docstrings become descriptions in the exported JSON Schema."""


Identifier = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Lower case, digits, '.', '_', '-'")
]
"""Name of a thing in the workspace; unique among its kind."""

SecretRef = Annotated[
    str,
    Meta(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$", description="Where a secret is: env:NAME or file:PATH"),
]
"""Reference to a secret; workspaces never hold the value."""

ValueOrEnv = Annotated[str, Meta(description="A value, or env:NAME to take it from the environment at start")]

Money = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", description="Decimal amount in the workspace's currency, as a string"),
]
"""Exact decimal amount; a string, so that no float ever touches money."""

LimitValue = Annotated[int, Meta(gt=0)]


class LimitSettings(Settings, frozen=True, kw_only=True):
    """Ceilings for one scope. Every scope that applies must have room; absent means no ceiling of that kind."""

    requests_per_minute: LimitValue | None = None
    tokens_per_minute: LimitValue | None = None
    concurrent_requests: LimitValue | None = None
    spend_per_day: Money | None = None
    spend_per_month: Money | None = None
