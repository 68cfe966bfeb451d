"""Prometheus metrics, derived from the same facts as the evidence. Labels are bounded; none names a person.

Workers share one set of metrics through prometheus-client's multiprocess files, so that any worker can answer a
scrape for all. The folder is named by ``PROMETHEUS_MULTIPROC_DIR``, which must be set before this module is imported.
"""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from greffier.core.events import Admission, Outcome, RequestFacts
from greffier.telemetry import names

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_STAGES = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0, 60.0)
_MICROSECONDS = 1e6

BREAKER_STATES: dict[str, int] = {"closed": 0, "ready": 1, "open": 2}


class Metrics:
    """All metrics of a process. Implements `boundary.ports.Observer`."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._requests = Counter(
            names.REQUESTS, "Requests by outcome.", ("surface", "use_case", "outcome", "code"), registry=registry
        )
        self._duration = Histogram(
            names.DURATION, "Whole request.", ("surface", "model"), buckets=_LATENCY, registry=registry
        )
        self._overhead = Histogram(
            names.OVERHEAD, "Time added by the gateway.", ("surface",), buckets=_STAGES, registry=registry
        )
        self._first_token = Histogram(
            names.FIRST_TOKEN, "Time to the first streamed token.", ("deployment",), buckets=_LATENCY, registry=registry
        )
        self._stage = Histogram(
            names.STAGE, "Time a stage took to rule.", ("point",), buckets=_STAGES, registry=registry
        )
        self._tokens = Counter(
            names.TOKENS, "Tokens by direction.", ("tenant", "use_case", "deployment", "direction"), registry=registry
        )
        self._cost = Counter(
            names.COST, "Cost in millionths of the currency.", ("tenant", "use_case", "deployment"), registry=registry
        )
        self._guardrails = Counter(
            names.GUARDRAILS, "Findings by type and action.", ("stage", "type", "action"), registry=registry
        )
        self._attempts = Counter(
            names.ATTEMPTS, "Calls to deployments.", ("deployment", "outcome", "code"), registry=registry
        )
        self._feedback = Counter(names.FEEDBACK, "Verdicts of users.", ("use_case", "outcome"), registry=registry)
        self._reloads = Counter(names.RELOADS, "Snapshot reloads.", ("result",), registry=registry)
        self._breaker = Gauge(
            names.BREAKER,
            "0 closed, 1 ready to probe, 2 open.",
            ("deployment",),
            multiprocess_mode="max",
            registry=registry,
        )
        self._in_flight = Gauge(
            names.IN_FLIGHT, "Requests being answered.", multiprocess_mode="livesum", registry=registry
        )
        self._append = Histogram(names.JOURNAL_APPEND, "Wait for a durable record.", buckets=_STAGES, registry=registry)
        self._sealed = Gauge(
            names.JOURNAL_SEALED, "Events under a signed checkpoint.", multiprocess_mode="max", registry=registry
        )
        self._lag = Gauge(
            names.JOURNAL_LAG, "Events not yet sealed.", multiprocess_mode="mostrecent", registry=registry
        )

    def concluded(self, facts: RequestFacts, admission: Admission | None, outcome: Outcome) -> None:
        """Count a request that is over."""
        self._requests.labels(facts.surface, facts.use_case, outcome.outcome, outcome.code).inc()
        self._duration.labels(facts.surface, facts.model).observe(outcome.latency_us / _MICROSECONDS)
        self._overhead.labels(facts.surface).observe(outcome.overhead_us / _MICROSECONDS)
        for line in (*(admission.rulings if admission else ()), *outcome.rulings):
            self._stage.labels(line.point).observe(line.us / _MICROSECONDS)
        for finding in (*(admission.guardrails if admission else ()), *outcome.guardrails):
            self._guardrails.labels(finding.stage, finding.type, finding.action).inc(finding.count)
        for attempt in outcome.attempts:
            self._attempts.labels(attempt.deployment, attempt.outcome, attempt.code).inc()
        if outcome.first_token_us:
            self._first_token.labels(outcome.deployment).observe(outcome.first_token_us / _MICROSECONDS)
        if outcome.input_tokens or outcome.output_tokens:
            owner = (outcome.tenant, facts.use_case, outcome.deployment)
            self._tokens.labels(*owner, "input").inc(outcome.input_tokens + outcome.cached_tokens)
            self._tokens.labels(*owner, "output").inc(outcome.output_tokens)
            self._cost.labels(*owner).inc(outcome.cost_micro)

    def fed_back(self, use_case: str, outcome: str) -> None:
        """Count a verdict of a user."""
        self._feedback.labels(use_case, outcome).inc()

    def reloaded(self, result: Literal["swapped", "unchanged", "refused"]) -> None:
        """Count an attempt to load a snapshot."""
        self._reloads.labels(result).inc()

    def breakers(self, states: dict[str, str]) -> None:
        """Show the state of each deployment's circuit breaker."""
        for deployment, state in states.items():
            self._breaker.labels(deployment).set(BREAKER_STATES[state])

    def in_flight(self, count: int) -> None:
        """Show how many requests are being answered."""
        self._in_flight.set(count)

    def appended(self, seconds: float) -> None:
        """Note how long a record took to become durable."""
        self._append.observe(seconds)

    def sealed(self, events: int, unsealed: int) -> None:
        """Show how far the signed log has come."""
        self._sealed.set(events)
        self._lag.set(unsealed)

    def render(self) -> bytes:
        """The metrics of all workers in Prometheus text format."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
