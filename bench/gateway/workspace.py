"""A workspace of realistic size with every control switched on, and API keys for it."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from greffier.app.stores import open_keys
from greffier.config.default_screen import default_screen
from greffier.config.paths import WorkspacePaths
from greffier.identity.keys import issue_key
from greffier.storage.keys import SqliteKeyStore, SqlKeyStore

MODEL = "assistant"
_KEYS_IN_USE = 200
_DAY_MS = 86_400_000
_MEMORY = Path("/dev/shm")  # noqa: S108 - only a draft is made there, in a folder of its own


class Database(msgspec.Struct, frozen=True):
    """A PostgreSQL database: for the gateway, and for who owns its tables. References to the environment."""

    url: str
    admin_url: str


class Size(msgspec.Struct, frozen=True):
    """How large a workspace is. Tenants hold ten use cases each; topics have ten terms and two patterns each."""

    use_cases: int = 200
    keys: int = 1000
    rules: int = 300
    topics: int = 10

    def __str__(self) -> str:
        sizes = f"{self.keys:,} keys, {self.use_cases:,} use cases, {self.rules:,} rules"
        return f"{sizes}, {12 * self.topics:,} topic terms and patterns"


USUAL = Size()
SMALL = Size(use_cases=10, keys=10, rules=15, topics=10)
LARGE = Size(use_cases=1000, keys=10_000, rules=1500, topics=10)
MANY_PATTERNS = Size(use_cases=10, keys=10, rules=15, topics=100)

_CEILINGS = {
    "requests_per_minute": 1_000_000_000,
    "tokens_per_minute": 1_000_000_000_000,
    "concurrent_requests": 100_000,
    "spend_per_day": "999999999",
    "spend_per_month": "999999999",
}
_PROMPT = """---
version: 1
title: Assistant
owner: owner@bench.example
variables:
  company: {type: string}
