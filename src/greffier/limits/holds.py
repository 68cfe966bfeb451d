"""Open holds, oldest first, so that what nobody settles frees itself."""

from collections import deque
from collections.abc import Callable

from greffier.limits.ports import Account, Demand, Hold


class OpenHolds:
    """All holds live equally long, so the queue is in order of expiry and each look costs what it removes."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_ms = int(ttl_s * 1000)
        self._queue: deque[Hold] = deque()

    def open(self, demands: tuple[Demand, ...], now_ms: int) -> Hold:
        """Remember a new hold; times are monotonic milliseconds."""
        hold = Hold(demands, now_ms + self._ttl_ms)
        self._queue.append(hold)
        return hold

    def expire(self, now_ms: int, free: Callable[[Account, int], None]) -> None:
        """Forget settled holds; of expired ones, free slots and money (rates refill by themselves)."""
        queue = self._queue
        while queue and (queue[0].settled or queue[0].expires_ms <= now_ms):
            hold = queue.popleft()
            if hold.settled:
                continue
            hold.expired = True
            for account, reserved in hold.demands:
                if account.kind in {"concurrent", "spend"}:
                    free(account, reserved)
