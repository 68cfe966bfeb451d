"""Accounts in the memory of one process: exact, no locks (one event loop), no waiting."""

from collections.abc import Sequence

from greffier.core.clock import Clock
from greffier.limits.holds import OpenHolds
from greffier.limits.ports import Account, Demand, Hold, Level, Shortage

_MINUTE_MS = 60_000
_CONCURRENCY_RETRY_MS = 1000  # nobody knows when a running request ends; a second is polite and short
_SWEEP_EVERY = 4096
_NOTHING_LEFT = Level(0, 0)


class _Rate:
    """A token bucket, kept as the level of what was taken, in units times 60,000 so that refilling is exact.

    Counting what was taken, and not what is left, makes an unused bucket level 0 whatever its limit, so that limits may
    change between snapshots and idle buckets may be forgotten.
    """

    __slots__ = ("at_ms", "level")

    def __init__(self, now_ms: int) -> None:
        self.level = 0
        self.at_ms = now_ms

    def drain(self, limit: int, now_ms: int) -> int:
        elapsed = now_ms - self.at_ms
        if elapsed > 0:
            self.at_ms = now_ms
            level = self.level - limit * elapsed
            self.level = level if level > 0 else 0  # noqa: FURB136 - a call takes three times as long
        return self.level


class _Budget:
    """Money of one period: what was really spent, and what open holds have set aside."""

    __slots__ = ("held", "spent", "until_ms")

    def __init__(self, until_ms: int) -> None:
        self.spent = 0
        self.held = 0
        self.until_ms = until_ms


class LocalLimitState:
    """The default `LimitState`. Several workers have one each: give them a `Share` of every ceiling, or a server."""

    def __init__(self, clock: Clock, *, hold_ttl_s: float = 900.0) -> None:
        """Start with empty accounts.

        Args:
            clock: Monotonic for rates and holds, wall for spend periods.
            hold_ttl_s: Seconds after which an unsettled hold is freed; longer than any request may take.
        """
        self._clock = clock
        self._rates: dict[str, _Rate] = {}
        self._running: dict[str, int] = {}
        self._budgets: dict[str, _Budget] = {}
        self._open = OpenHolds(hold_ttl_s)
        self._until_sweep = _SWEEP_EVERY
        self._limits: dict[str, int] = {}

    async def reserve(self, demands: Sequence[Demand]) -> Hold | Shortage:
        """Debit all or none; never waits."""
        return self.reserve_now(demands)

    def reserve_now(self, demands: Sequence[Demand]) -> Hold | Shortage:
        """As `reserve`, for callers that cannot wait."""
        now_ms = self._now_ms()
        self._open.expire(now_ms, self._free)
        shortage: Shortage | None = None
        for account, amount in demands:
            wait = self._lacks(account, amount, now_ms)
            if wait:
                found = Shortage(account, wait if wait > 0 else None)
                shortage = found if shortage is None else longer(shortage, found)
        if shortage is not None:
            return shortage
        for account, amount in demands:
            kind = account.kind
            if kind == "concurrent":
                self._running[account.key] = self._running.get(account.key, 0) + amount
            elif kind == "spend":
                self._budget(account).held += amount
            else:
                self._rate(account, now_ms).level += amount * _MINUTE_MS
        hold = self._open.open(tuple(demands), now_ms)
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now_ms)
        return hold

    def settle(self, hold: Hold, *, tokens: int | None, spend: int | None) -> None:
        """Replace what was reserved by what was used."""
        if hold.settled:
            return
        hold.settled = True
        now_ms = self._now_ms()
        for account, reserved in hold.demands:
            kind = account.kind
            if kind == "tokens" and tokens is not None and tokens != reserved:
                rate = self._rate(account, now_ms)
                rate.drain(account.limit, now_ms)
                rate.level = max(rate.level + (tokens - reserved) * _MINUTE_MS, 0)
            elif kind == "concurrent" and not hold.expired:
                self._release_slot(account)
            elif kind == "spend":
                budget = self._budget(account)
                budget.spent += reserved if spend is None else spend
                if not hold.expired:
                    budget.held -= reserved

    def level(self, account: Account) -> Level:
        """How full an account is now."""
        if account.kind == "concurrent":
            return Level(max(account.limit - self._running.get(account.key, 0), 0), 0)
        if account.kind == "spend":
            budget = self._budgets.get(account.key)
            used = 0 if budget is None else budget.spent + budget.held
            return Level(max(account.limit - used, 0), max(account.until_ms - self._clock.wall_ms(), 0))
        rate = self._rates.get(account.key)
        limit = account.limit
        level = 0 if rate is None else rate.drain(limit, self._now_ms())
        if not limit:
            return _NOTHING_LEFT
        return Level(max((limit * _MINUTE_MS - level) // _MINUTE_MS, 0), -(-level // limit))

    def restore(self, account: Account, micro: int) -> None:
        """Count spend of the past."""
        self._budget(account).spent += micro

    async def close(self) -> None:
        """Nothing to release."""

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)

    def _lacks(self, account: Account, amount: int, now_ms: int) -> int:
        """0 when there is room; otherwise milliseconds until there may be, or -1 for never."""
        if amount == 0:
            return 0  # who wants nothing is not stopped by what others used up: a free model outlives the budget
        limit = account.limit
        kind = account.kind
        if kind == "concurrent":
            return 0 if self._running.get(account.key, 0) + amount <= limit else _CONCURRENCY_RETRY_MS
        if kind == "spend":
            budget = self._budgets.get(account.key)
            used = 0 if budget is None else budget.spent + budget.held
            if used + amount <= limit:
                return 0
            return -1 if amount > limit else max(account.until_ms - self._clock.wall_ms(), 1)
        if amount > limit:
            return -1
        rate = self._rates.get(account.key)
        level = 0 if rate is None else rate.drain(limit, now_ms)
        over = level + (amount - limit) * _MINUTE_MS
        return 0 if over <= 0 else -(-over // limit)

    def _rate(self, account: Account, now_ms: int) -> _Rate:
        """The bucket of an account; not drained."""
        rate = self._rates.get(account.key)
        if rate is None:
            rate = self._rates[account.key] = _Rate(now_ms)
            self._limits[account.key] = account.limit
        return rate

    def _budget(self, account: Account) -> _Budget:
        budget = self._budgets.get(account.key)
        if budget is None:
            budget = self._budgets[account.key] = _Budget(account.until_ms)
        return budget

    def _release_slot(self, account: Account) -> None:
        running = self._running.get(account.key, 0) - 1
        if running > 0:
            self._running[account.key] = running
        else:
            self._running.pop(account.key, None)

    def _free(self, account: Account, reserved: int) -> None:
        if account.kind == "concurrent":
            self._release_slot(account)
        else:
            self._budget(account).held -= reserved

    def _sweep(self, now_ms: int) -> None:
        """Forget idle buckets and past periods, so that memory follows the callers of the last minutes."""
        self._until_sweep = max(_SWEEP_EVERY, len(self._rates), len(self._budgets))
        for key in [key for key, rate in self._rates.items() if rate.drain(self._limits[key], now_ms) == 0]:
            del self._rates[key]
            del self._limits[key]
        wall_ms = self._clock.wall_ms()
        for key in [key for key, budget in self._budgets.items() if budget.until_ms <= wall_ms and not budget.held]:
            del self._budgets[key]


def longer(first: Shortage, second: Shortage) -> Shortage:
    """Of two shortages, the one that lasts longer; waiting that does not help lasts longest."""
    if first.retry_after_ms is None:
        return first
    if second.retry_after_ms is None or second.retry_after_ms > first.retry_after_ms:
        return second
    return first
