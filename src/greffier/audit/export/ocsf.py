"""The canonical event in OCSF 1.8.0 (schema.ocsf.io, released 2026-03-16).

Requests are API Activity (6003) with the profile ``ai_operation``, detections are Detection Findings (2004), hits of
sensitive data are Data Security Findings (2006), a log that does not verify is a Compliance Finding (2003), incidents
are Incident Findings (2005), reading, searching and deleting captured content is Datastore Activity (6005), acts on
keys, configuration and evidence are Entity Management (3004).
"""

from typing import Any

import msgspec

import greffier
from greffier.audit.export import taxonomy
from greffier.audit.export.entry import Detection, Entry
from greffier.audit.export.shape import plain, put

VERSION = "1.8.0"

FIELDS: dict[str, str] = {
    "id": "metadata.uid",
    "seq": "metadata.sequence",
    "time_ms": "time",
    "tenant": "metadata.tenant_uid",
    "request_id": "metadata.correlation_uid",
    "reason": "status_detail",
    "error": "status_code",
    "prev_seq": "unmapped.prev_seq",
    "workspace": "unmapped.workspace",
    "purpose": "unmapped.purpose",
    "lawful_basis": "unmapped.lawful_basis",
    "risk_class": "unmapped.risk_class",
    "data_classes": "unmapped.data_classes",
    "on_behalf_of": "unmapped.on_behalf_of",
    "deployment": "unmapped.deployment",
    "region": "unmapped.region",
    "bundle": "unmapped.bundle",
    "cached_tokens": "unmapped.cached_tokens",
    "cost_micro": "unmapped.cost_micro",
    "latency_us": "unmapped.latency_us",
    "rating": "unmapped.rating",
    "commits": "unmapped.part_commits",
    "details": "unmapped.details",
}
"""Where the attributes of an entry go in every class; the rest depends on the class and stands in the code below."""

REQUEST_FIELDS: dict[str, str] = {
    "action": "api.operation",
    "actor": "actor.user.uid",
    "actor_type": "actor.user.type",
    "credential": "actor.app_uid",
    "authn": "unmapped.authn",
    "ip": "src_endpoint.ip",
    "trace_id": "trace.uid",
    "rule": "policy.uid",
    "session": "message_context.uid",
    "input_tokens": "message_context.prompt_tokens",
    "output_tokens": "message_context.completion_tokens",
    "model": "ai_model.name",
    "response_model": "ai_model.version",
    "provider": "ai_model.ai_provider",
    "use_case": "resources[].uid",
    "use_case_digest": "resources[].version",
    "error": "api.response.error",
}
"""What API Activity has besides."""

ACT_FIELDS: dict[str, str] = {
    "target": "entity.uid",
    "actor": "actor.user.uid",
    "reason": "comment",
    "action": "message",
}
"""What Entity Management has besides."""

_COMPLIANCE, _DETECTION, _INCIDENT, _DATA_SECURITY, _ENTITY, _API = 2003, 2004, 2005, 2006, 3004, 6003
_DATASTORE = 6005
_ON_DATA = {"reveal": 1, "export": 1, "search": 4, "purge": 7, "erase": 7}  # Read, Query, Delete
_ACTIVITIES = {
    "create": 1,
    "read": 2,
    "list": 2,
    "export": 2,
    "reveal": 2,
    "rotate": 3,
    "trust": 8,
    "activate": 10,
    "start": 10,
    "stop": 11,
    "revoke": 9,
    "disable": 9,
    "suspend": 12,
    "resume": 13,
    "purge": 4,
    "delete": 4,
    "restart": 13,
}
_OTHER = 99
_ALLOWED, _DENIED, _OBSERVED, _MODIFIED = 1, 2, 3, 4  # action_id
_LET_PASS, _BLOCKED, _CORRECTED, _LOGGED = 1, 2, 11, 17  # disposition_id
_DECIDED = {"allow": (_ALLOWED, _LET_PASS), "deny": (_DENIED, _BLOCKED)}
_DONE = {
    "deny": (_DENIED, _BLOCKED),
    "escalate": (_DENIED, _BLOCKED),
    "redact": (_MODIFIED, _CORRECTED),
    "pseudonymise": (_MODIFIED, _CORRECTED),
}
_RULE, _LEARNED = 1, 4
_MAX_CONFIDENCE = 100
_PPM_PER_PERCENT = 10_000
_STATUS = {"unknown": 0, "success": 1, "failure": 2}
_CONFIDENTIALITY = {"personal": 5, "special_category": 6, "payment": 2, "secret": 3}  # confidentiality_id
_CATEGORY = {"personal": 1, "special_category": 1, "payment": 3, "secret": 6}  # category_id
_APPLICATION_LEVEL_DLP = 10  # detection_system_id

