"""Every kind of event in every format: kept as golden files, and validated against the published schemas.

The OCSF schema is the one of release 1.8.0, as the package ``ocsf-json-schema`` carries it; the table of ECS fields is
drawn from release 9.4.0. After a deliberate change: ``GREFFIER_WRITE_GOLDEN=1 pytest tests/unit/audit/export``.
"""

import json
import os
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ocsf_json_schema.embedded import OcsfJsonSchemaEmbedded

import greffier
from greffier.audit.export.cef import to_cef
from greffier.audit.export.ecs import to_ecs
from greffier.audit.export.entry import Entry
from greffier.audit.export.ocsf import to_json, to_ocsf
from greffier.audit.export.rfc5424 import Header, to_syslog

GOLDEN = Path(__file__).parent / "golden"
ECS = json.loads((Path(__file__).parent / "ecs_fields.json").read_text())
HEADER = Header(hostname="gw1", process=4711)


def in_all_formats(entry: Entry) -> dict[str, Any]:
    text = json.dumps(
        {
            "ocsf": json.loads(to_json(entry)),
            "ecs": to_ecs(entry),
            "cef": to_cef(entry).decode(),
            "rfc5424": to_syslog(entry, HEADER, b"BODY").decode(),
        },
        ensure_ascii=False,
    )
    value: dict[str, Any] = json.loads(text.replace(greffier.__version__, "VERSION"))
    return value


def test_no_event_changes_unnoticed(entries: dict[str, Entry]) -> None:
    found = {name: in_all_formats(entry) for name, entry in entries.items()}
    if os.environ.get("GREFFIER_WRITE_GOLDEN"):
        for name, value in found.items():
            (GOLDEN / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    kept = {path.stem: json.loads(path.read_text()) for path in GOLDEN.glob("*.json")}
    assert found == kept


@cache
def schemas() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(json.loads((files("ocsf_json_schema") / "ocsf" / "1.8.0.json").read_text()))


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> jsonschema_rs.Draft202012Validator:
    name = schemas().lookup_class_name_from_uid(class_uid)
    return jsonschema_rs.Draft202012Validator(schemas().get_class_schema(name, list(profiles)))


def ocsf_problems(event: dict[str, Any]) -> list[str]:
    check = validator(event["class_uid"], tuple(event["metadata"].get("profiles", ())))
    return [f"{error.instance_path}: {error.message}" for error in check.iter_errors(event)]


def test_every_ocsf_event_is_valid(entries: dict[str, Entry]) -> None:
    problems = {name: ocsf_problems(json.loads(to_json(entry))) for name, entry in entries.items()}
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.parametrize("wrong", [{"prompt": "x"}, {"severity_id": 17}, {"time": "now"}, {"api": {}}])
def test_the_ocsf_schema_refuses_what_is_wrong(entries: dict[str, Entry], wrong: dict[str, Any]) -> None:
    assert ocsf_problems(json.loads(to_json(entries["answered"])) | wrong)


def test_classes_and_types_agree(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        event = to_ocsf(entry)
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
    classes = {name: to_ocsf(entry)["class_uid"] for name, entry in entries.items()}
    assert classes["answered"] == classes["blocked"] == classes["checkpoint"] == classes["purpose"] == 6003
    assert classes["blocked-finding1"] == classes["purpose-finding1"] == 2004
    assert classes["card-finding1"] == 2006
    assert classes["tampered"] == 2003
    assert classes["incident"] == 2005
    assert classes["stale"] == 2003
    types = {name: to_ocsf(entry)["type_uid"] for name, entry in entries.items()}
    assert (types["searched"], types["revealed"], types["purged"], types["erased"]) == (600504, 600501, 600507, 600507)
    assert classes["key"] == 3004


def leaves(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        path = prefix + name
        if isinstance(inner, dict) and path != "labels":
            found |= leaves(inner, path + ".")
        else:
            found[path] = inner
    return found


def fits(kind: str, value: Any) -> bool:
    match kind:
        case "keyword" | "match_only_text" | "constant_keyword":
            return isinstance(value, str)
        case "long" | "integer":
            return isinstance(value, int)
        case "ip":
            return bool(ip_address(value))
        case "date":
            return isinstance(value, str) and value.endswith("Z")
        case "object":
            return all(isinstance(item, str | list | tuple) for item in value.values())
    return False


def test_every_ecs_event_has_known_fields_of_the_right_type(entries: dict[str, Entry]) -> None:
    for name, entry in entries.items():
        for path, value in leaves(to_ecs(entry)).items():
            field = ECS["fields"].get(path)
            assert field, f"{name}: {path} is not a field of ECS"
            assert isinstance(value, list) == field["array"], f"{name}: {path}"
            for item in value if field["array"] else [value]:
                assert fits(field["type"], item), f"{name}: {path}={item!r}"


def test_every_ecs_event_is_categorised_as_ecs_expects(entries: dict[str, Entry]) -> None:
    for name, entry in entries.items():
        event = to_ecs(entry)["event"]
        assert event["kind"] in ECS["kinds"], name
        assert event["outcome"] in ECS["outcomes"], name
        (category,) = event["category"]
        assert set(event["type"]) <= set(ECS["categories"][category]), name
