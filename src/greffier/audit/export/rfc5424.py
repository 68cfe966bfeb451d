"""The canonical event as a syslog message (RFC 5424), to be carried over TLS (RFC 5425).

The structured data ``greffier@32473`` says all that rules need; the message after it is the event in OCSF, ECS or CEF.
32473 is the enterprise number for examples (RFC 5612); ``sd_id`` of a sink names the organisation's own.
"""

import msgspec

from greffier.audit.export.codes import Severity
from greffier.audit.export.ecs import timestamp
from greffier.audit.export.entry import Entry

MAX_BYTES = 8192  # what a receiver should take (RFC 5425 section 4.3.1)
MAX_VALUE = 512
_FACILITY = 13  # log audit
_SEVERITIES = {
    Severity.INFORMATIONAL: 5,  # notice: ordinary, but significant
    Severity.LOW: 5,
    Severity.MEDIUM: 4,
    Severity.HIGH: 3,
    Severity.CRITICAL: 2,
}
_BOM = b"\xef\xbb\xbf"

FIELDS: dict[str, str] = {
    "id": "id",
    "seq": "seq",
    "prev_seq": "prev",
    "tenant": "tenant",
    "workspace": "env",
    "action": "op",
    "result": "outcome",
    "error": "error",
    "decision": "dec",
    "rule": "rule",
    "bundle": "bundle",
    "actor": "actor",
    "credential": "agent",
    "on_behalf_of": "obo",
    "source": "src",
    "use_case": "ais",
    "use_case_digest": "aisver",
    "purpose": "purpose",
    "lawful_basis": "basis",
    "risk_class": "risk",
    "model": "model",
    "deployment": "deployment",
    "input_tokens": "tin",
    "output_tokens": "tout",
    "request_id": "req",
    "session": "session",
    "trace_id": "trace",
    "target": "target",
    "related": "related",
    "reason": "reason",
}
"""The parameter of each attribute in the structured data."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in front of every message of a sink.

    Attributes:
        hostname: This machine.
        process: Process id.
        sd_id: ``name@enterprise-number`` of the structured data.
    """

    hostname: str
    process: int
    sd_id: str = "greffier@32473"
    app: str = "greffier"


def to_syslog(entry: Entry, header: Header, body: bytes) -> bytes:
    """One message, at most `MAX_BYTES` long: a body that does not fit is left out and ``cut="1"`` says so."""
    priority = _FACILITY * 8 + _SEVERITIES[entry.code.severity]
    head = (
        f"<{priority}>1 {timestamp(entry.time_ms)} {_name(header.hostname, 255)} {_name(header.app, 48)} "
        f"{header.process} {_name(entry.code.code, 32)} "
    )
    tail = f'[meta sequenceId="{entry.seq % _MAX_SEQUENCE + 1}"][timeQuality tzKnown="1"]'
    parameters = _parameters(entry)
    full = f"{head}[{header.sd_id}{''.join(parameters)}]{tail} ".encode() + _BOM + body
    if len(full) <= MAX_BYTES:
        return full
    while True:  # the first parameters identify the event; they are the last to go
        cut = f'{head}[{header.sd_id}{"".join(parameters)} cut="1"]{tail}'.encode()
        if len(cut) <= MAX_BYTES:
            return cut
        parameters.pop()


_MAX_SEQUENCE = 2_147_483_647  # RFC 5424 section 7.3.1; it starts again at 1


def _parameters(entry: Entry) -> list[str]:
    pairs = [(name, getattr(entry, attribute)) for attribute, name in FIELDS.items()]
    if entry.commits:
        pairs.append(("commit", ",".join(entry.commits)))
    pairs += [(_name(name, 32), value) for name, value in entry.details]
    found = entry.detection
    if found is not None:
        pairs += [
            ("finding", found.type),
            ("detector", found.detector),
            ("stage", found.stage),
            ("count", found.count),
            ("confidence", found.score_ppm // 10_000),
            ("owasp", found.owasp),
            ("atlas", ",".join(found.atlas)),
        ]
    seen: set[str] = set()
    texts = []
    for name, value in pairs:
        if value is None or value == "" or name in seen:
            continue
        seen.add(name)
        texts.append(f' {name}="{escape(str(value)[:MAX_VALUE])}"')
    return texts


def escape(text: str) -> str:
    r"""A value of structured data: ``"``, ``\`` and ``]`` are escaped (section 6.3.3), control characters left out."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _name(text: str, limit: int) -> str:
    """A header field or name: printable ASCII without what would end it; ``-`` for nothing."""
    kept = "".join(char for char in text if "!" <= char <= "~" and char not in '="]')
    return kept[:limit] or "-"
