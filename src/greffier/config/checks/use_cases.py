"""Checks of ``use_cases/``: what a use case refers to, and what the law asks of it."""

from collections.abc import Iterator
from datetime import date

from greffier.config.checks.references import all_exist, exists, known_models
from greffier.config.permitted import permitted_data_classes
from greffier.config.problems import Problem, did_you_mean
from greffier.config.workspace import Located, Sources
from greffier.policy.settings import UseCaseSettings

PERSONAL = "personal"
SPECIAL = "special_category"


def check_use_cases(sources: Sources) -> Iterator[Problem]:
    """Check every use case."""
    for place in sources.use_cases.values():
        yield from _references(place, sources)
        yield from _approval(place)
        yield from _lawful_basis(place)
        yield from _reachable(place, sources)


def _references(place: Located[UseCaseSettings], sources: Sources) -> Iterator[Problem]:
    use_case = place.value
    if sources.settings is not None:
        workspace = sources.settings.value
        yield from exists(place, ("tenant",), "tenant", use_case.tenant, workspace.tenants)
        yield from all_exist(place, ("data_classes",), "data class", use_case.data_classes, workspace.data_classes)
    models = known_models(sources)
    if models is not None:
        yield from all_exist(place, ("models",), "model", use_case.models, models)
    if use_case.default_model is not None and use_case.default_model not in use_case.models:
        yield place.problem(
            ("default_model",),
            "unknown_reference",
            f"The default model '{use_case.default_model}' is not among the use case's models.",
            did_you_mean(use_case.default_model, use_case.models),
        )
    if "guardrails" not in sources.incomplete:
        yield from exists(place, ("screen",), "screen", use_case.screen, sources.screens)


def _approval(place: Located[UseCaseSettings]) -> Iterator[Problem]:
    use_case = place.value
    approval = use_case.approval
    if approval is None:
        if use_case.status == "approved":
            yield place.problem(
                ("status",),
                "approval_missing",
                "An approved use case says who approved it, and when.",
                "Add 'approval:' with 'by' and 'on', or set 'status: in_review'.",
            )
        return
    if not approval.by:
        yield place.problem(
            ("approval", "by"), "approval_missing", "Nobody approved the use case.", "Name at least one approver."
        )
    for index, approver in enumerate(approval.by):
        if approver.strip().casefold() == use_case.owner.strip().casefold():
            yield place.problem(
                ("approval", "by", index),
                "self_approval",
                "The owner of a use case cannot approve it.",
                "Have somebody else approve it (four-eyes principle).",
            )
    try:
        date.fromisoformat(approval.on)
    except ValueError:
        yield place.problem(
            ("approval", "on"),
            "wrong_value",
            f"Expected a date, got '{approval.on[:40]}'.",
            "Write it as YYYY-MM-DD.",
        )


def _lawful_basis(place: Located[UseCaseSettings]) -> Iterator[Problem]:
    use_case = place.value
    classes = set(use_case.data_classes)
    basis = use_case.lawful_basis
    if basis is None:
        for data_class in sorted(classes & {PERSONAL, SPECIAL}):
            yield place.problem(
                ("data_classes", use_case.data_classes.index(data_class)),
                "lawful_basis_missing",
                f"Data of the class '{data_class}' may be processed on a lawful basis only (GDPR Art. 6).",
                "Add 'lawful_basis:' with 'article_6', as decided with your data-protection officer.",
            )
    elif SPECIAL in classes and basis.article_9 is None:
        yield place.problem(
            ("lawful_basis",),
            "lawful_basis_missing",
            "Special categories of data need a ground under GDPR Art. 9 as well.",
            "Add 'article_9' under 'lawful_basis', or remove 'special_category' from 'data_classes'.",
            at_key=True,
        )


def _reachable(place: Located[UseCaseSettings], sources: Sources) -> Iterator[Problem]:
    """Check that every model has a deployment that the use case's own restrictions permit."""
    use_case = place.value
    for index, name in enumerate(use_case.models):
        model = sources.models.get(name)
        if model is None or "models" in sources.incomplete:
            continue
        targets = [sources.deployments.get(target.deployment) for target in model.value.targets]
        if None in targets:
            continue  # reported where the model stands
        permitted = [t.value for t in targets if t is not None]
        if use_case.on_premises_only:
            permitted = [d for d in permitted if d.location == "on_premises"]
        if not permitted:
            yield place.problem(
                ("models", index),
                "unreachable_model",
                f"The use case stays on premises, and the model '{name}' has no deployment there.",
                "Add an on-premises deployment to the model, or choose another model.",
            )
            continue
        if use_case.regions and not any(d.region in use_case.regions for d in permitted):
            yield place.problem(
                ("models", index),
                "unreachable_model",
                f"No permitted deployment of the model '{name}' lies in {', '.join(use_case.regions)}.",
                f"The model is deployed in: {', '.join(sorted({d.region for d in permitted}))}.",
            )
            continue
        if sources.settings is not None:
            workspace = sources.settings.value
            usable = [d for d in permitted if not use_case.regions or d.region in use_case.regions]
            served = {name for d in usable for name in permitted_data_classes(d, workspace)}
            for data_class in use_case.data_classes:
                if data_class in workspace.data_classes and data_class not in served:
                    yield place.problem(
                        ("models", index),
                        "unserved_data_class",
                        f"No deployment of the model '{name}' may process '{data_class}'; such requests are refused.",
                        "Add a deployment that may, or remove the class from the use case.",
                        warning=True,
                    )
