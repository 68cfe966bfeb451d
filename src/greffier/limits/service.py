"""How much: every request reserves room under all its ceilings before anything runs, and settles afterwards."""

from collections.abc import Iterable, Mapping

import msgspec

from greffier.core.clock import Clock
from greffier.core.context import Grant, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Allow, Deny, Ruling
from greffier.core.settings import LimitSettings
from greffier.limits.headers import Headers, rate_headers
from greffier.limits.money import micro
from greffier.limits.plan import Planner, Share
from greffier.limits.ports import Account, Hold, Level, LimitState, Shortage
from greffier.limits.settings import LimitsSettings

_UNAVAILABLE_RETRY_S = 1.0
_CODES = {
    "requests": Code.RATE_LIMIT_EXCEEDED,
    "tokens": Code.TOKEN_LIMIT_EXCEEDED,
    "concurrent": Code.CONCURRENCY_LIMIT_EXCEEDED,
    "spend": Code.BUDGET_EXCEEDED,
}
_UNITS = {"tokens": " tokens", "spend": " millionths of the currency"}
_WORDS = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrent_requests": "requests at the same time",
    "spend_per_day": "spend per day",
    "spend_per_month": "spend per month",
}


class Need(msgspec.Struct, frozen=True):
    """The most a request can use.

    Attributes:
        tokens: Prompt and answer together.
        cost_micro: Worst-case cost; None when a deployment that may answer has no known price.
    """

    tokens: int
    cost_micro: int | None


class Spent(msgspec.Struct, frozen=True):
    """What a request did use; None where nobody knows, which leaves the reservation as spent."""

    tokens: int | None
    cost_micro: int | None


NOTHING = Spent(0, 0)
"""For requests that ended before a model was called."""


class SpendEntry(msgspec.Struct, frozen=True):
    """Money spent in the past, as the journal remembers it.

    Attributes:
        ts_ms: Milliseconds since the epoch.
    """

    tenant: str
    credential_id: str
    use_case: str
    model: str
    ts_ms: int
    cost_micro: int


class Reservation(msgspec.Struct, frozen=True):
    """Room set aside for one request. Settle it on every way out.

    Attributes:
        hold: Opaque; belongs to the state.
        tokens: Tokens reserved.
        cost_micro: Money reserved, micro-units.
        levels: The rate accounts after the debit.
    """

    hold: Hold
    tokens: int
    cost_micro: int
    levels: tuple[tuple[Account, Level], ...] = ()

    @property
    def headers(self) -> Headers:
        """``x-ratelimit-*`` headers of the tightest ceilings."""
        return rate_headers(self.levels)


