from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from greffier.telemetry.tallies import CounterTally, HistogramTally

BOUNDS = (0.001, 0.01, 1.0)
LABELS = st.sampled_from(["a", "b"])


def _exported(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(st.lists(st.tuples(LABELS, st.sampled_from([0.0, 0.001, 0.0011, 0.01, 0.5, 1.0, 7.0]), st.booleans())))
def test_a_histogram_looks_as_if_every_value_had_been_observed_at_once(values: list[tuple[str, float, bool]]) -> None:
    direct, gathered = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("h", "H.", ("l",), buckets=BOUNDS, registry=direct)
    tally = HistogramTally(Histogram("h", "H.", ("l",), buckets=BOUNDS, registry=gathered), BOUNDS)
    for label, value, flush in values:
        plain.labels(label).observe(value)
        tally.add((label,), value)
        if flush:
            tally.flush()
    tally.flush()
    sums, others = _apart(_exported(direct)), _apart(_exported(gathered))
    assert sums[0] == others[0]
    assert all(abs(one - other) < 1e-9 for one, other in zip(sums[1], others[1], strict=True))


def _apart(lines: list[str]) -> tuple[list[str], list[float]]:
    """Lines to compare exactly, and sums, whose last digit depends on the order of additions."""
    sums = sorted(line for line in lines if line.startswith("h_sum"))
    return sorted(line for line in lines if line not in sums), [float(line.split()[-1]) for line in sums]


@given(st.lists(st.tuples(LABELS, st.integers(0, 5))))
def test_a_counter_looks_as_if_every_step_had_been_counted_at_once(steps: list[tuple[str, int]]) -> None:
    direct, gathered = CollectorRegistry(), CollectorRegistry()
    plain = Counter("c", "C.", ("l",), registry=direct)
    tally = CounterTally(Counter("c", "C.", ("l",), registry=gathered))
    for label, amount in steps:
        plain.labels(label).inc(amount)
        tally.add((label,), amount)
    tally.flush()
    tally.flush()
    assert sorted(_exported(direct)) == sorted(_exported(gathered))


def test_a_histogram_without_labels_is_gathered_too() -> None:
    registry = CollectorRegistry()
    tally = HistogramTally(Histogram("h", "H.", buckets=BOUNDS, registry=registry), BOUNDS)
    tally.add((), 0.5)
    tally.flush()
    assert "h_count 1.0" in _exported(registry)
