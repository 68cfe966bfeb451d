"""The catalogue of refusals: every stable code a caller or operator can meet.

A code says *what* happened and never changes its meaning. The HTTP status, the OpenAI and Anthropic error types and
whether a client may retry follow from it, so that no surface can render the same refusal in two ways. The reference
page ``docs/reference/errors.md`` is generated from this table.
"""

from enum import StrEnum

import msgspec


class Code(StrEnum):
    """A stable error code, as it stands in ``error.code`` of an answer and in the record."""

    # gateway
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    REQUEST_TOO_LARGE = "request_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    DRAINING = "draining"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"
    CANCELLED = "cancelled"
    # identity
    MISSING_CREDENTIALS = "missing_credentials"
    INVALID_API_KEY = "invalid_api_key"
    EXPIRED_API_KEY = "expired_api_key"
    REVOKED_API_KEY = "revoked_api_key"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - the code of RFC 6750, not a secret
    TOKEN_NOT_MAPPED = "token_not_mapped"  # noqa: S105 - a code, not a secret
    INSUFFICIENT_SCOPE = "insufficient_scope"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    # policy
    USE_CASE_UNKNOWN = "use_case_unknown"
    USE_CASE_NOT_APPROVED = "use_case_not_approved"
    TENANT_MISMATCH = "tenant_mismatch"
    PURPOSE_MISMATCH = "purpose_mismatch"
    LAWFUL_BASIS_MISSING = "lawful_basis_missing"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    REGION_DENIED = "region_denied"
    DATA_CLASS_DENIED = "data_class_denied"
    MODALITY_DENIED = "modality_denied"
    POLICY_DENIED = "policy_denied"
    APPROVAL_REQUIRED = "approval_required"
    PROCESSING_OBJECTED = "processing_objected"
    PROCESSING_RESTRICTED = "processing_restricted"
    CONSENT_MISSING = "consent_missing"
    PRIVACY_UNAVAILABLE = "privacy_unavailable"
    # limits
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    TOKEN_LIMIT_EXCEEDED = "token_limit_exceeded"  # noqa: S105 - a code, not a secret
    CONCURRENCY_LIMIT_EXCEEDED = "concurrency_limit_exceeded"
    BUDGET_EXCEEDED = "budget_exceeded"
    PRICE_UNKNOWN = "price_unknown"
    LIMITS_UNAVAILABLE = "limits_unavailable"
    # guardrails
    GUARDRAIL_BLOCKED = "guardrail_blocked"
    OUTPUT_BLOCKED = "output_blocked"
    OUTPUT_INVALID = "output_invalid"
    ESCALATED = "escalated"
    GUARDRAIL_UNAVAILABLE = "guardrail_unavailable"
    # router and model
    NO_PERMITTED_DEPLOYMENT = "no_permitted_deployment"
    NO_HEALTHY_DEPLOYMENT = "no_healthy_deployment"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_AUTHENTICATION = "upstream_authentication"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_MALFORMED = "upstream_malformed"
    UPSTREAM_TRUNCATED = "upstream_truncated"
    UPSTREAM_TOO_LARGE = "upstream_too_large"
    # evidence and configuration
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    SNAPSHOT_EXPIRED = "snapshot_expired"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    RECORD_NOT_FOUND = "record_not_found"


class Refusal(msgspec.Struct, frozen=True):
    """What follows from a code.

    Attributes:
        status: HTTP status of the answer.
        openai_type: ``error.type`` on OpenAI-shaped surfaces.
        anthropic_type: ``error.type`` on the Anthropic surface.
        retry: Whether the same request may succeed later; ``False`` sends ``x-should-retry: false``.
        remedy: What the caller or operator can do, used where the ruling gives no better one.
    """

    status: int
    openai_type: str
    anthropic_type: str
    retry: bool
    remedy: str


def _refusal(status: int, remedy: str, *, retry: bool = False) -> Refusal:
    openai_type, anthropic_type = _TYPES.get(status, _TYPES[500] if status >= _SERVER_ERRORS else _TYPES[400])
    return Refusal(status, openai_type, anthropic_type, retry, remedy)


