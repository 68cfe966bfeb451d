"""The policy-enforcement points of the request path."""

from enum import StrEnum

from greffier.core.errors import Code


class Point(StrEnum):
    """Where a ruling is made. The names stand in records and are the names of the trace spans."""

    IN_FORCE = "config:in_force"
    AUTHENTICATE = "identity:authenticate"
    DECODE = "gateway:decode"
    AUTHORIZE = "policy:authorize"
    RESERVE = "limits:reserve"
    SCREEN_INPUT = "guardrails:screen_input"
    PERMIT_DATA = "policy:permit_data"
    GROUND = "guardrails:ground"
    CHOOSE = "router:choose"
    CALL = "llm:call"
    SCREEN_OUTPUT = "guardrails:screen_output"


UNAVAILABLE: dict[Point, Code] = {
    Point.AUTHENTICATE: Code.IDENTITY_UNAVAILABLE,
    Point.RESERVE: Code.LIMITS_UNAVAILABLE,
    Point.SCREEN_INPUT: Code.GUARDRAIL_UNAVAILABLE,
    Point.SCREEN_OUTPUT: Code.GUARDRAIL_UNAVAILABLE,
}
"""The code of the refusal when a stage raises instead of ruling; every other point answers ``internal_error``."""
