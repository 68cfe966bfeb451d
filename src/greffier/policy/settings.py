"""The parts of the workspace that say what is allowed: ``use_cases/`` and ``policies/``."""

from typing import Annotated, Literal

from msgspec import Meta

from greffier.core.context import RiskClass
from greffier.core.prompt import VariableValue
from greffier.core.settings import Identifier, LimitSettings, Settings

Article6 = Literal["6(1)(a)", "6(1)(b)", "6(1)(c)", "6(1)(d)", "6(1)(e)", "6(1)(f)"]
Article9 = Literal[
    "9(2)(a)", "9(2)(b)", "9(2)(c)", "9(2)(d)", "9(2)(e)", "9(2)(f)", "9(2)(g)", "9(2)(h)", "9(2)(i)", "9(2)(j)"
]
Modality = Literal["image", "audio", "file"]
Status = Literal["draft", "in_review", "approved", "suspended", "retired"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class LawfulBasis(Settings, frozen=True, kw_only=True):
    """The ground on which personal data may be processed (GDPR Art. 6, and Art. 9 for special categories)."""

    article_6: Article6
    article_9: Article9 | None = None


class Approval(Settings, frozen=True, kw_only=True):
    """Who approved the use case, and when. Approvers are people other than the owner."""

    by: tuple[str, ...]
    on: str


class UseCaseSettings(Settings, frozen=True, kw_only=True):
    """A use case, in AI Act words an AI system: the unit of governance. One file each in ``use_cases/``.

    ``requires_consent``: serve only people whose consent to the purpose is in the ledger (GDPR Art. 6(1)(a), 7).
    ``data_subjects`` (customers, staff...), ``recipients``, ``transfers`` (third country and safeguard) and
    ``retention_criteria`` go into the record of processing (Art. 30(1)(c)-(f)) and the answer to an access request.
    ``decision_effect``: what the answers do to people (Art. 22); ``decision_logic`` explains it to them (15(1)(h)).
    """

    id: Identifier
    title: str
    tenant: Identifier
    status: Status
    owner: str
    approval: Approval | None = None
    purpose: Identifier
    intended_purpose: str
    lawful_basis: LawfulBasis | None = None
    risk_class: RiskClass
    aia_role: Literal["provider", "deployer", "both"] = "deployer"
    data_classes: tuple[Identifier, ...] = ("public", "internal")
    models: Annotated[tuple[Identifier, ...], Meta(min_length=1)]
    default_model: Identifier | None = None
    regions: tuple[str, ...] = ()
    on_premises_only: bool = False
    modalities: tuple[Modality, ...] = ()
    tools: bool = True
    prompt: Identifier | None = None
    prompt_variables: dict[str, VariableValue] = {}
    caller_system: Literal["append", "refuse"] = "append"
    screen: Identifier = "default"
    limits: LimitSettings = LimitSettings()
    capture_content: bool = False
    retention_days: Annotated[int, Meta(ge=1)] | None = None
    requires_consent: bool = False
    data_subjects: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()
    retention_criteria: str = ""
    decision_effect: Literal["none", "assist", "legal_or_similar"] = "none"
    decision_logic: str = ""


class TimeWindow(Settings, frozen=True, kw_only=True):
    """Hours in which a rule applies; ``between`` is ``HH:MM-HH:MM`` and may cross midnight."""

    days: tuple[Day, ...] = ()
    between: Annotated[str, Meta(pattern=r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$")] | None = None
    timezone: str = "UTC"


class Condition(Settings, frozen=True, kw_only=True):
    """All keys that are present must match; a list matches if any of its entries does. ``*`` matches anything."""

    actions: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    risk_classes: tuple[RiskClass, ...] = ()
    models: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    principal_types: tuple[Literal["user", "service", "agent"], ...] = ()
    authn: tuple[Literal["api_key", "oidc", "mtls", "saml"], ...] = ()
    attributes: dict[str, tuple[str, ...]] = {}
    modalities: tuple[Modality, ...] = ()
    tools: bool | None = None
    time: TimeWindow | None = None


class ObligationSettings(Settings, frozen=True, kw_only=True):
    """What binds the rest of a request when the rule allows it."""

    on_premises_only: bool = False
    regions: tuple[str, ...] = ()
    human_approval: bool = False
    logging: Literal["standard", "full"] = "standard"
    screen: Identifier | None = None


class RuleSettings(Settings, frozen=True, kw_only=True):
    """A policy rule. A matching ``deny`` wins over any ``allow``; without a matching ``allow`` nothing is allowed."""

    id: Identifier
    description: str
    effect: Literal["allow", "deny"]
    when: Condition
    unless: Condition | None = None
    obligations: ObligationSettings = ObligationSettings()


class PolicyFile(Settings, frozen=True, kw_only=True):
    """A file in ``policies/``."""

    rules: tuple[RuleSettings, ...]
