r"""The canonical event in ArcSight's Common Event Format, version 0.

``CEF:0|vendor|product|version|signature|name|severity|extension``. Header fields escape ``\`` and ``|``, values of the
extension escape ``\``, ``=`` and line breaks (ArcSight CEF implementation standard, section "Character encoding").
"""

import greffier
from greffier.audit.export.codes import Severity
from greffier.audit.export.entry import Entry

MAX_NAME = 512
MAX_VALUE = 1023  # the shortest limit of the string keys used here

FIELDS: dict[str, tuple[str, str]] = {
    "time_ms": ("rt", ""),
    "id": ("externalId", ""),
    "seq": ("cn1", "seq"),
    "input_tokens": ("cn2", "tokens_in"),
    "output_tokens": ("cn3", "tokens_out"),
    "prev_seq": ("flexNumber1", "prev_seq"),
    "tenant": ("cs1", "tenant"),
    "rule": ("cs2", "rule"),
    "bundle": ("cs3", "bundle"),
    "ai_system": ("cs4", "ai_system"),
    "grounds": ("cs5", "purpose_and_basis"),
    "models": ("cs6", "model"),
    "trace_id": ("flexString1", "trace_id"),
    "risk_class": ("flexString2", "risk_class"),
    "actor": ("suid", ""),
    "credential": ("sourceServiceName", ""),
    "on_behalf_of": ("duid", ""),
    "ip": ("src", ""),
    "decision": ("act", ""),
    "result": ("outcome", ""),
    "why": ("reason", ""),
    "action": ("cat", ""),
    "request_id": ("requestContext", ""),
    "commit": ("fileHash", ""),
    "deployment": ("destinationServiceName", ""),
    "target": ("fname", ""),
    "related": ("oldFileId", ""),
    "workspace": ("dvchost", ""),
    "summary": ("msg", ""),
}
"""The key of each attribute, and the label where the key is one of CEF's custom ones."""

_SEVERITIES = {
    Severity.INFORMATIONAL: 2,
    Severity.LOW: 4,
    Severity.MEDIUM: 6,
    Severity.HIGH: 8,
    Severity.CRITICAL: 10,
}


def to_cef(entry: Entry) -> bytes:
    """The event as one line."""
    header = ("Greffier", "gateway", greffier.__version__, entry.code.code, entry.code.name[:MAX_NAME])
    fields = "|".join(_header(field) for field in header)
    return f"CEF:0|{fields}|{_SEVERITIES[entry.code.severity]}|{_extension(entry)}".encode()


def _extension(entry: Entry) -> str:
    pairs = []
    for attribute, (key, label) in FIELDS.items():
        value = _DERIVED[attribute](entry) if attribute in _DERIVED else getattr(entry, attribute)
        if value is None or value == "":
            continue
        pairs.append(f"{key}={_value(str(value))}")
        if label:
            pairs.append(f"{key}Label={label}")
    return " ".join(pairs)


def _ai_system(entry: Entry) -> str:
    return f"{entry.use_case}@{entry.use_case_digest}" if entry.use_case_digest else entry.use_case


def _grounds(entry: Entry) -> str:
    return "|".join(part for part in (entry.purpose, entry.lawful_basis) if part)


def _models(entry: Entry) -> str:
    return "/".join(part for part in (entry.provider, entry.model, entry.response_model) if part)


def _why(entry: Entry) -> str:
    return entry.error or entry.reason


def _commit(entry: Entry) -> str:
    return entry.commits[0] if entry.commits else dict(entry.details).get("root", "")


def _summary(entry: Entry) -> str:
    found = entry.detection
    if found is None:
        return " ".join(f"{name}:{value}" for name, value in entry.details)
    words = [found.type, f"count:{found.count}", f"action:{found.action}", f"confidence:{found.score_ppm // 10_000}"]
    words += [found.owasp, *found.atlas]
    return " ".join(word for word in words if word)


_DERIVED = {
    "ai_system": _ai_system,
    "grounds": _grounds,
    "models": _models,
    "why": _why,
    "commit": _commit,
    "summary": _summary,
}


def _header(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    text = text[:MAX_VALUE].replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")
    return _one_line(text)


def _one_line(text: str) -> str:
    """Control characters would end the line, or the record, for some receivers."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