_SERVER_ERRORS = 500
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    403: ("permission_error", "permission_error"),
    404: ("invalid_request_error", "not_found_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("server_error", "api_error"),
    503: ("server_error", "overloaded_error"),
}

REFUSALS: dict[Code, Refusal] = {
    Code.INVALID_JSON: _refusal(400, "Send a body that is valid JSON, encoded as UTF-8."),
    Code.INVALID_REQUEST: _refusal(400, "Correct the field that the message names."),
    Code.UNSUPPORTED_PARAMETER: _refusal(400, "Remove the parameter, or ask the operator to allow it for the model."),
    Code.UNSUPPORTED_MEDIA_TYPE: _refusal(415, "Send the body as application/json."),
    Code.REQUEST_TOO_LARGE: _refusal(413, "Send a smaller body; the limit is server.max_body_bytes."),
    Code.REQUEST_TIMEOUT: _refusal(408, "Send the whole body without long pauses.", retry=True),
    Code.ROUTE_NOT_FOUND: _refusal(404, "Check the path against /openapi.json."),
    Code.METHOD_NOT_ALLOWED: _refusal(405, "Use the method named in the Allow header."),
    Code.DRAINING: _refusal(503, "The worker is shutting down; send the request again.", retry=True),
    Code.OVERLOADED: _refusal(503, "The gateway is at capacity; slow down and try again.", retry=True),
    Code.INTERNAL_ERROR: _refusal(500, "Tell the operator the request id."),
    Code.CANCELLED: _refusal(499, "The caller closed the connection."),
    Code.MISSING_CREDENTIALS: _refusal(401, "Send 'Authorization: Bearer KEY' or 'x-api-key: KEY'."),
    Code.INVALID_API_KEY: _refusal(401, "Check the key; create one with 'greffier keys create'."),
    Code.EXPIRED_API_KEY: _refusal(401, "Ask the operator for a new key: 'greffier keys rotate'."),
    Code.REVOKED_API_KEY: _refusal(401, "The key was withdrawn; ask the operator for a new one."),
    Code.INVALID_TOKEN: _refusal(401, "Obtain a fresh access token for this gateway's audience."),
    Code.TOKEN_NOT_MAPPED: _refusal(403, "Ask the operator to map the token's client to a use case."),
    Code.INSUFFICIENT_SCOPE: _refusal(403, "Request the access token with the scopes this gateway requires."),
    Code.IDENTITY_UNAVAILABLE: _refusal(503, "The identity provider's keys cannot be read; try again.", retry=True),
    Code.USE_CASE_UNKNOWN: _refusal(403, "Register the use case in the workspace and deploy it."),
    Code.USE_CASE_NOT_APPROVED: _refusal(403, "Have the use case approved; only approved use cases are served."),
    Code.TENANT_MISMATCH: _refusal(403, "Use a credential of the tenant that owns the use case."),
    Code.PURPOSE_MISMATCH: _refusal(403, "Use a credential issued for this purpose."),
    Code.LAWFUL_BASIS_MISSING: _refusal(
        403, "State a lawful basis (GDPR Art. 6, and 9 where needed) for the use case."
    ),
    Code.MODEL_NOT_FOUND: _refusal(404, "Ask for one of the models that GET /v1/models lists."),
    Code.MODEL_NOT_ALLOWED: _refusal(403, "Ask for one of the models that GET /v1/models lists."),
    Code.REGION_DENIED: _refusal(403, "Use a model deployed in a region the use case allows."),
    Code.DATA_CLASS_DENIED: _refusal(403, "Remove the data, or have the use case approved for its class."),
    Code.MODALITY_DENIED: _refusal(403, "Send text only, or have the use case approved for this kind of content."),
    Code.POLICY_DENIED: _refusal(403, "Ask the owner of the rule named in the message."),
    Code.APPROVAL_REQUIRED: _refusal(403, "Have the action approved, then repeat it."),
    Code.PROCESSING_OBJECTED: _refusal(403, "The person objected (GDPR Art. 21); leave their data out."),
    Code.PROCESSING_RESTRICTED: _refusal(403, "Processing for the person is restricted (GDPR Art. 18); wait."),
    Code.CONSENT_MISSING: _refusal(403, "Obtain the person's consent and have it entered, or name the end user."),
    Code.PRIVACY_UNAVAILABLE: _refusal(
        503, "Consents and objections cannot be read; try again, and tell the operator if it lasts.", retry=True
    ),
    Code.RATE_LIMIT_EXCEEDED: _refusal(429, "Wait as long as retry-after says.", retry=True),
    Code.TOKEN_LIMIT_EXCEEDED: _refusal(429, "Wait as long as retry-after says, or send less text.", retry=True),
    Code.CONCURRENCY_LIMIT_EXCEEDED: _refusal(429, "Wait for a running request to finish.", retry=True),
    Code.BUDGET_EXCEEDED: _refusal(429, "Wait for the next budget period, or ask the operator to raise it."),
    Code.PRICE_UNKNOWN: _refusal(403, "Ask the operator to state the model's price, or a ceiling for it."),
    Code.LIMITS_UNAVAILABLE: _refusal(
        503, "Try again; if it lasts, tell the operator that the shared limits store is out of reach.", retry=True
    ),
    Code.GUARDRAIL_BLOCKED: _refusal(400, "Rephrase the request without the content that the rule forbids."),
    Code.OUTPUT_BLOCKED: _refusal(400, "Rephrase the request so that its answer needs nothing that the rule forbids."),
    Code.OUTPUT_INVALID: _refusal(502, "The model's answer did not match the requested schema; try again.", retry=True),
    Code.ESCALATED: _refusal(403, "A reviewer must decide; ask the owner of the use case."),
    Code.GUARDRAIL_UNAVAILABLE: _refusal(
        503, "Try again; if it lasts, tell the operator which guardrail could not be evaluated.", retry=True
    ),
    Code.NO_PERMITTED_DEPLOYMENT: _refusal(403, "No deployment of the model may process this data; remove the data."),
    Code.NO_HEALTHY_DEPLOYMENT: _refusal(
        503, "Try again in a moment; all permitted deployments are failing.", retry=True
    ),
    Code.CONTEXT_LENGTH_EXCEEDED: _refusal(400, "Shorten the messages or lower max_tokens."),
    Code.UPSTREAM_REJECTED: _refusal(400, "Correct the request as the message says."),
    Code.UPSTREAM_AUTHENTICATION: _refusal(502, "The operator must correct the deployment's secret."),
    Code.UPSTREAM_RATE_LIMITED: _refusal(429, "Wait a moment and try again.", retry=True),
    Code.UPSTREAM_UNAVAILABLE: _refusal(502, "Try again; if it lasts, tell the operator.", retry=True),
    Code.UPSTREAM_TIMEOUT: _refusal(504, "Try again, or ask for a shorter answer.", retry=True),
    Code.UPSTREAM_MALFORMED: _refusal(502, "Tell the operator the request id."),
    Code.UPSTREAM_TRUNCATED: _refusal(502, "Try again; what was received so far is incomplete.", retry=True),
    Code.UPSTREAM_TOO_LARGE: _refusal(502, "Ask for a shorter answer; the limit is the deployment's max_answer_bytes."),
    Code.JOURNAL_UNAVAILABLE: _refusal(
        503, "Evidence cannot be written, so nothing is answered; try again.", retry=True
    ),
    Code.SNAPSHOT_EXPIRED: _refusal(
        503, "The operator must put a signed, valid configuration in force; see 'greffier doctor'.", retry=True
    ),
    Code.CLOCK_UNSYNCHRONISED: _refusal(
        503, "The operator must synchronise the machine's clock (NTP); see 'greffier doctor'.", retry=True
    ),
    Code.RECORD_NOT_FOUND: _refusal(404, "Check the request id; it is in the x-request-id header of the answer."),
}


class GreffierError(Exception):
    """An error with a stable code, the reason and the remedy.

    Raised by adapters and by code outside the request path; stages return `Deny` instead.
    """

    def __init__(self, code: Code, reason: str, remedy: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.remedy = remedy or REFUSALS[code].remedy
        self.retry_after_s = retry_after_s
