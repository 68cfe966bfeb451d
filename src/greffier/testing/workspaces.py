"""Small workspaces: one tenant, one approved use case, one rule, one model. A test names only what it is about.

files = small_workspace(settings(server={"drain_timeout_s": 5}), use_case(risk_class="high"))
write_workspace(folder, files | {"guardrails/screens.yaml": SCREENS})
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

File = str | Mapping[str, Any]
"""The text of a file, or what it says: a mapping is written as JSON, which is YAML."""


def settings(**more: Any) -> dict[str, Any]:
    """``greffier.yaml``, with these keys besides or instead."""
    tenants = {"acme": {"title": "Acme"}}
    return {"schema": 1, "name": "small", "unsafe_development_mode": True, "tenants": tenants, **more}


def use_case(name: str = "assistant", **more: Any) -> dict[str, Any]:
    """An approved use case of tenant ``acme``, with these keys besides or instead."""
    return {
        "id": name,
        "title": "Assistant",
        "tenant": "acme",
        "status": "approved",
        "owner": "olga@acme.example",
        "approval": {"by": ["anton@acme.example"], "on": "2026-11-01"},
        "purpose": "assistance",
        "intended_purpose": "Answers questions of staff.",
        "lawful_basis": {"article_6": "6(1)(f)"},
        "risk_class": "limited",
        "models": ["assistant"],
        "default_model": "assistant",
        **more,
    }


def deployment(**more: Any) -> dict[str, Any]:
    """A free deployment at the address in ``EXTERNAL_URL``, soon given up, with these keys besides or instead."""
    return {
        "provider": "openai_compatible",
        "model": "external-model",
        "location": "external",
        "region": "eu",
        "base_url": "env:EXTERNAL_URL",
        "price": {"input_per_million": "0", "output_per_million": "0"},
        "timeouts": {"connect_s": 2, "first_token_s": 2, "total_s": 8},
        "capabilities": ["chat", "tools"],
        **more,
    }


def small_workspace(
    head: Mapping[str, Any] | None = None, *cases: Mapping[str, Any], external: Mapping[str, Any] | None = None
) -> dict[str, File]:
    """The files of a workspace by their paths.

    Args:
        head: ``greffier.yaml``, as `settings` gives it.
        cases: Use cases; one as `use_case` gives it where none is named.
        external: The one deployment behind the model ``assistant``, as `deployment` gives it.
    """
    files: dict[str, File] = {
        "greffier.yaml": head or settings(),
        "policies/access.yaml": {
            "rules": [
                {
                    "id": "staff-may-ask",
                    "description": "Every credential of an approved use case may use it.",
                    "effect": "allow",
                    "when": {"actions": ["chat", "embed", "list_models", "check", "feedback"]},
                }
            ]
        },
        "models/models.yaml": {
            "deployments": {"external": external or deployment()},
            "models": {"assistant": {"targets": [{"deployment": "external"}]}},
        },
    }
    return files | {f"use_cases/{case['id']}.yaml": case for case in cases or (use_case(),)}


def write_workspace(folder: Path, files: Mapping[str, File]) -> Path:
    """Write the files below the folder; return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else msgspec.json.format(msgspec.json.encode(content)).decode()
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    return folder
