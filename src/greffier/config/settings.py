"""``greffier.yaml``, the file that names a workspace and holds what belongs to no use case."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greffier.audit.copy_settings import CopySettings
from greffier.audit.settings import AuditSettings
from greffier.audit.sink_settings import SinkSettings, SinkTlsSettings
from greffier.config.storage_settings import StorageSettings
from greffier.core.prompt import VariableValue
from greffier.core.settings import Identifier, SecretRef, Settings, ValueOrEnv
from greffier.guardrails.settings import ServiceSettings
from greffier.identity.settings import IdentitySettings, TenantSettings
from greffier.limits.settings import LimitsSettings
from greffier.llm.settings import DeploymentSettings
from greffier.router.settings import ModelSettings
from greffier.telemetry.settings import TelemetrySettings


class ServerSettings(Settings, frozen=True, kw_only=True):
    """Bounds on what callers may send and how long they may take."""

    max_body_bytes: Annotated[int, Meta(ge=1024, le=268_435_456)] = 33_554_432
    max_json_depth: Annotated[int, Meta(ge=8, le=512)] = 64
    body_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    request_timeout_s: Annotated[float, Meta(gt=0)] = 600.0
    drain_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    max_concurrent_requests: Annotated[int, Meta(ge=1)] = 2048


class InForceSettings(Settings, frozen=True, kw_only=True):
    """How long requests are answered while what they are answered by is in doubt; bounds can only be shortened.

    ``stale_*_s``: nobody could confirm that the configuration in force is the one that should be.
    ``unverified_minimal_s``: what should be in force has no good signature, or ``valid_until`` has passed; high and
    limited risk are refused at once then. ``unsynchronised_clock``: whether high risk is refused while the machine's
    clock is not synchronised, or the record only says so; an unsigned configuration only says so.
    """

    stale_high_s: Annotated[int, Meta(ge=10, le=300)] = 300
    stale_limited_s: Annotated[int, Meta(ge=10, le=3600)] = 3600
    stale_minimal_s: Annotated[int, Meta(ge=10, le=86_400)] = 86_400
    unverified_minimal_s: Annotated[int, Meta(ge=0, le=900)] = 900
    unsynchronised_clock: Literal["deny_high", "mark"] = "deny_high"


class DataClassSettings(Settings, frozen=True, kw_only=True):
    """A class of data that findings, use cases and deployments refer to."""

    title: str
    external_by_default: bool = False


def default_data_classes() -> dict[str, DataClassSettings]:
    """Return the data classes of a workspace that names none; findings of the built-in detectors use these words."""
    return {
        "public": DataClassSettings(title="Public", external_by_default=True),
        "internal": DataClassSettings(title="Internal", external_by_default=True),
        "personal": DataClassSettings(title="Personal data (GDPR Art. 4)", external_by_default=True),
        "special_category": DataClassSettings(title="Special categories (GDPR Art. 9)"),
        "payment": DataClassSettings(title="Payment card data"),
        "secret": DataClassSettings(title="Credentials and secrets"),
    }


class ControllerSettings(Settings, frozen=True, kw_only=True):
    """Who answers for the processing (GDPR Art. 4(7), 30(1)(a)); stands in records and in answers to data subjects.

    ``timezone``: where days begin and end when deadlines are counted. ``security``: Art. 32(1) measures in words.
    """

    name: str
    contact: str
    joint_controllers: tuple[str, ...] = ()
    representative: str = ""
    dpo: str = ""
    supervisory_authority: str = ""
    timezone: str = "UTC"
    security: str = ""


class RecipientSettings(Settings, frozen=True, kw_only=True):
    """Someone who is sent personal data, and is told of rectifications, erasures and restrictions (GDPR Art. 19).

    ``name``: as it stands in documents; use cases name the recipient so, or by its key here. ``contact``: the e-mail
    address of whoever looks after data protection there. ``deployments``: of which external model servers it is the
    provider. ``webhook``: address that takes signed notices (Standard Webhooks), with the shared ``secret``.
    ``mail_folder``: where a message (.eml) to ``contact`` is left for a mail program. Without either, a person tells
    the recipient and says so ('greffier dsr told').
    """

    name: str
    contact: str = ""
    deployments: tuple[Identifier, ...] = ()
    webhook: ValueOrEnv | None = None
    secret: SecretRef | None = None
    tls: SinkTlsSettings = SinkTlsSettings()
    mail_folder: str | None = None


class RetentionRule(Settings, frozen=True, kw_only=True):
    """How long captured content may stay. What is left out matches everything; the shortest rule that applies decides.

    ``store``: ``content`` is prompts and answers, ``feedback`` is comments of users.
    """

    id: Identifier
    store: Literal["content", "feedback"] = "content"
    tenant: Identifier | None = None
    use_case: Identifier | None = None
    purpose: Identifier | None = None
    data_class: Identifier | None = None
    days: Annotated[int, Meta(ge=1, le=36_500)]
    reason: str


class WorkspaceSettings(Settings, frozen=True, kw_only=True):
    """``greffier.yaml``.

    ``unsafe_development_mode`` lets an unsigned bundle run. It is announced at every start, in ``/healthz`` and in each
    record, and has no place in production. ``valid_until``: last day (UTC, ``YYYY-MM-DD``) on which the configuration
    may serve, as its approvers said. ``bundle_keys``: SHA-256 fingerprints of the keys a release is expected to
    be signed with; it narrows what the gateway's own trusted keys allow, and grants nothing.
    """

    schema: Literal[1]
    name: Identifier
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "EUR"
    unsafe_development_mode: bool = False
    max_snapshot_age_s: Annotated[int, Meta(ge=60)] | None = None
    valid_until: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-1][0-9]-[0-3][0-9]$")] | None = None
    in_force: InForceSettings = InForceSettings()
    bundle_keys: tuple[str, ...] = ()
    tenants: dict[Identifier, TenantSettings]
    data_classes: dict[Identifier, DataClassSettings] = msgspec.field(default_factory=default_data_classes)
    identity: IdentitySettings = IdentitySettings()
    limits: LimitsSettings = LimitsSettings()
    server: ServerSettings = ServerSettings()
    audit: AuditSettings = AuditSettings()
    controller: ControllerSettings | None = None
    recipients: dict[Identifier, RecipientSettings] = {}
    retention: tuple[RetentionRule, ...] = ()
    sinks: dict[Identifier, SinkSettings] = {}
    copies: dict[Identifier, CopySettings] = {}
    storage: StorageSettings = StorageSettings()
    guardrails_service: ServiceSettings | None = None
    telemetry: TelemetrySettings = TelemetrySettings()


class ModelFile(Settings, frozen=True, kw_only=True):
    """A file in ``models/``: deployments, model names, or both."""

    deployments: dict[Identifier, DeploymentSettings] = {}
    models: dict[Identifier, ModelSettings] = {}


class VariableSettings(Settings, frozen=True, kw_only=True):
    """A variable of a prompt, written ``{{name}}`` in its text."""

    type: Literal["string", "integer", "boolean"] = "string"
    description: str = ""
    default: VariableValue | None = None
    max_length: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    choices: tuple[VariableValue, ...] = ()


class PromptFront(Settings, frozen=True, kw_only=True):
    """The YAML front matter of a file in ``prompts/``; the prompt's text follows it."""

    version: Annotated[int, Meta(ge=1)]
    title: str
    owner: str
    variables: dict[Identifier, VariableSettings] = {}
