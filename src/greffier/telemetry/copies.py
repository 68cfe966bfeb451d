"""Prometheus metrics of the locked copies, kept by the supervisor in the folder that the workers share.

Make them once `greffier.telemetry.sharing` knows the folder, so that any worker can answer a scrape.
"""

from prometheus_client import CollectorRegistry, Gauge

from greffier.telemetry import names


class CopyMetrics:
    """How far each copy is, and whether it is kept up to date."""

    def __init__(self) -> None:
        registry = CollectorRegistry()

        def gauge(name: str, title: str) -> Gauge:
            return Gauge(name, title, ("copy",), multiprocess_mode="mostrecent", registry=registry)

        self._events = gauge(names.COPY_EVENTS, "Events under the newest checkpoint that was copied.")
        self._moment = gauge(names.COPY_MOMENT, "When the newest copied checkpoint was signed, Unix time.")
        self._failing = gauge(names.COPY_FAILING, "1 while nothing is copied, though it is due.")

    def show(self, copy: str, *, events: int, time_ms: int, failing: bool) -> None:
        """Set the values of one copy."""
        self._events.labels(copy).set(events)
        self._moment.labels(copy).set(time_ms / 1000)
        self._failing.labels(copy).set(int(failing))
