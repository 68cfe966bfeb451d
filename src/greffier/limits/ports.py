"""The port behind the limits: accounts that are debited together or not at all."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Kind = Literal["requests", "tokens", "concurrent", "spend"]


class Account(msgspec.Struct, frozen=True):
    """One ceiling of one scope.

    Attributes:
        key: Unique; starts with the tenant, so that no tenant can touch another's account.
        kind: ``requests`` and ``tokens`` refill evenly over a minute and hold a minute's worth; ``concurrent`` counts
            what runs now; ``spend`` counts micro-units up to the end of its period.
        limit: The ceiling.
        rule: Identifier for rulings, for example ``limit:tenant:requests_per_minute``.
        until_ms: End of a spend period, milliseconds since the epoch; 0 for the other kinds.
        stated: The whole ceiling, of which ``limit`` is this worker's part; 0 when it has all of it.
    """

    key: str
    kind: Kind
    limit: int
    rule: str
    until_ms: int = 0
    stated: int = 0


Demand = tuple[Account, int]
"""An account and the units wanted from it."""


class Hold:
    """What was debited for one request, until it is settled. Opaque outside the state that made it.

    Attributes:
        demands: The accounts and what was taken from each.
        expires_ms: Monotonic milliseconds at which the state frees what nobody settled.
        expired: The state has freed it; settling afterwards still charges what was really used.
        settled: Settled; settling again changes nothing.
    """

    __slots__ = ("demands", "expired", "expires_ms", "settled")

    def __init__(self, demands: tuple[Demand, ...], expires_ms: int) -> None:
        self.demands = demands
        self.expires_ms = expires_ms
        self.expired = False
        self.settled = False


class Shortage(msgspec.Struct, frozen=True):
    """Why a debit was not made; nothing was debited.

    Attributes:
        account: The account that lacks room; the one with the longest wait if there are several.
        retry_after_ms: When there may be room, in milliseconds; None when waiting does not help.
        unavailable: True when the ceiling could not be checked at all, rather than being used up.
    """

    account: Account
    retry_after_ms: int | None
    unavailable: bool = False


class Level(msgspec.Struct, frozen=True):
    """How full an account is: units left, and milliseconds until it is as good as new."""

    remaining: int
    reset_ms: int


class LimitState(Protocol):
    """Keeps the accounts. Outlives snapshots: an account is known by its key, its limit comes with each demand.

    All methods are called from one event loop.
    """

    async def reserve(self, demands: Sequence[Demand]) -> Hold | Shortage:
        """Debit every account, or none if one lacks room.

        An unsettled hold expires; what it took from ``concurrent`` and ``spend`` accounts is then free again.
        Cancelling the caller leaves nothing debited.
        """
        ...

    def settle(self, hold: Hold, *, tokens: int | None, spend: int | None) -> None:
        """Replace what was reserved by what was used; None leaves the reserved amount as used.

        Never waits, so that it works in the middle of a cancellation. Once per hold; again is a no-op.
        """
        ...

    def level(self, account: Account) -> Level:
        """How full an account is, as far as this process knows."""
        ...

    def restore(self, account: Account, micro: int) -> None:
        """Count spend that happened before this process started."""
        ...

    async def close(self) -> None:
        """Give back what is not needed any more and release connections."""
        ...
