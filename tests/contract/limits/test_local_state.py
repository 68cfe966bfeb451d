import pytest

from greffier.limits.memory import LocalLimitState
from greffier.testing.clock import ManualClock
from greffier.testing.contracts.limit_state import LimitStateContract, PassTime


class TestLocalLimitState(LimitStateContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(wall_ms=1_700_000_000_000)

    @pytest.fixture
    def state(self, clock: ManualClock) -> LocalLimitState:
        return LocalLimitState(clock)

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> PassTime:
        async def pass_time(seconds: float) -> None:
            clock.advance(seconds)

        return pass_time
