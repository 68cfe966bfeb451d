"""Stable event codes, as they stand in rules of a SIEM: a code never changes its meaning and is never used again.

The first digit tells the family: 2 requests that went well, 3 acts of people and of the platform, 4 refusals, 5
failures, 6 detections, 9 tests. ``docs/reference/siem.md`` is generated from this table.
"""

from enum import IntEnum
from typing import Literal

import msgspec

from greffier.core.errors import Code

Family = Literal["request", "act", "datastore", "finding", "sensitive", "compliance", "incident", "checkpoint", "test"]


class Severity(IntEnum):
    """OCSF ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class EventCode(msgspec.Struct, frozen=True):
    """What a code means.

    Attributes:
        code: ``GW-`` and four digits.
        name: A few words, the same for each event of the code.
        severity: How much it should worry an analyst.
        family: Which kind of event it is; decides the OCSF class and the ECS category.
    """

    code: str
    name: str
    severity: Severity
    family: Family


_INFO, _LOW, _MEDIUM, _HIGH, _CRITICAL = Severity


def _table(*rows: tuple[str, str, Severity, Family]) -> dict[str, EventCode]:
    return {f"GW-{code}": EventCode(f"GW-{code}", name, severity, family) for code, name, severity, family in rows}


CODES: dict[str, EventCode] = _table(
    ("2000", "request admitted", _INFO, "request"),
    ("2001", "request answered", _INFO, "request"),
    ("2002", "request abandoned by its caller", _INFO, "request"),
    ("2003", "feedback on an answer", _INFO, "request"),
    ("3000", "act on record", _INFO, "act"),
    ("3001", "platform started", _LOW, "act"),
    ("3002", "platform stopped", _LOW, "act"),
    ("3003", "worker died and was replaced", _MEDIUM, "act"),
    ("3004", "evidence could not be written for a time", _HIGH, "act"),
    ("3005", "machine's clock lost or regained its synchronisation", _MEDIUM, "act"),
    ("3010", "key created", _LOW, "act"),
    ("3011", "key rotated", _LOW, "act"),
    ("3012", "key revoked", _LOW, "act"),
    ("3020", "configuration released", _LOW, "act"),
    ("3021", "configuration in force", _LOW, "act"),
    ("3022", "signer of configurations trusted", _MEDIUM, "act"),
    ("3025", "operators of the command line changed", _MEDIUM, "act"),
    ("3030", "evidence read", _LOW, "act"),
    ("3031", "evidence exported", _MEDIUM, "act"),
    ("3032", "content revealed", _MEDIUM, "datastore"),
    ("3033", "log verified", _INFO, "compliance"),
    ("3034", "log does not verify", _CRITICAL, "compliance"),
    ("3035", "reveal of content asked for or approved", _MEDIUM, "act"),
    ("3036", "content exported", _MEDIUM, "datastore"),
    ("3037", "content searched", _MEDIUM, "datastore"),
    ("3040", "content deleted", _LOW, "datastore"),
    ("3050", "incident on record", _HIGH, "incident"),
    ("3060", "data-subject request handled", _LOW, "act"),
    ("3061", "data subject erased", _MEDIUM, "datastore"),
    ("3065", "recipient told of a data subject's right", _LOW, "act"),
    ("3062", "consent, objection or restriction entered", _LOW, "act"),
    ("3063", "evidence hold", _LOW, "act"),
    ("3064", "reviewed by a person", _LOW, "act"),
    ("3070", "backup restored", _HIGH, "act"),
    ("3071", "database administered", _LOW, "act"),
    ("3072", "compliance document built", _INFO, "act"),
    ("3073", "sink tested", _INFO, "act"),
    ("3075", "document does not describe what runs", _MEDIUM, "compliance"),
    ("3074", "log copied under a retention lock", _INFO, "act"),
    ("3090", "checkpoint of the log", _INFO, "checkpoint"),
    ("4000", "malformed request refused", _LOW, "request"),
    ("4010", "caller not recognised", _MEDIUM, "request"),
    ("4011", "withdrawn key used", _HIGH, "request"),
    ("4030", "request denied by policy", _LOW, "request"),
    ("4031", "purpose denied", _MEDIUM, "request"),
    ("4032", "request for another tenant denied", _HIGH, "request"),
    ("4033", "data or region denied", _LOW, "request"),
    ("4034", "consent, objection or restriction stands against it", _LOW, "request"),
    ("4040", "unknown thing asked for", _LOW, "request"),
    ("4100", "request blocked by a guardrail", _MEDIUM, "request"),
    ("4101", "answer blocked by a guardrail", _MEDIUM, "request"),
    ("4102", "request escalated to a person", _LOW, "request"),
    ("4290", "limit reached", _LOW, "request"),
    ("4291", "budget used up", _MEDIUM, "request"),
    ("5000", "request failed", _MEDIUM, "request"),
    ("5001", "a part of the platform is out of reach", _HIGH, "request"),
    ("5002", "model server failed", _MEDIUM, "request"),
    ("5003", "evidence cannot be written", _CRITICAL, "request"),
    ("5900", "record unreadable", _CRITICAL, "compliance"),
    ("5901", "records missing", _CRITICAL, "compliance"),
    ("6000", "prompt injection", _HIGH, "finding"),
    ("6001", "indirect prompt injection", _HIGH, "finding"),
    ("6002", "jailbreak attempt", _HIGH, "finding"),
    ("6003", "hidden context in an answer", _HIGH, "finding"),
    ("6004", "data exfiltration attempt", _HIGH, "finding"),
    ("6005", "obfuscated text", _LOW, "finding"),
    ("6006", "harmful or disallowed content", _MEDIUM, "finding"),
    ("6007", "topic of a rule", _LOW, "finding"),
    ("6008", "link to where the screen does not allow", _MEDIUM, "finding"),
    ("6009", "tool argument that only untrusted text named", _HIGH, "finding"),
    ("6010", "signs of an attack over a conversation", _HIGH, "finding"),
    ("6011", "signature of a pack", _HIGH, "finding"),
    ("6012", "claim without a source in the conversation", _LOW, "finding"),
    ("6013", "text not in the form asked for", _LOW, "finding"),
    ("6098", "detector out of reach", _HIGH, "finding"),
    ("6099", "guardrail finding", _MEDIUM, "finding"),
    ("6100", "personal data", _LOW, "sensitive"),
    ("6101", "special category of personal data", _MEDIUM, "sensitive"),
    ("6102", "payment card data", _MEDIUM, "sensitive"),
    ("6103", "credential or secret", _HIGH, "sensitive"),
    ("9000", "test event", _INFO, "test"),
)
"""Every code, in order."""

_C = Code
REFUSED: dict[Code, str] = {
    **dict.fromkeys(
        (
            _C.INVALID_JSON,
            _C.INVALID_REQUEST,
            _C.UNSUPPORTED_PARAMETER,
            _C.UNSUPPORTED_MEDIA_TYPE,
            _C.REQUEST_TOO_LARGE,
            _C.REQUEST_TIMEOUT,
            _C.METHOD_NOT_ALLOWED,
            _C.CONTEXT_LENGTH_EXCEEDED,
        ),
        "GW-4000",
    ),
    **dict.fromkeys(
        (
            _C.MISSING_CREDENTIALS,
            _C.INVALID_API_KEY,
            _C.EXPIRED_API_KEY,
            _C.INVALID_TOKEN,
            _C.TOKEN_NOT_MAPPED,
            _C.INSUFFICIENT_SCOPE,
        ),
        "GW-4010",
    ),
    _C.REVOKED_API_KEY: "GW-4011",
    **dict.fromkeys(
        (
            _C.USE_CASE_UNKNOWN,
            _C.USE_CASE_NOT_APPROVED,
            _C.LAWFUL_BASIS_MISSING,
            _C.MODEL_NOT_ALLOWED,
            _C.MODALITY_DENIED,
            _C.POLICY_DENIED,
            _C.APPROVAL_REQUIRED,
            _C.PRICE_UNKNOWN,
        ),
        "GW-4030",
    ),
    _C.PURPOSE_MISMATCH: "GW-4031",
    _C.TENANT_MISMATCH: "GW-4032",
    **dict.fromkeys((_C.REGION_DENIED, _C.DATA_CLASS_DENIED, _C.NO_PERMITTED_DEPLOYMENT), "GW-4033"),
    **dict.fromkeys((_C.CONSENT_MISSING, _C.PROCESSING_OBJECTED, _C.PROCESSING_RESTRICTED), "GW-4034"),
    **dict.fromkeys((_C.ROUTE_NOT_FOUND, _C.MODEL_NOT_FOUND, _C.RECORD_NOT_FOUND), "GW-4040"),
    _C.GUARDRAIL_BLOCKED: "GW-4100",
    **dict.fromkeys((_C.OUTPUT_BLOCKED, _C.OUTPUT_INVALID), "GW-4101"),
    _C.ESCALATED: "GW-4102",
    **dict.fromkeys((_C.RATE_LIMIT_EXCEEDED, _C.TOKEN_LIMIT_EXCEEDED, _C.CONCURRENCY_LIMIT_EXCEEDED), "GW-4290"),
    _C.BUDGET_EXCEEDED: "GW-4291",
    **dict.fromkeys((_C.DRAINING, _C.OVERLOADED, _C.INTERNAL_ERROR), "GW-5000"),
    **dict.fromkeys(
        (
            _C.IDENTITY_UNAVAILABLE,
            _C.LIMITS_UNAVAILABLE,
            _C.PRIVACY_UNAVAILABLE,
            _C.GUARDRAIL_UNAVAILABLE,
            _C.NO_HEALTHY_DEPLOYMENT,
            _C.SNAPSHOT_EXPIRED,
            _C.CLOCK_UNSYNCHRONISED,
        ),
        "GW-5001",
    ),
    **dict.fromkeys(
        (
            _C.UPSTREAM_REJECTED,
            _C.UPSTREAM_AUTHENTICATION,
            _C.UPSTREAM_RATE_LIMITED,
            _C.UPSTREAM_UNAVAILABLE,
            _C.UPSTREAM_TIMEOUT,
            _C.UPSTREAM_MALFORMED,
            _C.UPSTREAM_TRUNCATED,
            _C.UPSTREAM_TOO_LARGE,
        ),
        "GW-5002",
    ),
    _C.JOURNAL_UNAVAILABLE: "GW-5003",
    _C.CANCELLED: "GW-2002",
}
"""The event code of a request that ended in an error code."""

ACTS: dict[str, str] = {
    "platform.start": "GW-3001",
    "platform.stop": "GW-3002",
    "worker.restart": "GW-3003",
    "journal.outage": "GW-3004",
    "clock.change": "GW-3005",
    "key.create": "GW-3010",
    "key.rotate": "GW-3011",
    "key.revoke": "GW-3012",
    "release.activate": "GW-3020",
    "snapshot.activate": "GW-3021",
    "signer.trust": "GW-3022",
    "operator.trust": "GW-3025",
    "operator.remove": "GW-3025",
    "audit.read": "GW-3030",
    "audit.list": "GW-3030",
    "audit.export": "GW-3031",
    "audit.reveal": "GW-3032",
    "content.reveal": "GW-3032",
    "audit.verify": "GW-3033",
    "audit.copy": "GW-3074",
    "content.export": "GW-3036",
    "content.search": "GW-3037",
    "content.purge": "GW-3040",
    "config.forget": "GW-3020",
    "privacy.read": "GW-3030",
    "review.read": "GW-3030",
    "incident.read": "GW-3030",
    "incident.list": "GW-3030",
    "dsr.erase": "GW-3061",
    "dsr.told": "GW-3065",
    "db.restore": "GW-3070",
}
"""The event code of an act."""

NOUNS: dict[str, str] = {
    "breach": "GW-3050",
    "consent": "GW-3062",
    "database": "GW-3071",
    "db": "GW-3071",
    "document": "GW-3072",
    "dsr": "GW-3060",
    "hold": "GW-3063",
    "incident": "GW-3050",
    "objection": "GW-3062",
    "restore": "GW-3070",
    "restriction": "GW-3062",
    "reveal": "GW-3035",
    "review": "GW-3064",
    "sink": "GW-3073",
}
"""The event code of the other acts on a thing; acts on what is in neither table are GW-3000."""

OTHER_CODE = "GW-5000"
"""For an error code that a newer version may know and this one does not."""