---
You are the assistant of {{company}}. Answer briefly and politely, in the language of the question, and cite the section
of the policy you rely on. Do not promise refunds, dates or discounts. If the answer is not in the policy, say so and
name the team that can help.
"""


def write_workspace(folder: Path, size: Size, upstream: str, database: Database | None = None) -> Path:
    """Write the files of a workspace and issue its keys; return the file with the keys that callers will use.

    Args:
        folder: Where to; must not exist yet.
        size: How large.
        upstream: Base URL of the model's server.
        database: Where records, keys and spend are kept; None for files in the folder.
    """
    tenants = [f"tenant-{number}" for number in range(max(1, size.use_cases // 10))]
    settings = _settings(tenants)
    if database is not None:
        settings["storage"] = {"url": database.url, "admin_url": database.admin_url}
    _write(folder / "greffier.yaml", settings)
    prompt = folder / "prompts" / "assistant.md"
    prompt.parent.mkdir(parents=True)
    prompt.write_text(_PROMPT)
    for number in range(size.use_cases):
        _write(folder / "use_cases" / f"uc-{number}.yaml", _use_case(number, tenants[number % len(tenants)]))
    _write(folder / "policies" / "access.yaml", {"rules": _rules(size)})
    _write(folder / "models" / "models.yaml", _models(upstream))
    topics = _topics(size.topics)
    _write(folder / "guardrails" / "screens.yaml", {"screens": {"default": _screen(topics)}, "topics": topics})
    if database is None:
        return _issue_keys(folder, size, tenants)
    return _issue_in_database(folder, size, tenants)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))  # JSON is YAML


def _settings(tenants: list[str]) -> dict[str, object]:
    return {
        "schema": 1,
        "name": "bench",
        "unsafe_development_mode": True,  # an unsigned bundle: no release is rolled out here
        "tenants": {tenant: {"title": tenant} for tenant in tenants},
        "limits": {
            "per_key": _CEILINGS,
            "tenants": dict.fromkeys(tenants, _CEILINGS),
            "models": {MODEL: _CEILINGS},
        },
    }


def _use_case(number: int, tenant: str) -> dict[str, object]:
    return {
        "id": f"uc-{number}",
        "title": f"Assistant {number}",
        "tenant": tenant,
        "status": "approved",
        "owner": "owner@bench.example",
        "approval": {"by": ["dpo@bench.example"], "on": "2026-11-01"},
        "purpose": "customer-service",
        "intended_purpose": "Answers questions of customers about replacement parts.",
        "lawful_basis": {"article_6": "6(1)(b)", "article_9": "9(2)(a)"},
        "risk_class": "limited",
        "data_classes": ["public", "internal", "personal", "special_category", "payment", "secret"],
        "models": [MODEL],
        "default_model": MODEL,
        "prompt": "assistant",
        "prompt_variables": {"company": f"Acme {number}"},
        "screen": "default",
        "limits": _CEILINGS,
    }


def _rules(size: Size) -> list[dict[str, object]]:
    """One permission per use case, the rest prohibitions of single use cases, and a few that concern everybody."""
    rules: list[dict[str, object]] = [
        {
            "id": f"allow-{number}",
            "description": "The service of this use case may ask.",
            "effect": "allow",
            "when": {
                "use_cases": [f"uc-{number}"],
                "actions": ["chat", "list_models", "feedback"],
                "groups": ["callers"],
                "principal_types": ["service"],
            },
        }
        for number in range(size.use_cases)
    ]
    common: list[dict[str, object]] = [
        {"roles": ["suspended"]},
        {"modalities": ["audio", "file"]},
        {"attributes": {"clearance": ["none"]}},
        {"time": {"days": ["sun"], "between": "02:00-02:01", "timezone": "Europe/Berlin"}},
    ]
    conditions = common + [
        {"use_cases": [f"uc-{number % size.use_cases}"], "roles": ["trainee"], "tools": True}
        for number in range(size.rules - len(rules) - len(common))
    ]
    rules += [
        {"id": f"deny-{number}", "description": "Not like this.", "effect": "deny", "when": condition}
        for number, condition in enumerate(conditions)
    ]
    return rules


def _models(upstream: str) -> dict[str, object]:
    def deployment(location: str, region: str) -> dict[str, object]:
        return {
            "provider": "openai_compatible",
            "model": "mock",
            "location": location,
            "region": region,
            "base_url": upstream,
            "price": {"input_per_million": "0.40", "output_per_million": "1.60"},
        }

    targets = [{"deployment": "external", "priority": 0}, {"deployment": "onprem", "priority": 1}]
    return {
        "deployments": {"external": deployment("external", "eu"), "onprem": deployment("on_premises", "local")},
        "models": {MODEL: {"title": "Assistant", "targets": targets, "retry": {"attempts": 2}}},
    }


def _screen(topics: dict[str, object]) -> dict[str, object]:
    """The built-in default screen, plus the topics of the workspace."""
    screen: dict[str, Any] = msgspec.to_builtins(default_screen())
    screen["detectors"] = [*dict.fromkeys([*screen["detectors"], "topics"])]
    types = [f"topic:{name}" for name in topics]
    for direction in ("input", "output"):
        rule = {"id": f"bench-topics-{direction}", "types": types, "then": "deny"}
        screen[direction] = [rule, *screen[direction]]
    return screen


def _topics(count: int) -> dict[str, object]:
    return {
        f"topic-{number}": {
            "title": f"Topic {number}",
            "terms": [f"forbidden term {number} {letter}" for letter in "abcdefghij"],
            "patterns": [f"(buy|sell) .{{0,20}}product{number}", f"project [a-z]{{3,8}}{number}"],
        }
        for number in range(count)
    }


def _issue_keys(folder: Path, size: Size, tenants: list[str]) -> Path:
    """Issue all keys; callers take turns with the first of them."""
    paths = WorkspacePaths(folder)
    paths.ensure()
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as quick:  # an fsync per key takes long
        draft = Path(quick) / "keys.db"
        in_use = _fill(draft, size, tenants)
        shutil.copyfile(draft, paths.state_db)
    keys = folder / "keys.txt"
    keys.write_text("".join(f"{key}\n" for key in in_use))
    return keys


def _issue_in_database(folder: Path, size: Size, tenants: list[str]) -> Path:
    """Prepare the database as an operator does, then issue all keys into it."""
    command = [sys.executable, "-m", "greffier.cli.main", "db", "upgrade", "--workspace", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    paths = WorkspacePaths(folder)
    paths.ensure()
    keys = folder / "keys.txt"
    keys.write_text("".join(f"{key}\n" for key in _filled(open_keys(paths), size, tenants)))
    return keys


def _fill(draft: Path, size: Size, tenants: list[str]) -> list[str]:
    return _filled(SqliteKeyStore(draft), size, tenants)


def _filled(store: SqlKeyStore, size: Size, tenants: list[str]) -> list[str]:
    now = time.time_ns() // 1_000_000
    in_use: list[str] = []
    try:
        for number in range(size.keys):
            use_case = number % size.use_cases
            issued = issue_key(
                tenant=tenants[use_case % len(tenants)],
                use_case=f"uc-{use_case}",
                created_ms=now,
                expires_ms=now + 30 * _DAY_MS,
                groups=("callers",),
                roles=("member",),
                attributes={"clearance": "normal"},
            )
            store.create(issued.record)
            if number < _KEYS_IN_USE:
                in_use.append(issued.key)
    finally:
        store.close()
    return in_use
