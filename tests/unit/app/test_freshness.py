from greffier.pipeline.freshness import Expiry, Freshness
from greffier.testing.clock import ManualClock


def test_a_snapshot_expires_only_where_the_workspace_bounds_its_age_and_nobody_confirms_it() -> None:
    clock = ManualClock()
    freshness = Freshness(clock)
    bounded, unbounded = Expiry(freshness, 60), Expiry(freshness, None)
    clock.advance(60)
    assert not bounded.passed()
    clock.advance(1)
    assert bounded.passed()
    assert not unbounded.passed()
    freshness.confirm()
    assert not bounded.passed()