_CONTROLS = {"GW-3075": ("technical documentation", "EU AI Act Art. 11")}

_ENCODER = msgspec.json.Encoder()


def to_json(entry: Entry) -> bytes:
    """One line of JSON."""
    return _ENCODER.encode(to_ocsf(entry))


def to_ocsf(entry: Entry) -> dict[str, Any]:
    """The event as an OCSF object."""
    event = _base(entry)
    match entry.family:
        case "finding":
            _finding(event, entry, _DETECTION)
        case "sensitive":
            _finding(event, entry, _DATA_SECURITY)
            _sensitive(event, entry)
        case "compliance":
            _compliance(event, entry)
        case "incident":
            _incident(event, entry)
        case "act":
            _act(event, entry)
        case "datastore":
            _datastore(event, entry)
        case "request" | "checkpoint" | "test":
            _request(event, entry)
    return event


def _base(entry: Entry) -> dict[str, Any]:
    event: dict[str, Any] = {
        "severity_id": int(entry.code.severity),
        "message": entry.code.name,
        "status_id": _STATUS[entry.result],
        "metadata": {
            "version": VERSION,
            "event_code": entry.code.code,
            "log_name": "greffier",
            "product": {"name": "Greffier", "vendor_name": "Greffier", "version": greffier.__version__},
        },
    }
    for attribute, path in FIELDS.items():
        put(event, path, plain(getattr(entry, attribute)))
    return event


def _classify(event: dict[str, Any], class_uid: int, activity: int, name: str = "") -> None:
    event["class_uid"] = class_uid
    event["category_uid"] = class_uid // 1000
    event["activity_id"] = activity
    event["type_uid"] = class_uid * 100 + activity
    if name:
        event["activity_name"] = name


def _profiles(event: dict[str, Any], *names: str) -> None:
    event["metadata"]["profiles"] = list(names)


def _request(event: dict[str, Any], entry: Entry) -> None:
    activity, name = {
        "audit.checkpoint": (_OTHER, "Seal"),
        "sink.test": (_OTHER, "Test"),
        "feedback.give": (_OTHER, "Feedback"),
        "model.list": (2, ""),
    }.get(entry.action, (1, ""))
    _classify(event, _API, activity, name)
    profiles = ["security_control"] if entry.decision in _DECIDED else []
    for attribute, path in REQUEST_FIELDS.items():
        if "[]" not in path and not path.startswith(("ai_model", "message_context", "trace", "policy")):
            put(event, path, getattr(entry, attribute))
    event.setdefault("actor", {}).setdefault("user", {"name": "unknown"})
    event.setdefault("src_endpoint", {}).setdefault("name", entry.source or "unknown")
    event.pop("status_detail", None)
    put(event, "resources", _resources(entry))
    if profiles:
        _security(event, entry)
    if entry.model:
        profiles.append("ai_operation")
        _ai(event, entry)
    if entry.trace_id:
        profiles.append("trace")
        event["trace"] = {"uid": entry.trace_id}
    if entry.action == "audit.checkpoint":
        event["resources"] = [{"uid": entry.target, "type": "log"}]
    _profiles(event, *profiles)


def _ai(event: dict[str, Any], entry: Entry) -> None:
    model = {"name": entry.model, "ai_provider": entry.provider or "unknown"}
    put(model, "version", entry.response_model)
    context: dict[str, Any] = {"service": {"name": "greffier"}}
    put(context, "uid", entry.session)
    put(context, "prompt_tokens", entry.input_tokens)
    put(context, "completion_tokens", entry.output_tokens)
    event["ai_model"] = model
    event["message_context"] = context


def _security(event: dict[str, Any], entry: Entry) -> None:
    event["action_id"], event["disposition_id"] = _DECIDED.get(entry.decision, (_ALLOWED, _LET_PASS))
    if entry.rule:
        event["policy"] = {"uid": entry.rule}
        put(event["policy"], "version", entry.bundle)


def _resources(entry: Entry) -> list[dict[str, Any]]:
    if not entry.use_case:
        return []
    resource = {"uid": entry.use_case, "type": "ai_system"}
    put(resource, "version", entry.use_case_digest)
    return [resource]


