"""What must hold before any rule is asked: the checks no policy can switch off, in the order they are made."""

from collections.abc import Callable

import msgspec

from greffier.core.context import Ask, RequestContext
from greffier.core.errors import Code
from greffier.core.rulings import Deny
from greffier.policy.settings import UseCaseSettings

UNKNOWN_USE_CASE = "builtin:use-case-known"
MODELLESS_ACTIONS = frozenset({"list_models", "check", "feedback"})
IMPERSONAL_ACTIONS = frozenset({"list_models"})
"""Actions that process nobody's data, so that nobody's objection bars them."""
_PERSONAL = frozenset({"personal", "special_category"})


class Case(msgspec.Struct, frozen=True):
    """A use case as decisions need it, prepared once per snapshot.

    Attributes:
        settings: As approved.
        digest: SHA-256 of the settings, hex.
        models: Models it may use that exist.
        tenant_models: Models that any use case of the same tenant may use; their names are no secret to it.
        default_model: What an empty model name means: ``default_model``, or else the first of ``models``.
        lawful_basis: Articles, for example ``6(1)(b)`` or ``6(1)(a), 9(2)(a)``; empty for none.
        unapproved: Why it may not be served; empty when it may.
        unlawful: What the lawful basis lacks; empty when it is complete.
        personal: Whether it may process personal data.
    """

    settings: UseCaseSettings
    digest: str
    models: frozenset[str]
    tenant_models: frozenset[str]
    default_model: str
    lawful_basis: str
    unapproved: str
    unlawful: str
    personal: bool


class Question(msgspec.Struct, frozen=True, gc=False):
    """One request, put to the checks."""

    context: RequestContext
    ask: Ask
    case: Case
    model: str


def prepare(settings: UseCaseSettings, digest: str, known: frozenset[str], tenant_models: frozenset[str]) -> Case:
    """Work out everything about a use case that no request changes."""
    basis = settings.lawful_basis
    articles = () if basis is None else (basis.article_6, *((basis.article_9,) if basis.article_9 else ()))
    return Case(
        settings=settings,
        digest=digest,
        models=known.intersection(settings.models),
        tenant_models=known & tenant_models,
        default_model=settings.default_model or settings.models[0],
        lawful_basis=", ".join(articles),
        unapproved=_unapproved(settings),
        unlawful=_unlawful(settings),
        personal=settings.requires_consent or not _PERSONAL.isdisjoint(settings.data_classes),
    )


def subjects_of(context: RequestContext, ask: Ask) -> tuple[str, ...]:
    """Whose data a request is about: the end user it names first, and the person who is asking."""
    asking = context.principal.ref if context.principal.type == "user" else ""
    return tuple([subject for subject in (ask.subject, asking) if subject])


def _unapproved(settings: UseCaseSettings) -> str:
    if settings.status != "approved":
        return f"The use case is {settings.status.replace('_', ' ')}, not approved."
    if settings.approval is None or not set(settings.approval.by) - {settings.owner}:
        return "The use case is marked approved, but no approval by anyone other than its owner is recorded."
    return ""


def _unlawful(settings: UseCaseSettings) -> str:
    classes = _PERSONAL.intersection(settings.data_classes)
    if classes and settings.lawful_basis is None:
        return "The use case processes personal data without a lawful basis under GDPR Art. 6."
    if "special_category" in classes and settings.lawful_basis is not None and settings.lawful_basis.article_9 is None:
        return "The use case processes special categories of data without a ground under GDPR Art. 9(2)."
    return ""


def unknown_use_case() -> Deny:
    """The refusal when there is no such use case."""
    return Deny(Code.USE_CASE_UNKNOWN, UNKNOWN_USE_CASE, "The credential's use case is not registered.")


def _tenant(question: Question) -> Deny | None:
    if question.context.tenant == question.case.settings.tenant:
        return None
    return Deny(Code.TENANT_MISMATCH, "builtin:tenant", "The credential and the use case belong to different tenants.")


def _approved(question: Question) -> Deny | None:
    if not question.case.unapproved:
        return None
    return Deny(Code.USE_CASE_NOT_APPROVED, "builtin:use-case-approved", question.case.unapproved)


def _purpose(question: Question) -> Deny | None:
    claimed = question.context.purpose
    if claimed is None or claimed == question.case.settings.purpose:
        return None
    return Deny(
        Code.PURPOSE_MISMATCH,
        "builtin:purpose",
        "The credential was issued for another purpose than the use case's.",
    )


def _lawful(question: Question) -> Deny | None:
    if not question.case.unlawful:
        return None
    return Deny(Code.LAWFUL_BASIS_MISSING, "builtin:lawful-basis", question.case.unlawful)


def _model(question: Question) -> Deny | None:
    model = question.model
    if model in question.case.models or (not model and question.ask.action in MODELLESS_ACTIONS):
        return None
    if model in question.case.tenant_models:
        return Deny(
            Code.MODEL_NOT_ALLOWED,
            "builtin:model-allowed",
            "The use case may not use this model.",
            param="model",
        )
    # The same answer, rule and all, for a model of another tenant and for one that nobody has: names stay unguessable.
    return Deny(Code.MODEL_NOT_FOUND, "builtin:model-known", "The model does not exist.", param="model")


def _modalities(question: Question) -> Deny | None:
    allowed = question.case.settings.modalities
    for modality in question.ask.modalities:
        if modality not in allowed:
            return Deny(
                Code.MODALITY_DENIED,
                "builtin:modalities",
                f"The use case may not send content of the kind {modality!r}.",
                param="messages",
            )
    return None


def _tools(question: Question) -> Deny | None:
    if question.case.settings.tools or not question.ask.tools:
        return None
    return Deny(
        Code.MODALITY_DENIED,
        "builtin:tools",
        "The use case may not offer tools to the model.",
        "Send the request without tools, or have the use case approved for tools.",
        param="tools",
    )


CHECKS: tuple[tuple[str, Callable[[Question], Deny | None]], ...] = (
    ("builtin:tenant", _tenant),
    ("builtin:use-case-approved", _approved),
    ("builtin:purpose", _purpose),
    ("builtin:lawful-basis", _lawful),
    ("builtin:model", _model),
    ("builtin:modalities", _modalities),
    ("builtin:tools", _tools),
)
"""Identifier and check, in order; the first refusal is the answer."""
