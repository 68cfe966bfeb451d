"""Every telemetry name in one place: OpenTelemetry GenAI conventions v0.1.0, our own under ``greffier.``.

Source: open-telemetry/semantic-conventions-genai v0.1.0 (all GenAI names are in status Development, so they are pinned
here and nowhere else).
"""

# spans and attributes
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
PROMPT_NAME = "gen_ai.prompt.name"
ERROR_TYPE = "error.type"

TENANT = "greffier.tenant"
USE_CASE = "greffier.use_case.id"
PURPOSE = "greffier.purpose"
LAWFUL_BASIS = "greffier.lawful_basis"
RISK_CLASS = "greffier.risk_class"
BUNDLE = "greffier.policy.bundle_digest"
DECISION = "greffier.policy.decision"
RULE = "greffier.policy.rule_id"
DEPLOYMENT = "greffier.deployment"
REQUEST_ID = "greffier.request_id"

# Prometheus metrics
REQUESTS = "greffier_requests"
DURATION = "greffier_request_duration_seconds"
OVERHEAD = "greffier_overhead_seconds"
FIRST_TOKEN = "greffier_time_to_first_token_seconds"  # noqa: S105 - a metric name
STAGE = "greffier_stage_duration_seconds"
TOKENS = "greffier_tokens"
COST = "greffier_cost_micro"
GUARDRAILS = "greffier_guardrail_findings"
ATTEMPTS = "greffier_upstream_attempts"
IN_FLIGHT = "greffier_requests_in_flight"
BREAKER = "greffier_breaker_state"
JOURNAL_APPEND = "greffier_journal_append_seconds"
JOURNAL_SEALED = "greffier_journal_sealed_events"
JOURNAL_LAG = "greffier_journal_unsealed_events"
SNAPSHOT = "greffier_snapshot_info"
RELOADS = "greffier_snapshot_reloads"
FEEDBACK = "greffier_feedback"
SINK_LAG = "greffier_sink_lag_events"
SINK_DELIVERED = "greffier_sink_delivered"
SINK_REJECTED = "greffier_sink_rejected"
SINK_FAILING = "greffier_sink_failing"
