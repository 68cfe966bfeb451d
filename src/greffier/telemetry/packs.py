"""Prometheus metric of the signature packs in force: when each is out of date."""

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from greffier.telemetry import names


class PackMetrics:
    """When each pack expires. A pack that left the configuration never does, so that no alert stays behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._end = Gauge(
            names.PACK_END,
            "From when a newer version of a signature pack is due, Unix time.",
            ("pack",),
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._shown: set[str] = set()

    def show(self, ends: Mapping[str, float]) -> None:
        """Set the moments (Unix time, seconds) of the packs in force."""
        for name in self._shown - ends.keys():
            self._end.labels(name).set(math.inf)
        for name, end in ends.items():
            self._end.labels(name).set(end)
        self._shown |= ends.keys()
