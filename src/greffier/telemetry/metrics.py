"""Prometheus metrics, derived from the same facts as the evidence. Labels are bounded; none names a person.

Workers share one set of metrics (`greffier.telemetry.sharing`), so that any worker can answer a scrape for all.
"""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from greffier.core.events import Admission, GuardrailLine, Outcome, RequestFacts, RulingLine
from greffier.telemetry import names
from greffier.telemetry.packs import PackMetrics
from greffier.telemetry.tallies import CounterTally, HistogramTally

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_STAGES = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0, 60.0)
_MICROSECONDS = 1e6

BREAKER_STATES: dict[str, int] = {"closed": 0, "ready": 1, "open": 2}


class Metrics:
    """All metrics of a process. Implements `boundary.ports.Observer`."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._tallies: list[CounterTally | HistogramTally] = []

        def counter(name: str, title: str, labels: tuple[str, ...]) -> CounterTally:
            tally = CounterTally(Counter(name, title, labels, registry=registry))
            self._tallies.append(tally)
            return tally

        def histogram(name: str, title: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> HistogramTally:
            tally = HistogramTally(Histogram(name, title, labels, buckets=bounds, registry=registry), bounds)
            self._tallies.append(tally)
            return tally

        self._requests = counter(names.REQUESTS, "Requests by outcome.", ("surface", "use_case", "outcome", "code"))
        self._duration = histogram(names.DURATION, "Whole request.", ("surface", "model"), _LATENCY)
        self._overhead = histogram(names.OVERHEAD, "Time added by the gateway.", ("surface",), _STAGES)
        self._first_token = histogram(names.FIRST_TOKEN, "Time to the first streamed token.", ("deployment",), _LATENCY)
        self._stage = histogram(names.STAGE, "Time a stage took to rule.", ("point",), _STAGES)
        self._tokens = counter(names.TOKENS, "Tokens by direction.", ("tenant", "use_case", "deployment", "direction"))
        self._cost = counter(names.COST, "Cost in millionths of the currency.", ("tenant", "use_case", "deployment"))
        self._guardrails = counter(names.GUARDRAILS, "Findings by type and action.", ("stage", "type", "action"))
        self._attempts = counter(names.ATTEMPTS, "Calls to deployments.", ("deployment", "outcome", "code"))
        self._append = histogram(names.JOURNAL_APPEND, "Wait for a durable record.", (), _STAGES)
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
        self._sealed = Gauge(
            names.JOURNAL_SEALED, "Events under a signed checkpoint.", multiprocess_mode="max", registry=registry
        )
        self._out = Gauge(
            names.JOURNAL_OUT,
            "Workers whose journal cannot be written, or has not been told everything yet.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._spooled = Gauge(
            names.JOURNAL_SPOOLED,
            "Events that wait on this machine's disk for the journal.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._spool_bytes = Gauge(
            names.JOURNAL_SPOOL_BYTES, "What they take.", multiprocess_mode="livesum", registry=registry
        )
        self._packs = PackMetrics(registry)
        self._lag = Gauge(
            names.JOURNAL_LAG, "Events not yet sealed.", multiprocess_mode="mostrecent", registry=registry
        )

    def concluded(self, facts: RequestFacts, admission: Admission | None, outcome: Outcome) -> None:
        """Count a request that is over."""
        surface, use_case = facts.surface, facts.use_case
        self._requests.add((surface, use_case, outcome.outcome, outcome.code))
        self._duration.add((surface, facts.model), outcome.latency_us / _MICROSECONDS)
        self._overhead.add((surface,), outcome.overhead_us / _MICROSECONDS)
        self._measured(outcome.rulings, outcome.guardrails)
        if admission is not None:
            self._measured(admission.rulings, admission.guardrails)
        for attempt in outcome.attempts:
            self._attempts.add((attempt.deployment, attempt.outcome, attempt.code))
        if outcome.first_token_us:
            self._first_token.add((outcome.deployment,), outcome.first_token_us / _MICROSECONDS)
        if outcome.input_tokens or outcome.output_tokens:
            tenant, deployment = outcome.tenant, outcome.deployment
            self._tokens.add((tenant, use_case, deployment, "input"), outcome.input_tokens + outcome.cached_tokens)
            self._tokens.add((tenant, use_case, deployment, "output"), outcome.output_tokens)
            self._cost.add((tenant, use_case, deployment), outcome.cost_micro)

    def _measured(self, rulings: tuple[RulingLine, ...], findings: tuple[GuardrailLine, ...]) -> None:
        for line in rulings:
            self._stage.add((line.point,), line.us / _MICROSECONDS)
        for finding in findings:
            self._guardrails.add((finding.stage, finding.type, finding.action), finding.count)

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
        self._append.add((), seconds)

    def sealed(self, events: int, unsealed: int) -> None:
        """Show how far the signed log has come."""
        self._sealed.set(events)
        self._lag.set(unsealed)

    def journal(self, *, out_of_reach: bool, spooled: int, spooled_bytes: int) -> None:
        """Show how this worker's journal is doing."""
        self._out.set(int(out_of_reach))
        self._spooled.set(spooled)
        self._spool_bytes.set(spooled_bytes)

    def packs(self, ends: Mapping[str, float]) -> None:
        """Show from when newer signature packs are due (Unix time, seconds)."""
        self._packs.show(ends)

    def flush(self) -> None:
        """Hand over what was gathered; call about once a second, so that every worker can answer a scrape for all."""
        for tally in self._tallies:
            tally.flush()

    def render(self) -> bytes:
        """The metrics of all workers in Prometheus text format; those of the others are up to a second old."""
        self.flush()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
