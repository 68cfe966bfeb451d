"""The formats by name."""

from collections.abc import Callable
from typing import Literal

from greffier.audit.export.cef import to_cef
from greffier.audit.export.ecs import to_json as to_ecs_json
from greffier.audit.export.entry import Entry
from greffier.audit.export.ocsf import to_json as to_ocsf_json

Format = Literal["ocsf", "ecs", "cef"]
"""What an event is written in; over syslog it is the message after the structured data."""

WRITERS: dict[Format, Callable[[Entry], bytes]] = {"ocsf": to_ocsf_json, "ecs": to_ecs_json, "cef": to_cef}
JSON_FORMATS: frozenset[Format] = frozenset({"ocsf", "ecs"})
