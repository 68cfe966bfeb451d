"""The bundle: the whole workspace as one canonical JSON document, whose SHA-256 is the revision on every record.

The document is the only thing a snapshot is compiled from, signed or not, so what runs is what was reviewed. It holds
no time, no path of a machine and no value of a secret; every setting stands in it explicitly, so that a default
changed by a later version of Greffier cannot change the meaning of a release that was already signed. See ADR 0011.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from greffier.config.checks.everything import check
from greffier.config.packs import read_packs
from greffier.config.problems import ConfigError, Problem, printable
from greffier.config.settings import PromptFront, WorkspaceSettings
from greffier.config.workspace import Sources, read_sources
from greffier.guardrails.settings import DetectorSettings, ScreenSettings, TopicSettings
from greffier.guardrails.signature_packs import SignaturePack
from greffier.llm.settings import DeploymentSettings
from greffier.policy.settings import RuleSettings, UseCaseSettings
from greffier.router.settings import ModelSettings

MAX_BUNDLE_BYTES = 134_217_728
FORMAT: Literal["greffier.bundle/1"] = "greffier.bundle/1"


class BundledPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A prompt inside a bundle."""

    front: PromptFront
    text: str
    digest: str


class BundleContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle says, typed; the fields are those of the Snapshot."""

    format: Literal["greffier.bundle/1"]
    workspace: WorkspaceSettings
    use_cases: dict[str, UseCaseSettings]
    rules: tuple[RuleSettings, ...]
    screens: dict[str, ScreenSettings]
    topics: dict[str, TopicSettings]
    detectors: dict[str, DetectorSettings] = {}
    signature_packs: dict[str, SignaturePack] = {}
    deployments: dict[str, DeploymentSettings]
    models: dict[str, ModelSettings]
    prompts: dict[str, BundledPrompt]


class Bundle(msgspec.Struct, frozen=True):
    """A bundle.

    Attributes:
        data: The canonical document.
        revision: SHA-256 of ``data``, hex.
        content: What it says.
    """

    data: bytes
    revision: str
    content: BundleContent


def check_workspace(root: Path) -> tuple[Problem, ...]:
    """Return every mistake and warning in the workspace, in file order."""
    return _checked(root)[1]


def build(root: Path) -> Bundle:
    """Build the workspace's bundle: the same files give the same bytes, wherever and whenever.

    Raises:
        ConfigError: ``workspace_invalid``, with every mistake.
    """
    sources, problems = _checked(root)
    errors = tuple(p for p in problems if p.severity == "error")
    if errors or sources.settings is None:
        count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        raise ConfigError(
            "workspace_invalid",
            f"The workspace has {count}; the first: {printable(errors[0].file)}:{errors[0].line}: {errors[0].message}",
            "Run 'greffier config check' and correct what it lists.",
            errors,
        )
    return _bundle(sources, sources.settings.value)


def _checked(root: Path) -> tuple[Sources, tuple[Problem, ...]]:
    sources, problems = read_sources(root)
    problems = (*problems, *read_packs(root, sources))
    return sources, check(sources, problems)


def _bundle(sources: Sources, settings: WorkspaceSettings) -> Bundle:
    content = BundleContent(
        format=FORMAT,
        workspace=settings,
        use_cases={name: place.value for name, place in sources.use_cases.items()},
        rules=tuple(place.value for place in sources.rules),
        screens={name: place.value for name, place in sources.screens.items()},
        topics={name: place.value for name, place in sources.topics.items()},
        detectors={name: place.value for name, place in sources.detectors.items()},
        signature_packs=sources.pack_contents,
        deployments={name: place.value for name, place in sources.deployments.items()},
        models={name: place.value for name, place in sources.models.items()},
        prompts={
            name: BundledPrompt(front=place.value.front, text=place.value.text, digest=place.value.digest)
            for name, place in sources.prompts.items()
        },
    )
    return parse_bundle(canonical(content))


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle back. Its content is trusted only after its signature was verified.

    Raises:
        ConfigError: ``bundle_invalid``: this is no bundle, or one of a newer version.
    """
    try:
        content = msgspec.json.decode(data, type=BundleContent)
    except msgspec.DecodeError as error:  # ValidationError included
        raise ConfigError(
            "bundle_invalid",
            f"The bundle cannot be read: {error}.",
            "Build it again with this version of Greffier, or upgrade the one that reads it.",
        ) from error
    return Bundle(data, hashlib.sha256(data).hexdigest(), content)


def canonical(value: Any) -> bytes:
    """Encode settings as canonical JSON: sorted keys, no white space, defaults written out, shortest numbers."""
    return msgspec.json.encode(explicit(value), order="sorted")


def explicit(value: Any) -> Any:
    """Turn settings into plain values with every default written out (the types themselves omit defaults)."""
    if isinstance(value, msgspec.Struct):
        fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {written: explicit(getattr(value, name)) for written, name in fields}
    if isinstance(value, dict):
        return {key: explicit(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [explicit(item) for item in value]
    return value


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, hex."""
    return hashlib.sha256(canonical(value)).hexdigest()
