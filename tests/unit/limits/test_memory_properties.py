"""What holds whatever callers do and in whatever order: no over-admission, no lost money, no crosstalk."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from greffier.limits.memory import LocalLimitState
from greffier.limits.ports import Account, Hold
from greffier.testing.clock import ManualClock

TENANTS = ("acme", "globex")
RPM, TPM, SLOTS, MONEY = 5, 100, 3, 200
UNTIL = 1_800_000_000_000 + 10**9


def accounts(tenant: str) -> dict[str, Account]:
    return {
        "requests": Account(f"{tenant}/t:requests", "requests", RPM, "r"),
        "tokens": Account(f"{tenant}/t:tokens", "tokens", TPM, "r"),
        "concurrent": Account(f"{tenant}/t:concurrent", "concurrent", SLOTS, "r"),
        "spend": Account(f"{tenant}/t:spend", "spend", MONEY, "r", UNTIL),
    }


class Model:
    """The plain truth about one tenant, with no cleverness in it."""

    def __init__(self) -> None:
        self.admitted: list[tuple[float, int]] = []
        self.charged = 0
        self.open: dict[int, tuple[Hold, int, int, float]] = {}


class Ceilings(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.state = LocalLimitState(self.clock, hold_ttl_s=50)
        self.models = {tenant: Model() for tenant in TENANTS}

    @rule(target=holds, tenant=st.sampled_from(TENANTS), tokens=st.integers(0, 60), spend=st.integers(0, 120))
    def reserve(self, tenant: str, tokens: int, spend: int) -> tuple[str, Hold] | None:
        model = self.models[tenant]
        amounts = {"requests": 1, "tokens": tokens, "concurrent": 1, "spend": spend}
        held = self.state.reserve_now([(account, amounts[kind]) for kind, account in accounts(tenant).items()])
        if not isinstance(held, Hold):
            return None
        now = self.clock.monotonic()
        model.admitted.append((now, tokens))
        model.open[id(held)] = (held, tokens, spend, now)
        return tenant, held

    @rule(held=holds, share=st.floats(0, 1))
    def settle(self, held: tuple[str, Hold] | None, share: float) -> None:
        if held is None:
            return
        tenant, hold = held
        entry = self.models[tenant].open.pop(id(hold), None)
        spend = int((entry[2] if entry else 7) * share)
        self.state.settle(hold, tokens=None, spend=spend)
        if entry is not None:
            self.models[tenant].charged += spend

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def rates_are_never_exceeded(self) -> None:
        now = self.clock.monotonic()
        for model in self.models.values():
            for start, _ in model.admitted:
                inside = [entry for entry in model.admitted if entry[0] >= start]
                minutes = (now - start) / 60 + 0.001  # clocks are read in whole milliseconds
                assert len(inside) <= RPM + RPM * minutes
                assert sum(tokens for _, tokens in inside) <= TPM + TPM * minutes

    @invariant()
    def slots_are_never_exceeded(self) -> None:
        now = self.clock.monotonic()
        for model in self.models.values():
            assert sum(1 for entry in model.open.values() if now - entry[3] < 49.9) <= SLOTS

    @invariant()
    def money_is_conserved(self) -> None:
        """What is left is the budget less what was charged and what is set aside; nothing leaks, nothing is minted."""
        now = self.clock.monotonic()
        self.state._open.expire(int(now * 1000), self.state._free)
        for tenant, model in self.models.items():
            aside = sum(entry[2] for entry in model.open.values() if not entry[0].expired)
            left = self.state.level(accounts(tenant)["spend"]).remaining
            assert left == max(MONEY - model.charged - aside, 0)


Ceilings.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCeilings = Ceilings.TestCase


def test_memory_follows_the_callers_of_the_last_minutes() -> None:
    """Ten thousand keys that were seen once do not stay."""
    clock = ManualClock()
    state = LocalLimitState(clock)
    for number in range(10_000):
        wanted = (
            (Account(f"t/key/{number}:requests", "requests", 60, "r"), 1),
            (Account(f"t/key/{number}:concurrent", "concurrent", 60, "r"), 1),
            (Account(f"t/key/{number}:spend:1", "spend", 60, "r", clock.wall_ms() + 1000), 1),
        )
        held = state.reserve_now(wanted)
        assert isinstance(held, Hold)
        state.settle(held, tokens=0, spend=1)
    clock.advance(120)
    for _ in range(20_000):
        held = state.reserve_now([(Account("t/key/a:concurrent", "concurrent", 60, "r"), 1)])
        assert isinstance(held, Hold)
        state.settle(held, tokens=0, spend=0)
    assert len(state._rates) + len(state._budgets) + len(state._running) + len(state._limits) < 10
