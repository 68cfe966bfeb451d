"""A circuit breaker: a deployment that keeps failing rests, then is tried by a single request.

After M. Nygard, "Release It!", and the half-open state as in resilience4j and Envoy's outlier detection.
"""

from collections import deque
from typing import Literal

from greffier.router.settings import BreakerSettings

State = Literal["closed", "ready", "probing", "open"]
"""``ready``: rested enough, the next request may probe it. ``probing``: one request is finding out."""

_MIN_CALLS = 10  # below this a ratio says little: one failure of two is no trend
_MAX_REST_S = 300.0  # an upstream's retry-after is believed up to here
_SMOOTHING = 0.2


class Breaker:
    """Health of one deployment. Times are monotonic seconds, given by the caller."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.consecutive = 0
        self.latency_s: float | None = None
        self.opened = 0
        self._open_until: float | None = None
        self._probe_until = 0.0
        self._seconds: deque[list[int]] = deque()  # [second, calls, failures], oldest first, one per busy second

    def state(self, now: float) -> State:
        """Where it stands."""
        if self._open_until is None:
            return "closed"
        if now < self._open_until:
            return "open"
        return "probing" if now < self._probe_until else "ready"

    def wait_s(self, now: float) -> float:
        """Seconds until it may be tried again; 0 when it may be now."""
        state = self.state(now)
        if state == "open" and self._open_until is not None:
            return self._open_until - now
        return self._probe_until - now if state == "probing" else 0.0

    def claim_probe(self, now: float) -> bool:
        """Take the single probe, if it is to be had. A probe that never reports is given up after a cooldown."""
        if self.state(now) != "ready":
            return False
        self._probe_until = now + self.settings.cooldown_s
        return True

    def succeeded(self, latency_s: float, now: float) -> None:
        """A call worked: closes the breaker, unless the answer belongs to a call from before it opened."""
        self.latency_s = (
            latency_s if self.latency_s is None else self.latency_s + _SMOOTHING * (latency_s - self.latency_s)
        )
        if self.state(now) == "open":
            return
        if self._open_until is not None:
            self._open_until = None
            self._probe_until = 0.0
            self._seconds.clear()
        self.consecutive = 0
        self._count(now, failed=0)

    def failed(self, now: float, retry_after_s: float | None) -> None:
        """A call failed; opens the breaker when a threshold is crossed or the upstream asked for a pause."""
        self.consecutive += 1
        self._count(now, failed=1)
        state = self.state(now)
        if retry_after_s is not None:
            self._open(now, min(max(retry_after_s, 0.0), _MAX_REST_S))
        elif state == "open":
            return  # the late end of a call from before it opened: already paid for
        elif state != "closed" or self.consecutive >= self.settings.failures or self._too_many():
            self._open(now, self.settings.cooldown_s)

    def _open(self, now: float, rest_s: float) -> None:
        if self.state(now) != "open":
            self.opened += 1
        self._open_until = max(self._open_until or 0.0, now + rest_s)
        self._probe_until = 0.0

    def _count(self, now: float, *, failed: int) -> None:
        second = int(now)
        while self._seconds and self._seconds[0][0] <= second - self.settings.window_s:
            self._seconds.popleft()
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
            self._seconds[-1][2] += failed
        else:
            self._seconds.append([second, 1, failed])

    def _too_many(self) -> bool:
        calls = sum(entry[1] for entry in self._seconds)
        failures = sum(entry[2] for entry in self._seconds)
        return calls >= _MIN_CALLS and failures * 100 >= calls * self.settings.failure_percent
