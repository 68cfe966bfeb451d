"""The canonical event in the Elastic Common Schema 9.4.0.

Its ``gen_ai`` fields are beta, and 9.5 renames ``gen_ai.system``. ECS has no fields for purpose, lawful basis,
risk class, guardrail findings or a conversation; they are ``labels``.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

import greffier
from greffier.audit.export import taxonomy
from greffier.audit.export.codes import Family
from greffier.audit.export.entry import Entry
from greffier.audit.export.shape import put

VERSION = "9.4.0"

FIELDS: dict[str, str] = {
    "id": "event.id",
    "seq": "event.sequence",
    "action": "event.action",
    "result": "event.outcome",
    "reason": "event.reason",
    "error": "error.code",
    "tenant": "organization.id",
    "workspace": "service.environment",
    "rule": "rule.id",
    "bundle": "rule.ruleset",
    "actor": "user.id",
    "on_behalf_of": "user.effective.id",
    "ip": "source.ip",
    "source": "source.address",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "provider": "gen_ai.system",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "prev_seq": "labels.prev_seq",
    "actor_type": "labels.actor_type",
    "authn": "labels.authn",
    "credential": "labels.credential",
    "session": "labels.session",
    "use_case": "labels.ai_system",
    "use_case_digest": "labels.ai_system_version",
    "risk_class": "labels.risk_class",
    "purpose": "labels.purpose",
    "lawful_basis": "labels.lawful_basis",
    "data_classes": "labels.data_classes",
    "deployment": "labels.deployment",
    "region": "labels.region",
    "cached_tokens": "labels.cached_tokens",
    "cost_micro": "labels.cost_micro",
    "rating": "labels.rating",
    "target": "labels.target",
    "related": "labels.related_event",
    "commits": "labels.part_commits",
}
"""Where the attributes of an entry go. Labels are keywords: their values are text."""

_CATEGORIES: dict[Family, tuple[str, str]] = {
    "request": ("api", "access"),
    "finding": ("intrusion_detection", "info"),
    "sensitive": ("intrusion_detection", "info"),
    "compliance": ("configuration", "info"),
    "incident": ("intrusion_detection", "info"),
    "act": ("configuration", "change"),
    "datastore": ("database", "access"),
    "checkpoint": ("configuration", "info"),
    "test": ("api", "info"),
}
_DECIDED = {"allow": "allowed", "deny": "denied"}
_VERBS = {
    "create": "creation",
    "revoke": "deletion",
    "purge": "deletion",
    "delete": "deletion",
    "erase": "deletion",
    "read": "access",
    "list": "access",
    "export": "access",
    "reveal": "access",
    "start": "info",
    "stop": "info",
}
_OPERATIONS = {"llm.chat": "chat", "llm.embeddings": "embeddings"}
_NS_PER_US = 1000

_ENCODER = msgspec.json.Encoder()


def to_json(entry: Entry) -> bytes:
    """One line of JSON."""
    return _ENCODER.encode(to_ecs(entry))


def to_ecs(entry: Entry) -> dict[str, Any]:
    """The event as an ECS document."""
    alert = entry.detection is not None and entry.detection.alert
    category, types = _category(entry)
    event: dict[str, Any] = {
        "@timestamp": timestamp(entry.time_ms),
        "ecs": {"version": VERSION},
        "message": entry.code.name,
        "event": {
            "kind": "alert" if alert else "event",
            "category": [category],
            "type": types,
            "code": entry.code.code,
            "severity": int(entry.code.severity),
            "module": "greffier",
            "dataset": "greffier.audit",
            "provider": "greffier",
        },
        "service": {"name": "greffier", "type": "greffier", "version": greffier.__version__},
        "observer": {"vendor": "Greffier", "product": "Greffier", "version": greffier.__version__},
    }
    for attribute, path in FIELDS.items():
        value = getattr(entry, attribute)
        put(event, path, _label(value) if path.startswith("labels.") else value)
    for name, value in entry.details:
        put(event, f"labels.detail_{name.replace('.', '_')}", value)
    if entry.latency_us:
        event["event"]["duration"] = entry.latency_us * _NS_PER_US
    if entry.action in _OPERATIONS and entry.model:
        put(event, "gen_ai.operation.name", _OPERATIONS[entry.action])
    _detection(event, entry)
    return event


def _category(entry: Entry) -> tuple[str, list[str]]:
    category, kind = _CATEGORIES[entry.family]
    if entry.family == "datastore":
        return category, ["change" if _VERBS.get(entry.action.rpartition(".")[2]) == "deletion" else kind]
    if entry.family == "act":
        noun, _, verb = entry.action.partition(".")
        kind = _VERBS.get(verb, "change")
        if noun == "key":
            return "iam", ["change" if kind == "access" else kind]
    decided = _DECIDED.get(entry.decision)
    return category, [kind, decided] if decided and category in {"api", "intrusion_detection"} else [kind]


def _detection(event: dict[str, Any], entry: Entry) -> None:
    found = entry.detection
    if found is None:
        return
    put(event, "rule.category", found.type)
    put(event, "labels.detector", found.detector)
    put(event, "labels.finding_stage", found.stage)
    put(event, "labels.finding_action", found.action)
    put(event, "labels.finding_count", str(found.count))
    put(event, "labels.finding_score_ppm", str(found.score_ppm))
    put(event, "labels.owasp_llm", found.owasp)
    put(event, "labels.data_class", found.data_class)
    if found.atlas:
        parents = [".".join(technique.split(".")[:2]) for technique in found.atlas]
        put(event, "threat.framework", f"MITRE ATLAS {taxonomy.ATLAS_VERSION}")
        put(event, "threat.technique.id", parents)
        put(event, "threat.technique.name", [taxonomy.ATLAS[parent] for parent in parents])
        put(event, "threat.technique.reference", [taxonomy.ATLAS_URL + parent for parent in parents])
        subs = [technique for technique, parent in zip(found.atlas, parents, strict=True) if technique != parent]
        put(event, "threat.technique.subtechnique.id", subs)


def _label(value: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return str(value)


def timestamp(time_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    whole, rest = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
