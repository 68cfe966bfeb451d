"""What is known about the deployments' health. Long-lived: snapshots come and go over it."""

from collections.abc import Mapping
from random import Random

import msgspec

from greffier.core.clock import Clock
from greffier.router.breaker import Breaker, State
from greffier.router.settings import BreakerSettings, ModelSettings, RetrySettings

_RETRY_COST = 100  # one retry, in hundredths; a request pays in `budget_percent` of them
_INITIAL_RETRIES = 10
_MAX_RETRIES = 100


class DeploymentHealth(msgspec.Struct, frozen=True):
    """One deployment's health, for metrics and the console.

    Attributes:
        state: State of its breaker.
        consecutive_failures: Failures since the last success.
        opened: How often the breaker has opened since the start.
        latency_s: Smoothed seconds per successful call; None before the first.
        wait_s: Seconds until it may be tried again.
    """

    deployment: str
    state: State
    consecutive_failures: int
    opened: int
    latency_s: float | None
    wait_s: float


class HealthBoard:
    """Breakers per deployment, retry budgets per model."""

    def __init__(self, clock: Clock, randomness: Random) -> None:
        self._clock = clock
        self._random = randomness
        self._breakers: dict[str, Breaker] = {}
        self._retries: dict[str, RetrySettings] = {}
        self._budgets: dict[str, int] = {}

    def adopt(self, models: Mapping[str, ModelSettings]) -> None:
        """Take over a snapshot's settings; what was learnt stays.

        A deployment behind several models gets the most cautious of their breaker settings.
        """
        cautious: dict[str, BreakerSettings] = {}
        for model in models.values():
            for target in model.targets:
                known = cautious.get(target.deployment)
                cautious[target.deployment] = model.breaker if known is None else _most_cautious(known, model.breaker)
        for name, settings in cautious.items():
            self._breaker(name).settings = settings
        self._retries = {name: model.retry for name, model in models.items()}

    def report(self, deployment: str, ok: bool, latency_s: float, retry_after_s: float | None = None) -> None:
        """Say how a call ended. Errors that are the caller's fault count as ``ok``.

        Args:
            deployment: Its name.
            ok: Whether the deployment did its part.
            latency_s: Seconds the call took.
            retry_after_s: Pause the upstream asked for, in seconds.
        """
        breaker = self._breaker(deployment)
        now = self._clock.monotonic()
        if ok:
            breaker.succeeded(latency_s, now)
        else:
            breaker.failed(now, retry_after_s)

    def state(self, deployment: str) -> State:
        """State of a deployment's breaker; unknown ones are ``closed``."""
        breaker = self._breakers.get(deployment)
        return "closed" if breaker is None else breaker.state(self._clock.monotonic())

    def wait_s(self, deployment: str) -> float:
        """Seconds until the deployment may be tried again."""
        breaker = self._breakers.get(deployment)
        return 0.0 if breaker is None else breaker.wait_s(self._clock.monotonic())

    def claim_probe(self, deployment: str) -> bool:
        """Become the single request that finds out whether a rested deployment works again."""
        return self._breaker(deployment).claim_probe(self._clock.monotonic())

    def count_request(self, model: str) -> None:
        """A request begins: it pays its part into the model's retry budget."""
        percent = self._retries.get(model, RetrySettings()).budget_percent
        self._budgets[model] = min(self._budget(model) + percent, _MAX_RETRIES * _RETRY_COST)

    def may_retry(self, model: str) -> bool:
        """Take one retry out of the model's budget; False when it is spent, so that retries never become a storm."""
        if self._retries.get(model, RetrySettings()).budget_percent == 0:
            return False
        budget = self._budget(model)
        if budget < _RETRY_COST:
            return False
        self._budgets[model] = budget - _RETRY_COST
        return True

    def backoff_s(self, model: str, attempt: int) -> float:
        """Seconds to wait before retry number ``attempt`` (from 1): full jitter under a doubling cap.

        See M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        settings = self._retries.get(model, RetrySettings())
        cap_ms = min(settings.backoff_ms << min(max(attempt - 1, 0), 20), settings.max_backoff_ms)
        return self._random.random() * cap_ms / 1000

    def states(self) -> tuple[DeploymentHealth, ...]:
        """Every deployment known, by name."""
        now = self._clock.monotonic()
        return tuple(
            DeploymentHealth(
                name, breaker.state(now), breaker.consecutive, breaker.opened, breaker.latency_s, breaker.wait_s(now)
            )
            for name, breaker in sorted(self._breakers.items())
        )

    def _breaker(self, deployment: str) -> Breaker:
        breaker = self._breakers.get(deployment)
        if breaker is None:
            breaker = self._breakers[deployment] = Breaker(BreakerSettings())
        return breaker

    def _budget(self, model: str) -> int:
        return self._budgets.get(model, _INITIAL_RETRIES * _RETRY_COST)


def _most_cautious(first: BreakerSettings, second: BreakerSettings) -> BreakerSettings:
    return BreakerSettings(
        failures=min(first.failures, second.failures),
        failure_percent=min(first.failure_percent, second.failure_percent),
        window_s=max(first.window_s, second.window_s),
        cooldown_s=max(first.cooldown_s, second.cooldown_s),
    )
