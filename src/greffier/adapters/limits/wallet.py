"""What one worker knows about one shared account: its lease, what it used, and how to go on without the server."""

from greffier.limits.ports import Account, Level

MINUTE_MS = 60_000
UNKNOWN = -1


class Wallet:
    """A worker's side of an account.

    Attributes:
        account: The account, with the limit last asked for.
        used: Units this worker has ever taken (``concurrent``: holds now), whether leased or not.
        claim: Units the server has leased to this worker, likewise in all.
        confirmed: The last claim the server confirmed; `UNKNOWN` for a new wallet.
        floor: Spend the journal knows of, for a server that has lost its data.
        lease_until: Monotonic milliseconds until which the lease may be spent.
        seen: What all workers had taken when the server was last asked (rates: times 60,000).
        seen_at: When that was, monotonic milliseconds.
    """

    __slots__ = (
        "_share_at",
        "_share_level",
        "account",
        "claim",
        "confirmed",
        "floor",
        "lease_until",
        "seen",
        "seen_at",
        "used",
    )

    def __init__(self, account: Account, now_ms: int) -> None:
        self.account = account
        self.used = 0
        self.claim = 0
        self.confirmed = UNKNOWN
        self.floor = 0
        self.lease_until = 0
        self.seen = 0
        self.seen_at = now_ms
        self._share_level: int | None = None
        self._share_at = now_ms

    @property
    def is_rate(self) -> bool:
        """Whether the account refills by itself."""
        return self.account.kind in {"requests", "tokens"}

    def covers(self, amount: int, now_ms: int) -> bool:
        """Whether the lease has room for ``amount`` more; who wants nothing needs no lease."""
        return amount == 0 or (self.used + amount <= self.claim and now_ms < self.lease_until)

    def change(self, amount: int) -> None:
        """Use units, or give them back when negative."""
        self.used += amount
        if self._share_level is not None:
            self._share_level = max(self._share_level + amount * MINUTE_MS, 0)

    def correct(self, amount: int) -> None:
        """Replace an estimate on a rate by the truth, ``amount`` more or less.

        What was reserved too much goes back to the server and not into the lease: the rate has refilled since, and
        units that refilled must not be spent a second time.
        """
        self.change(amount)
        if amount < 0:
            self.claim += amount
            if self.confirmed == UNKNOWN:  # the wallet of the reservation is gone, and with it the debt
                self.used = max(self.used, 0)
                self.claim = max(self.claim, 0)

    def lacks_alone(self, amount: int, workers: int, now_ms: int) -> bool:
        """Whether this worker's share of the ceiling is used up while the server is out of reach.

        The share is a ``workers``-th of the rate or of the slots, and of the money that was left when the server was
        last seen. A rate's share begins as full as the whole was.
        """
        limit = self.account.limit
        if self.account.kind == "spend":
            left = max(limit - max(self.seen, self.floor), 0)
            return self.used + amount > self.claim + left // workers
        share = max(limit // workers, 1) if limit else 0
        if self.account.kind == "concurrent":
            return self.used + amount > share
        if self._share_level is None:
            self._share_level = self._drained(now_ms) // workers
        else:
            self._share_level = max(self._share_level - share * (now_ms - self._share_at), 0)
        self._share_at = now_ms
        return self._share_level + amount * MINUTE_MS > share * MINUTE_MS

    def prepare(self) -> None:
        """Bring the books in order before the server is asked; call it while nothing of this call is debited yet.

        What was used alone is owed. Of a rate only what has not refilled meanwhile is: a long outage must not turn into
        a long silence.
        """
        if self._share_level is not None:
            owed = min(max(self.used - self.claim, 0), -(-self._share_level // MINUTE_MS))
            self.used = min(self.used, self.claim + owed)
            self._share_level = None
        if not self.is_rate or self.confirmed != UNKNOWN:
            self.claim = max(self.claim, self.used)

    def confirm(self, claim: int, taken: int, now_ms: int, lease_ms: int) -> None:
        """The server's answer."""
        self.claim = self.confirmed = claim
        self.seen = taken
        self.seen_at = now_ms
        self.lease_until = now_ms + lease_ms

    def level(self, now_ms: int, wall_ms: int) -> Level:
        """How full the account is, as far as this worker knows: what it may still use, and what all may."""
        limit = self.account.limit
        unused = max(self.claim - self.used, 0)
        if not self.is_rate:
            left = min(max(limit - self.seen, 0) + unused, limit)
            return Level(left, max(self.account.until_ms - wall_ms, 0))
        drained = max(self._drained(now_ms) - unused * MINUTE_MS, 0)
        left = max((limit * MINUTE_MS - drained) // MINUTE_MS, 0)
        return Level(left, -(-drained // limit) if limit else 0)

    def _drained(self, now_ms: int) -> int:
        return max(self.seen - self.account.limit * (now_ms - self.seen_at), 0)
