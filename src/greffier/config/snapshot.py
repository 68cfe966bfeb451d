"""The Snapshot: everything the data plane needs to answer requests, immutable, known by its digest."""

import msgspec

from greffier.config.settings import WorkspaceSettings
from greffier.core.deployment import Deployment
from greffier.core.prompt import Prompt
from greffier.guardrails.settings import DetectorSettings, ScreenSettings, TopicSettings
from greffier.guardrails.signature_packs import SignaturePack
from greffier.llm.settings import DeploymentSettings
from greffier.policy.settings import RuleSettings, UseCaseSettings
from greffier.router.settings import ModelSettings


class Snapshot(msgspec.Struct, frozen=True):
    """One compiled workspace.

    Attributes:
        revision: SHA-256 of the bundle's canonical content, hex; stands on every record.
        signed_by: Name of the key whose signature was verified; empty for an unsigned bundle in development mode.
        built_ms: When it was loaded, milliseconds since the epoch.
        workspace: ``greffier.yaml``.
        use_cases: By id.
        use_case_digests: SHA-256 of each use case's canonical settings, hex.
        rules: Policy rules, in file and then list order.
        screens: By name; ``default`` always exists.
        topics: By name.
        deployments: What the router and the record need to know, by name.
        deployment_settings: What the provider adapters need, by name.
        models: By the name callers use.
        prompts: By name.
        detectors: The workspace's own detectors, by name.
        signature_packs: Known bad patterns, by the name of their pack.
        document: The bundle's canonical bytes; ``revision`` is their digest.
    """

    revision: str
    signed_by: str
    built_ms: int
    workspace: WorkspaceSettings
    use_cases: dict[str, UseCaseSettings]
    use_case_digests: dict[str, str]
    rules: tuple[RuleSettings, ...]
    screens: dict[str, ScreenSettings]
    topics: dict[str, TopicSettings]
    deployments: dict[str, Deployment]
    deployment_settings: dict[str, DeploymentSettings]
    models: dict[str, ModelSettings]
    prompts: dict[str, Prompt]
    detectors: dict[str, DetectorSettings] = {}
    signature_packs: dict[str, SignaturePack] = {}
    document: bytes = b""
