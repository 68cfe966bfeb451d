import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.router.health import HealthBoard
from greffier.router.settings import BreakerSettings, ModelSettings, RetrySettings, TargetSettings
from greffier.testing.clock import ManualClock


class Bench:
    def __init__(self, **breaker: int) -> None:
        self.clock = ManualClock()
        self.board = HealthBoard(self.clock, random.Random(7))
        self.adopt(BreakerSettings(**breaker))

    def adopt(self, breaker: BreakerSettings, retry: RetrySettings | None = None) -> None:
        targets = (TargetSettings(deployment="d"),)
        self.board.adopt({"m": ModelSettings(targets=targets, breaker=breaker, retry=retry or RetrySettings())})

    def fail(self, times: int = 1, retry_after_s: float | None = None) -> None:
        for _ in range(times):
            self.board.report("d", ok=False, latency_s=1, retry_after_s=retry_after_s)

    def work(self, times: int = 1, latency_s: float = 1.0) -> None:
        for _ in range(times):
            self.board.report("d", ok=True, latency_s=latency_s)

    @property
    def state(self) -> str:
        return self.board.state("d")


def test_opens_after_failures_in_a_row() -> None:
    bench = Bench(failures=3, failure_percent=100)
    bench.fail(2)
    bench.work()
    bench.fail(2)
    assert bench.state == "closed"
    bench.fail()
    assert bench.state == "open"


def test_opens_above_a_ratio_once_there_are_enough_calls() -> None:
    bench = Bench(failures=100, failure_percent=50, window_s=30)
    for _ in range(4):
        bench.work()
        bench.fail()
    assert bench.state == "closed"
    bench.work()
    bench.fail()
    assert bench.state == "open"


def test_failures_outside_the_window_are_forgotten() -> None:
    bench = Bench(failures=100, failure_percent=50, window_s=30)
    bench.fail(9)
    bench.clock.advance(31)
    bench.work(8)
    bench.fail(3)
    assert bench.state == "closed"


def test_a_pause_the_upstream_asks_for_is_kept_within_reason() -> None:
    bench = Bench()
    bench.fail(retry_after_s=20)
    assert bench.board.wait_s("d") == pytest.approx(20)
    bench = Bench()
    bench.fail(retry_after_s=10**9)
    assert bench.board.wait_s("d") == pytest.approx(300)


def test_a_failed_probe_opens_again_and_a_good_one_closes() -> None:
    bench = Bench(failures=1, cooldown_s=10)
    bench.fail()
    bench.clock.advance(10)
    assert bench.state == "ready"
    assert bench.board.claim_probe("d")
    assert not bench.board.claim_probe("d")
    assert bench.state == "probing"
    bench.fail()
    assert bench.state == "open"
    bench.clock.advance(10)
    assert bench.board.claim_probe("d")
    bench.work()
    assert bench.state == "closed"


def test_a_late_answer_from_before_does_not_close_an_open_breaker() -> None:
    bench = Bench(failures=1)
    bench.fail()
    bench.work()
    assert bench.state == "open"


def test_late_failures_from_before_do_not_prolong_the_rest() -> None:
    bench = Bench(failures=1, cooldown_s=10)
    bench.fail()
    bench.clock.advance(9)
    bench.fail()
    assert bench.board.wait_s("d") == pytest.approx(1)


def test_a_deployment_behind_two_models_gets_the_more_cautious_settings() -> None:
    bench = Bench()
    targets = (TargetSettings(deployment="d"),)
    bench.board.adopt(
        {
            "a": ModelSettings(targets=targets, breaker=BreakerSettings(failures=2, cooldown_s=5)),
            "b": ModelSettings(targets=targets, breaker=BreakerSettings(failures=9, cooldown_s=50)),
        }
    )
    bench.fail(2)
    assert bench.board.wait_s("d") == pytest.approx(50)


def test_latency_is_smoothed_and_failures_do_not_count() -> None:
    bench = Bench()
    bench.work(latency_s=1.0)
    bench.fail()
    bench.work(latency_s=2.0)
    (health,) = bench.board.states()
    assert health.latency_s == pytest.approx(1.2)
    assert health.consecutive_failures == 0


def test_states_for_metrics() -> None:
    bench = Bench(failures=1, cooldown_s=10)
    bench.fail()
    (health,) = bench.board.states()
    assert (health.deployment, health.state, health.opened) == ("d", "open", 1)
    assert health.wait_s == pytest.approx(10)


def test_retries_stay_a_fraction_of_requests() -> None:
    bench = Bench()
    bench.adopt(BreakerSettings(), RetrySettings(budget_percent=20))
    granted = 0
    for _ in range(1000):
        bench.board.count_request("m")
        granted += bench.board.may_retry("m")
    assert granted <= 10 + 200
    assert granted >= 200


def test_without_a_budget_there_are_no_retries() -> None:
    bench = Bench()
    bench.adopt(BreakerSettings(), RetrySettings(budget_percent=0))
    assert not bench.board.may_retry("m")


@given(attempt=st.integers(1, 1000), base=st.integers(0, 10_000), cap=st.integers(0, 60_000))
def test_backoff_is_jittered_and_bounded(attempt: int, base: int, cap: int) -> None:
    bench = Bench()
    bench.adopt(BreakerSettings(), RetrySettings(backoff_ms=base, max_backoff_ms=cap))
    assert 0 <= bench.board.backoff_s("m", attempt) <= min(base * 2.0 ** min(attempt - 1, 40), cap) / 1000
