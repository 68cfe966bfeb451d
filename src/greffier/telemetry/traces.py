"""OpenTelemetry traces, made after the fact from the record of a request: the hot path pays only when one is kept.

Content never enters a span: there is none in the facts they are made from.
"""

import random

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

import greffier
from greffier.core.events import Admission, Outcome, RequestFacts, RulingLine
from greffier.telemetry import names

_NS_PER_US = 1000
_NS_PER_MS = 1_000_000
_PERCENT = 100
_OPERATIONS = {"chat_completions": "chat", "messages": "chat", "responses": "chat", "completions": "text_completion"}


class Traces:
    """Builds and exports spans. Implements `boundary.ports.Observer`."""

    def __init__(self, exporter: SpanExporter, sample_percent: int) -> None:
        resource = Resource.create({"service.name": "greffier", "service.version": greffier.__version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("greffier", greffier.__version__)
        self._share = sample_percent / _PERCENT

    @classmethod
    def to_collector(cls, endpoint: str, sample_percent: int) -> "Traces":
        """Export over OTLP/HTTP to ``endpoint`` (the collector's base URL)."""
        return cls(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"), sample_percent)

    def concluded(self, facts: RequestFacts, admission: Admission | None, outcome: Outcome) -> None:
        """Export the request's spans, if it is in the sample."""
        if random.random() >= self._share:  # noqa: S311 - sampling, not cryptography
            return
        end = outcome.ts * _NS_PER_MS
        start = end - outcome.latency_us * _NS_PER_US
        operation = _OPERATIONS.get(facts.surface, facts.surface)
        span = self._tracer.start_span(
            f"{operation} {facts.model}".strip(), _parent(facts), SpanKind.SERVER, start_time=start
        )
        span.set_attributes(_attributes(operation, facts, outcome))
        if outcome.outcome != "answered":
            span.set_status(Status(StatusCode.ERROR, outcome.code))
        self._stages(span, start, (*(admission.rulings if admission else ()), *outcome.rulings))
        span.end(end)

    def _stages(self, parent: trace.Span, start: int, rulings: tuple[RulingLine, ...]) -> None:
        context = trace.set_span_in_context(parent)
        for line in rulings:
            stage = self._tracer.start_span(line.point, context, start_time=start)
            stage.set_attributes({names.DECISION: line.verdict, names.RULE: line.rule})
            if line.code:
                stage.set_attribute(names.ERROR_TYPE, line.code)
            start += line.us * _NS_PER_US
            stage.end(start)

    def close(self) -> None:
        """Flush what is queued."""
        self._provider.shutdown()


def _parent(facts: RequestFacts) -> Context | None:
    """Continue the caller's trace, if it sent one (W3C Trace Context)."""
    if not facts.trace_id:
        return None
    remote = SpanContext(int(facts.trace_id, 16), random.getrandbits(63) + 1, is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(NonRecordingSpan(remote))


def _attributes(
    operation: str, facts: RequestFacts, outcome: Outcome
) -> dict[str, str | int | float | bool | list[str]]:
    attributes: dict[str, str | int | float | bool | list[str]] = {
        names.OPERATION_NAME: operation,
        names.PROVIDER_NAME: facts.provider,
        names.REQUEST_MODEL: facts.model,
        names.REQUEST_STREAM: facts.stream,
        names.RESPONSE_MODEL: outcome.response_model,
        names.INPUT_TOKENS: outcome.input_tokens + outcome.cached_tokens,
        names.OUTPUT_TOKENS: outcome.output_tokens,
        names.CACHE_READ_TOKENS: outcome.cached_tokens,
        names.PROMPT_NAME: facts.prompt,
        names.TENANT: outcome.tenant,
        names.USE_CASE: facts.use_case,
        names.PURPOSE: facts.purpose,
        names.LAWFUL_BASIS: facts.lawful_basis,
        names.RISK_CLASS: facts.risk_class or "",
        names.BUNDLE: facts.bundle,
        names.DECISION: outcome.outcome,
        names.DEPLOYMENT: outcome.deployment,
        names.REQUEST_ID: outcome.request_id,
    }
    if outcome.finish_reason:
        attributes[names.RESPONSE_FINISH_REASONS] = [outcome.finish_reason]
    if outcome.first_token_us:
        attributes[names.TIME_TO_FIRST_CHUNK] = outcome.first_token_us / 1e6
    if outcome.code:
        attributes[names.ERROR_TYPE] = outcome.code
        attributes[names.RULE] = outcome.rule
    return {name: value for name, value in attributes.items() if value != ""}