class Limits:
    """The ceilings of one snapshot over a state that outlives it."""

    def __init__(
        self,
        settings: LimitsSettings,
        use_cases: Mapping[str, LimitSettings],
        state: LimitState,
        clock: Clock,
        share: Share = Share(),  # noqa: B008 - frozen
    ) -> None:
        """Prepare.

        Args:
            settings: Ceilings per key, tenant and model.
            use_cases: Ceilings per use case.
            state: The accounts; the same object for every snapshot.
            clock: Wall time decides the spend period.
            share: This worker's part of each ceiling when workers share no server.

        Raises:
            ValueError: An amount of money is malformed, or ``unknown_price: ceiling`` lacks its ceiling.
        """
        self._ceiling: int | None = None
        if settings.unknown_price == "ceiling":
            if settings.unknown_price_ceiling is None:
                raise ValueError("limits.unknown_price is 'ceiling', but limits.unknown_price_ceiling is missing")
            self._ceiling = micro(settings.unknown_price_ceiling)
        self._planner = Planner(settings, use_cases, share)
        self._settings = settings
        self._use_cases = use_cases
        self._share = share
        self._state = state
        self._clock = clock

    async def reserve(self, context: RequestContext, grant: Grant, need: Need) -> Ruling[Reservation]:
        """Set room aside under every ceiling that applies, or refuse and set none aside."""
        cost = self._ceiling if need.cost_micro is None else need.cost_micro
        if cost is None:
            return Deny(
                Code.PRICE_UNKNOWN,
                "limit:unknown_price",
                "A deployment that may answer has no known price, so its cost cannot be bounded.",
                param="model",
            )
        if need.tokens < 0 or cost < 0:
            raise ValueError("a request cannot need less than nothing")
        accounts = self._accounts(context, grant)
        amounts = {"requests": 1, "tokens": need.tokens, "concurrent": 1, "spend": cost}
        taken = await self._state.reserve([(account, amounts[account.kind]) for account in accounts])
        if isinstance(taken, Shortage):
            return _refusal(taken, amounts[taken.account.kind])
        return Allow(Reservation(taken, need.tokens, cost, self._levels(accounts)), "limits")

    async def settle(self, reservation: Reservation, spent: Spent) -> None:
        """Replace the reservation by what was used. Idempotent, never waits, safe while being cancelled."""
        self._state.settle(reservation.hold, tokens=spent.tokens, spend=spent.cost_micro)

    def headers(self, context: RequestContext, grant: Grant) -> Headers:
        """``x-ratelimit-*`` headers as things stand; they go with a refusal."""
        return rate_headers(self._levels(self._accounts(context, grant)))

    def replay(self, entries: Iterable[SpendEntry]) -> int:
        """Count spend of the past, after a start with an empty state; return how many entries still matter.

        Feed every outcome since the first of the month, UTC. Entries of past periods are ignored.
        """
        now_ms = self._clock.wall_ms()
        past = Planner(
            self._settings, self._use_cases, self._share
        )  # its own, so that the days do not evict each other
        counted = 0
        for entry in entries:
            place = (entry.tenant, entry.credential_id, entry.use_case, entry.model)
            current = {account.key for account in self._planner.plan(*place, now_ms)}
            relevant = [
                account
                for account in past.plan(*place, entry.ts_ms)
                if account.kind == "spend" and account.key in current
            ]
            for account in relevant:
                # Rounded up: the workers together must not forget a fraction of what was spent.
                self._state.restore(account, -(-entry.cost_micro // self._share.count))
            counted += bool(relevant)
        return counted

    def _accounts(self, context: RequestContext, grant: Grant) -> tuple[Account, ...]:
        return self._planner.plan(
            grant.tenant, context.principal.credential_id, grant.use_case, grant.model, self._clock.wall_ms()
        )

    def _levels(self, accounts: Iterable[Account]) -> tuple[tuple[Account, Level], ...]:
        level = self._state.level
        return tuple([(account, level(account)) for account in accounts if account.kind in {"requests", "tokens"}])


def _refusal(shortage: Shortage, amount: int) -> Deny:
    account = shortage.account
    _, scope, ceiling = account.rule.split(":")
    what = f"limit on {_WORDS[ceiling]} of this {scope.replace('_', ' ')}"
    if shortage.unavailable:
        return Deny(
            Code.LIMITS_UNAVAILABLE,
            account.rule,
            f"The {what} cannot be checked right now.",
            retry_after_s=_UNAVAILABLE_RETRY_S,
        )
    if shortage.retry_after_ms is None or not account.limit:
        need = f"The request may need up to {amount}{_UNITS.get(account.kind, '')}"
        if amount <= account.stated:
            reason = f"{need}; of the {what}, {account.stated}, this worker holds {account.limit}."
            remedy = "Try again: another worker may hold more. The operator lets workers share with limits.shared."
            return Deny(_CODES[account.kind], account.rule, reason, remedy)
        reason = f"{need}, more than the {what} ever allows."
        remedy = "Send a smaller request or lower max_tokens; waiting does not help."
        return Deny(_CODES[account.kind], account.rule, reason, remedy, final=True)
    if account.kind == "spend":
        reason = f"The request may cost more than is left of the {what}."
        remedy = "Lower max_tokens or send less text; else wait for the next period, or ask the operator for more."
        return Deny(_CODES[account.kind], account.rule, reason, remedy, retry_after_s=shortage.retry_after_ms / 1000)
    return Deny(
        _CODES[account.kind],
        account.rule,
        f"The {what} is used up.",
        retry_after_s=shortage.retry_after_ms / 1000,
    )
