"""From settings to accounts: which ceilings a request must fit under, worked out once per caller and day."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from greffier.core.settings import LimitSettings
from greffier.limits.money import micro
from greffier.limits.ports import Account, Kind
from greffier.limits.settings import LimitsSettings

_DAY_MS = 86_400_000
_MAX_PLANS = 50_000


class Share(msgspec.Struct, frozen=True):
    """Which part of every ceiling this worker may use when workers share no server: part ``index`` of ``count``.

    The parts add up to the ceiling exactly. A worker whose part of a small ceiling is nothing refuses.
    """

    index: int = 0
    count: int = 1

    def of(self, limit: int) -> int:
        """This worker's part of a ceiling."""
        whole, rest = divmod(limit, self.count)
        return whole + (1 if self.index < rest else 0)


class Subject(msgspec.Struct, frozen=True):
    """Whom a request is counted against."""

    tenant: str
    credential_id: str
    use_case: str
    model: str


class Plan(msgspec.Struct, frozen=True):
    """The accounts of one subject on one day."""

    day: int
    accounts: tuple[Account, ...]


class Planner:
    """Makes and remembers plans. Bounded: when too many are remembered, all are forgotten and made anew."""

    def __init__(self, settings: LimitsSettings, use_cases: Mapping[str, LimitSettings], share: Share) -> None:
        self._settings = settings
        self._use_cases = use_cases
        self._share = share
        self._plans: dict[tuple[str, str, str, str], Plan] = {}

    def plan(self, tenant: str, credential_id: str, use_case: str, model: str, wall_ms: int) -> tuple[Account, ...]:
        """Accounts of a subject at an instant, milliseconds since the epoch."""
        place = (tenant, credential_id, use_case, model)
        plan = self._plans.get(place)
        day = wall_ms // _DAY_MS
        if plan is None or plan.day != day:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = Plan(day, tuple(self._accounts(Subject(tenant, credential_id, use_case, model), day)))
            self._plans[place] = plan
        return plan.accounts

    def _accounts(self, subject: Subject, day: int) -> list[Account]:
        settings = self._settings
        none = LimitSettings()
        tenant = subject.tenant
        scopes = (
            ("key", f"{tenant}/key/{subject.credential_id}", settings.per_key),
            ("use_case", f"{tenant}/use_case/{subject.use_case}", self._use_cases.get(subject.use_case, none)),
            ("tenant", f"{tenant}/tenant", settings.tenants.get(tenant, none)),
            # Per tenant too: a ceiling on a model that all tenants shared would let one of them starve the others.
            ("model", f"{tenant}/model/{subject.model}", settings.models.get(subject.model, none)),
        )
        accounts: list[Account] = []
        for name, scope, limits in scopes:
            accounts += self._counted(name, scope, limits)
            accounts += self._money(name, scope, limits, day)
        return accounts

    def _counted(self, name: str, scope: str, limits: LimitSettings) -> list[Account]:
        accounts: list[Account] = []
        if limits.requests_per_minute is not None:
            rule = f"limit:{name}:requests_per_minute"
            accounts.append(self._account(f"{scope}:requests", "requests", limits.requests_per_minute, rule))
        if limits.tokens_per_minute is not None:
            rule = f"limit:{name}:tokens_per_minute"
            accounts.append(self._account(f"{scope}:tokens", "tokens", limits.tokens_per_minute, rule))
        if limits.concurrent_requests is not None:
            rule = f"limit:{name}:concurrent_requests"
            accounts.append(self._account(f"{scope}:concurrent", "concurrent", limits.concurrent_requests, rule))
        return accounts

    def _money(self, name: str, scope: str, limits: LimitSettings, day: int) -> list[Account]:
        accounts: list[Account] = []
        if limits.spend_per_day is None and limits.spend_per_month is None:
            return accounts
        today = datetime.fromtimestamp(day * _DAY_MS / 1000, UTC)
        if limits.spend_per_day is not None:
            key, rule = f"{scope}:spend:{today:%Y-%m-%d}", f"limit:{name}:spend_per_day"
            accounts.append(self._account(key, "spend", micro(limits.spend_per_day), rule, (day + 1) * _DAY_MS))
        if limits.spend_per_month is not None:
            next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            key, rule = f"{scope}:spend:{today:%Y-%m}", f"limit:{name}:spend_per_month"
            until_ms = int(next_month.timestamp()) * 1000
            accounts.append(self._account(key, "spend", micro(limits.spend_per_month), rule, until_ms))
        return accounts

    def _account(self, key: str, kind: Kind, stated: int, rule: str, until_ms: int = 0) -> Account:
        part = self._share.of(stated)
        return Account(key, kind, part, rule, until_ms, 0 if self._share.count == 1 else stated)


def thin(settings: LimitsSettings, use_cases: Mapping[str, LimitSettings], workers: int) -> list[str]:
    """Name the ceilings of which some of the workers have no part, in a sentence each."""
    if settings.shared is not None:
        return []
    scopes = {"of each key": settings.per_key}
    scopes |= {f"of the use case {name}": limits for name, limits in use_cases.items()}
    scopes |= {f"of the tenant {name}": limits for name, limits in settings.tenants.items()}
    scopes |= {f"of the model {name}": limits for name, limits in settings.models.items()}
    return [
        f"{kind}: {limit} {scope} is less than one for each of {workers} workers, so some refuse everything: "
        "state limits.shared, or serve with fewer workers"
        for scope, limits in scopes.items()
        for kind in ("requests_per_minute", "concurrent_requests")
        if (limit := getattr(limits, kind)) is not None and limit < workers
    ]
