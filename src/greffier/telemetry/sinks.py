"""Prometheus metrics of the sinks, kept by the supervisor in the folder that the workers share.

Make them once `greffier.telemetry.sharing` knows the folder, so that any worker can answer a scrape.
"""

from prometheus_client import CollectorRegistry, Gauge

from greffier.telemetry import names


class SinkMetrics:
    """How far behind each sink is, and whether it gets anything."""

    def __init__(self) -> None:
        registry = CollectorRegistry()

        def gauge(name: str, title: str) -> Gauge:
            return Gauge(name, title, ("sink",), multiprocess_mode="mostrecent", registry=registry)

        self._lag = gauge(names.SINK_LAG, "Journal events not yet shipped.")
        self._delivered = gauge(names.SINK_DELIVERED, "Entries the sink acknowledged, since it was set up.")
        self._rejected = gauge(names.SINK_REJECTED, "Entries the sink refused for good, since it was set up.")
        self._failing = gauge(names.SINK_FAILING, "1 while the sink gets nothing.")

    def show(self, sink: str, *, lag: int, delivered: int, rejected: int, failing: bool) -> None:
        """Set the values of one sink."""
        self._lag.labels(sink).set(lag)
        self._delivered.labels(sink).set(delivered)
        self._rejected.labels(sink).set(rejected)
        self._failing.labels(sink).set(int(failing))