def _finding(event: dict[str, Any], entry: Entry, class_uid: int) -> None:
    found = entry.detection or Detection(type=entry.error)
    _classify(event, class_uid, 1)
    _profiles(event, "security_control")
    _security(event, entry)
    event["action_id"], event["disposition_id"] = _DONE.get(found.action, (_OBSERVED, _LOGGED))
    event["status_id"] = 1  # of the finding: New
    event["is_alert"] = found.alert
    event["confidence_score"] = min(_MAX_CONFIDENCE, found.score_ppm // _PPM_PER_PERCENT)
    info: dict[str, Any] = {
        "uid": entry.id,
        "title": entry.code.name,
        "types": [found.type],
        "analytic": {"uid": entry.rule or found.detector or entry.error, "type_id": _analytic(found)},
        "created_time": entry.time_ms,
    }
    put(info, "analytic.name", found.detector)
    put(info, "attacks", [_attack(technique) for technique in found.atlas])
    put(info, "related_events", [{"uid": entry.related}] if entry.related else [])
    if found.owasp:
        info["tags"] = [{"name": "owasp_llm", "value": found.owasp}]
        event["unmapped"]["owasp"] = found.owasp
    event["finding_info"] = info
    if class_uid != _DETECTION:
        return
    evidence: dict[str, Any] = {"api": {"operation": entry.action}}
    put(evidence, "resources", _resources(entry))
    put(evidence, "actor.user.uid", entry.actor)
    put(evidence, "src_endpoint.ip", entry.ip)
    put(evidence, "data", {"stage": found.stage, "action": found.action, "count": found.count})
    event["evidences"] = [evidence]


def _analytic(found: Detection) -> int:
    return _LEARNED if found.learned else _RULE


def _attack(technique: str) -> dict[str, Any]:
    parent = ".".join(technique.split(".")[:2])
    attack: dict[str, Any] = {"version": taxonomy.ATLAS_VERSION, "technique": _technique(parent)}
    if parent != technique:
        attack["sub_technique"] = _technique(technique)
    return attack


def _technique(uid: str) -> dict[str, Any]:
    return {"uid": uid, "name": taxonomy.ATLAS[uid], "src_url": taxonomy.ATLAS_URL + uid}


def _sensitive(event: dict[str, Any], entry: Entry) -> None:
    found = entry.detection or Detection(type="")
    event["data_security"] = {
        "category_id": _CATEGORY.get(found.data_class, 0),
        "confidentiality_id": _CONFIDENTIALITY.get(found.data_class, 0),
        "detection_pattern": found.type,
        "detection_system_id": _APPLICATION_LEVEL_DLP,
        "total": found.count,
    }
    put(event, "resources", _resources(entry))
    put(event, "actor.user.uid", entry.actor)
    put(event, "src_endpoint.ip", entry.ip)
    put(event, "unmapped.operation", entry.action)
    put(event, "unmapped.stage", found.stage)


def _compliance(event: dict[str, Any], entry: Entry) -> None:
    passed = entry.result == "success"
    _classify(event, _COMPLIANCE, 1)
    event["status_id"] = 1
    event["finding_info"] = {"uid": entry.id, "title": entry.code.name, "created_time": entry.time_ms}
    control, standard = _CONTROLS.get(entry.code.code, ("record-keeping", "EU AI Act Art. 12"))
    event["compliance"] = {
        "control": control,
        "standards": [standard],
        "status_id": 1 if passed else 3,
    }
    kind = "document" if entry.code.code in _CONTROLS else "log"
    event["resources"] = [{"uid": entry.target or "log", "type": kind}]
    event["unmapped"]["actor"] = entry.actor


def _incident(event: dict[str, Any], entry: Entry) -> None:
    _classify(event, _INCIDENT, {"open": 1, "create": 1, "close": 3}.get(entry.action.partition(".")[2], 2))
    event["status_id"] = {1: 1, 2: 2, 3: 5}[event["activity_id"]]
    event["finding_info_list"] = [{"uid": entry.target or entry.id, "title": entry.code.name}]
    event["assignee"] = {"uid": entry.actor or "unknown"}
    put(event, "comment", entry.reason)
    event["unmapped"]["operation"] = entry.action


def _datastore(event: dict[str, Any], entry: Entry) -> None:
    """Someone read, searched or deleted captured content: whose, stands in no event; which, in its target."""
    verb = entry.action.rpartition(".")[2]
    _classify(event, _DATASTORE, _ON_DATA.get(verb, 1))
    event["database"] = {"name": "content", "type_id": 1, "type": "Relational"}
    event["actor"] = {"user": {"uid": entry.actor or "unknown"}}
    event["src_endpoint"] = {"name": "greffier"}
    event["unmapped"]["operation"] = entry.action
    put(event, "unmapped.target", entry.target)
    event.pop("status_detail", None)
    put(event, "unmapped.reason", entry.reason)


def _act(event: dict[str, Any], entry: Entry) -> None:
    noun, _, verb = entry.action.partition(".")
    activity = _ACTIVITIES.get(verb, _OTHER)
    _classify(event, _ENTITY, activity, entry.action if activity == _OTHER else "")
    kind, colon, _ = entry.target.partition(":")
    event["entity"] = {"uid": entry.target or noun, "type": kind if colon else noun}
    event["actor"] = {"user": {"uid": entry.actor or "unknown"}}
    event["unmapped"]["operation"] = entry.action
    event.pop("status_detail", None)
    put(event, "comment", entry.reason)
